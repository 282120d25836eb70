// millflood: an attack on a gateway, through shared memory, where packets cost next to nothing.
//
//   millflood --memif /tmp/edge.sock --router 198.19.0.1 --target 198.19.0.2:80 --count 10000000 --rate 1000000
//
// Exit codes: 0 everything was sent, 1 not, 2 the port cannot be opened.
#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "nic/eal.h"
#include "nic/ethdev_port.h"
#include "nic/mbuf_pool.h"
#include "perf/flood/flood.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kBuffers = 16'384;
constexpr std::chrono::seconds kPatience{20};  // for the target to answer at all
constexpr std::chrono::milliseconds kLastAnswers{200};
constexpr std::uint64_t kRefusals = 1'000'000;  // about a second of them

struct Options {
  nic::MemifConfig memif{.socket = {}, .role = nic::MemifConfig::Role::kClient};
  std::string kind = "syn";
  std::string router;
  std::string target;
  std::string sources = "10.0.0.0/8";
  std::uint64_t count = 10'000'000;
  double rate = 1'000'000;
  std::uint64_t seed = 1;
  std::string json;
};

class Attack {
 public:
  Attack(const Options& options, const perf::FloodConfig& config, nic::Port& port, nic::MbufPool& pool)
      : options_(options), flood_(config), port_(port), pool_(pool) {}

  /// Until the target has told its address. False: it does not answer.
  bool introduce() {
    const auto deadline = Clock::now() + kPatience;
    auto again = Clock::now();
    while (!flood_.knows_target()) {
      if (Clock::now() > deadline) return false;
      if (Clock::now() >= again) {
        nic::Packet request = pool_.allocate();
        flood_.write_arp_request(request);
        port_.transmit(0, {&request, 1});
        again += std::chrono::milliseconds(100);
      }
      receive();
    }
    return true;
  }

  /// False: the target was gone before all was sent.
  bool run() {
    const auto start = Clock::now();
    auto report = start + std::chrono::seconds(1);
    while (sent_ < options_.count) {
      const auto now = Clock::now();
      const double elapsed = std::chrono::duration<double>(now - start).count();
      const auto due = static_cast<std::uint64_t>(elapsed * options_.rate);
      if (sent_ < due) send(std::min({due, options_.count}) - sent_);
      receive();
      if (now < report) continue;
      print(elapsed);
      report += std::chrono::seconds(1);
      port_.refresh_link();
      if (!port_.link_up()) return false;
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    for (const auto end = Clock::now() + kLastAnswers; Clock::now() < end;) receive();
    print(seconds_);
    return true;
  }

  [[nodiscard]] nlohmann::ordered_json json() const {
    return {{"kind", options_.kind},
            {"sent", sent_},
            {"seconds", seconds_},
            {"refused_by_port", refused_},
            {"syn_acks", flood_.answers().syn_acks},
            {"resets", flood_.answers().resets},
            {"other_segments", flood_.answers().others}};
  }

 private:
  void send(std::uint64_t wanted) {
    const std::size_t count = std::min<std::uint64_t>(wanted, kBurst);
    std::size_t filled = 0;
    for (; filled < count; ++filled) {
      burst_[filled] = pool_.allocate();
      if (!burst_[filled]) break;
      flood_.write(burst_[filled]);
    }
    std::size_t taken = 0;
    while (taken < filled) {
      const std::size_t now = port_.transmit(0, std::span(burst_).subspan(taken, filled - taken));
      taken += now;
      if (now > 0) continue;
      ++refused_;  // the ring is full: the target does not keep up; what it sends has to be taken meanwhile
      receive();
      if (refused_ % kRefusals == 0) break;  // or is gone: run() will see
    }
    sent_ += taken;
  }

  void receive() {
    std::array<nic::Packet, kBurst> in;
    const std::size_t count = port_.receive(0, in);
    for (std::size_t i = 0; i < count; ++i) {
      if (flood_.receive(in[i])) port_.transmit(0, {&in[i], 1});
    }
  }

  void print(double elapsed) const {
    std::printf("%6.1f s  %llu sent  %llu SYN-ACK  %llu RST  %llu other\n", elapsed, static_cast<unsigned long long>(sent_),
                static_cast<unsigned long long>(flood_.answers().syn_acks),
                static_cast<unsigned long long>(flood_.answers().resets),
                static_cast<unsigned long long>(flood_.answers().others));
    std::fflush(stdout);
  }

  const Options& options_;
  perf::Flood flood_;
  nic::Port& port_;
  nic::MbufPool& pool_;
  std::array<nic::Packet, kBurst> burst_;
  std::uint64_t sent_ = 0;
  std::uint64_t refused_ = 0;
  double seconds_ = 0;
};

int fail(int code, const std::string& text) {
  std::fprintf(stderr, "millflood: %s\n", text.c_str());
  return code;
}

int run(const Options& options) {
  const auto kind = perf::flood_kind(options.kind);
  const auto router = IpAddress::parse(options.router);
  const auto target = SocketAddress::parse(options.target);
  const auto sources = IpPrefix::parse(options.sources);
  if (!kind || !router || !router->is_v4() || !target || !target->ip.is_v4() || target->port == 0 || !sources ||
      !sources->address.is_v4())
    return fail(2, "--router, --target (address:port) and --sources (prefix) are IPv4; --kind is syn, ack, rst or garbage");
  auto eal = nic::Eal::start({.memory_mb = 128, .huge_pages = nic::HugePages::kNever});
  if (!eal) return fail(2, eal.error());
  auto pool = nic::MbufPool::create({.name = "flood", .buffers = kBuffers});
  if (!pool) return fail(2, pool.error());
  auto port = nic::EthdevPort::open({.name = "flood", .device = options.memif}, **pool, 1, 0);
  if (!port) return fail(2, port.error());
  Attack attack(
      options, {.kind = *kind, .target_mac = {}, .router = *router, .sources = *sources, .target = *target, .seed = options.seed},
      **port, **pool);
  if (!attack.introduce()) return fail(1, options.target + " does not answer ARP on " + options.memif.socket);
  const bool complete = attack.run();
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << attack.json().dump(2) << std::endl;
    if (!file) return fail(1, options.json + " cannot be written");
  }
  return complete ? 0 : fail(1, "the target is gone: the link went down");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"An attack on a gateway through memif: spoofed segments at a steady rate.", "millflood"};
  app.add_option("--memif", options.memif.socket, "Socket of the gateway's memif port, which is the server")->required();
  app.add_option("--memif-id", options.memif.id, "Id of that port");
  app.add_option("--router", options.router, "The address that answers ARP: the gateway's route to the sources goes by it")
      ->required();
  app.add_option("--target", options.target, "Address and port of a listener")->required();
  app.add_option("--sources", options.sources, "Network of the made-up hosts")->capture_default_str();
  app.add_option("--kind", options.kind, "syn, ack, rst or garbage")->capture_default_str();
  app.add_option("--count", options.count, "Segments")->capture_default_str()->check(CLI::Range(1.0, 1e15));
  app.add_option("--rate", options.rate, "Segments a second")->capture_default_str()->check(CLI::Range(1.0, 1e9));
  app.add_option("--seed", options.seed, "Of what is made up")->capture_default_str();
  app.add_option("--json", options.json, "File for the figures");
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
