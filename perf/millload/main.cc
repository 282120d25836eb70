// millload: clients and an origin on our own stack, in one thread, with a gateway between them.
//
//   millload --dataplane load.yaml --target 198.18.0.2:80 --origin 198.18.1.1:8000 --admin 127.0.0.1:9901
//
// Exit codes: 0 measured and everything verified, 1 not (the record is void), 2 wrong arguments, or a port cannot be opened.
#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <future>
#include <iostream>

#include "control-agent/bootstrap_loader.h"
#include "dataplane/app/port_setup.h"
#include "nic/eal.h"
#include "nic/ethdev_port.h"
#include "nic/mbuf_pool.h"
#include "perf/millload/generator.h"
#include "perf/millload/report.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kDefaultBuffers = 65'536;

struct Options {
  std::string dataplane;
  std::vector<std::string> targets;
  std::string origin;
  std::string admin;
  std::string name = "http1";
  std::string subject = "millrace";
  std::string json;
  std::size_t connections = 64;
  std::size_t pipeline = 1;
  std::uint64_t requests_per_connection = 0;
  bool close = false;
  bool once = false;
  double rate = 0;
  std::size_t request_bytes = 0;
  std::size_t response_bytes = 64;
  double ramp = 0;
  double warm_up = 1;
  double duration = 5;
  double later = 0;
  std::uint64_t corrupt_every = 0;
  bool tls = false;
  bool tls_resume = false;
  std::string tls_version = "1.3";
  perf::TlsFiles client_tls;
  perf::TlsFiles origin_tls;
  std::uint64_t seed = 1;
  int cpu = -1;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--dataplane", options.dataplane, "The generator's ports, in the gateway's own syntax (millrace.v1.Dataplane)")
      ->required();
  app.add_option("--target", options.targets, "Address and port to send requests to; several share the connections")->required();
  app.add_option("--origin", options.origin,
                 "Address and port of the generator's own to answer on; none: the origin is elsewhere");
  app.add_option("--admin", options.admin, "Address and port of the gateway's admin server: what its workers spend is reported");
  app.add_option("--connections", options.connections, "Connections at a time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--pipeline", options.pipeline, "Requests under way on a connection at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--requests-per-connection", options.requests_per_connection,
                 "After so many it is closed and opened again; 0: never");
  app.add_flag("--close", options.close, "A connection per request");
  app.add_flag("--once", options.once,
               "Each connection is opened once, all at once or over --ramp, for its requests (1 if not said); "
               "measured until the last one is over");
  app.add_option("--rate", options.rate, "Requests per second, whatever becomes of the others; 0: the next when one is answered")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--request-bytes", options.request_bytes, "Body of each request")->capture_default_str();
  app.add_option("--response-bytes", options.response_bytes, "Body of each response")->capture_default_str();
  app.add_option("--ramp", options.ramp, "Seconds over which connections are opened")->check(CLI::NonNegativeNumber);
  app.add_option("--warm-up", options.warm_up, "Seconds before anything is counted")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--duration", options.duration, "Seconds that are counted")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_flag("--tls", options.tls, "Clients speak TLS");
  app.add_flag("--tls-resume", options.tls_resume, "Clients resume the sessions of earlier connections");
  app.add_option("--tls-version", options.tls_version, "Of both sides")
      ->capture_default_str()
      ->check(CLI::IsMember({"1.2", "1.3"}));
  app.add_option("--tls-cert", options.client_tls.certificate, "The clients' certificate, PEM");
  app.add_option("--tls-key", options.client_tls.key, "Its key");
  app.add_option("--tls-ca", options.client_tls.authority, "Whom clients believe; none: everybody");
  app.add_option("--origin-tls-cert", options.origin_tls.certificate, "The origin's certificate, PEM: it speaks TLS");
  app.add_option("--origin-tls-key", options.origin_tls.key, "Its key");
  app.add_option("--origin-tls-ca", options.origin_tls.authority, "Whose certificate the gateway has to show the origin");
  app.add_option("--cpu", options.cpu, "CPU to run on; -1: any");
  app.add_option("--name", options.name, "Of the case, in the records")->capture_default_str();
  app.add_option("--subject", options.subject, "Of the gateway, in the records")->capture_default_str();
  app.add_option("--json", options.json, "File for the records");
  app.add_option("--seed", options.seed, "Of everything random")->capture_default_str();
  app.add_option("--later", options.later, "Seconds behind that, whose latencies are told apart")->check(CLI::NonNegativeNumber);
  app.add_option("--corrupt-every", options.corrupt_every, "The origin makes every Nth response wrong, which must be found");
}

int fail(int code, const std::string& text) {
  std::fprintf(stderr, "millload: %s\n", text.c_str());
  return code;
}

Duration seconds(double value) { return Duration::nanoseconds(static_cast<std::int64_t>(value * 1e9)); }

// False: an address is none.
bool translate(const Options& options, perf::GeneratorConfig& config) {
  for (const std::string& text : options.targets) {
    const auto target = SocketAddress::parse(text);
    if (!target) return false;
    config.load.targets.push_back(*target);
  }
  if (!options.origin.empty()) {
    config.origin = SocketAddress::parse(options.origin);
    if (!config.origin) return false;
  }
  config.load.connections = options.connections;
  config.load.pipeline = options.pipeline;
  config.load.requests_per_connection = options.close ? 1 : options.requests_per_connection;
  config.load.once = options.once;
  if (options.once) config.load.requests_per_connection = std::max<std::uint64_t>(options.requests_per_connection, 1);
  config.load.rate = options.rate;
  config.load.request_bytes = options.request_bytes;
  config.load.response_bytes = options.response_bytes;
  config.load.ramp = seconds(options.ramp);
  config.course.patience = seconds(options.ramp + 30);
  config.course.warm_up = seconds(options.warm_up);
  config.course.duration = seconds(options.duration);
  config.course.later = seconds(options.later);
  config.origin_config.corrupt_every = options.corrupt_every;
  config.seed = options.seed;
  return true;
}

void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

/// Asks the gateway on another core than the generator's, while that goes on.
class GatewayWatch {
 public:
  explicit GatewayWatch(std::string admin) : admin_(std::move(admin)) { sched_getaffinity(0, sizeof(allowed_), &allowed_); }

  void begin() { before_ = ask(); }
  void end() { after_ = ask(); }
  /// Of the time between the two; none when the gateway was not to be asked, or did not answer: error() then.
  [[nodiscard]] std::optional<perf::GatewayStats> result() {
    if (!before_.valid() || !after_.valid()) return std::nullopt;
    const auto before = before_.get();
    const auto after = after_.get();
    if (!before || !after) return std::nullopt;
    return after->since(*before);
  }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  using Answer = std::optional<perf::GatewayStats>;
  std::future<Answer> ask() {
    if (admin_.empty()) return {};
    return std::async(std::launch::async, [this] {
      sched_setaffinity(0, sizeof(allowed_), &allowed_);
      return perf::fetch_gateway_stats(admin_, error_);
    });
  }

  const std::string admin_;
  cpu_set_t allowed_{};
  std::string error_;
  std::future<Answer> before_;
  std::future<Answer> after_;
};

const char* path_of(const config::Dataplane& machine) {
  struct Name {
    const char* operator()(const config::TapDevice&) const { return "tap"; }
    const char* operator()(const config::AfXdpDevice&) const { return "af_xdp"; }
    const char* operator()(const config::PciDevice&) const { return "pci"; }
    const char* operator()(const config::MemifDevice&) const { return "memif"; }
    const char* operator()(const config::VirtualDevice&) const { return "vdev"; }
  };
  return machine.ports.empty() ? "none" : std::visit(Name{}, machine.ports.front().device);
}

int measure(const Options& options, perf::GeneratorConfig config, std::span<nic::Port* const> ports, nic::PacketPool& pool) {
  GatewayWatch gateway(options.admin);
  pin(options.cpu);
  const auto thread = nic::EalThread::register_current();
  const auto observed = std::make_unique<perf::Observed>();
  perf::Generator generator(ports, pool, config);
  std::uint64_t last = 0;
  const perf::Generator::Watch watch{.begins = [&] { gateway.begin(); },
                                     .ends = [&] { gateway.end(); },
                                     .each_second =
                                         [&](const perf::Clients& clients, double now) {
                                           std::fprintf(stderr, "%6.1f s  %9llu requests  %7zu connections  %7zu waiting\n", now,
                                                        static_cast<unsigned long long>(clients.requests() - last),
                                                        clients.open(), clients.waiting());
                                           last = clients.requests();
                                         }};
  perf::Measurement measurement{.case_name = options.name,
                                .path = path_of(config.machine),
                                .subject = options.subject,
                                .load = config.load,
                                .loop = {},
                                .observed = observed.get(),
                                .later = options.later > 0 ? &generator.later() : nullptr,
                                .gateway = {},
                                .valid = false,
                                .error = {}};
  measurement.valid = generator.run(*observed, watch);
  measurement.loop = generator.loop();
  measurement.error = generator.error();
  measurement.gateway = gateway.result();
  if (measurement.valid && observed->requests == 0) {
    measurement.valid = false;
    measurement.error = "no request was answered in the time";
  }
  if (!options.admin.empty() && !measurement.gateway) std::fprintf(stderr, "millload: %s\n", gateway.error().c_str());
  std::cout << perf::to_text(measurement);
  if (!options.json.empty()) {
    std::ofstream(options.json) << nlohmann::ordered_json{{"valid", measurement.valid},
                                                          {"error", measurement.error},
                                                          {"records", perf::to_records(measurement)}}
                                       .dump(1)
                                << '\n';
  }
  return measurement.valid ? 0 : 1;
}

// The error, or empty.
std::string make_tls(const Options& options, perf::TlsSides& sides) {
  const tls::Version version = options.tls_version == "1.2" ? tls::Version::kTls12 : tls::Version::kTls13;
  sides.resume = options.tls_resume;
  if (options.tls) {
    auto made = perf::make_tls_context(tls::Role::kClient, options.client_tls, version);
    if (!made) return made.error();
    sides.client = *made;
  }
  if (!options.origin_tls.certificate.empty()) {
    auto made = perf::make_tls_context(tls::Role::kServer, options.origin_tls, version);
    if (!made) return made.error();
    sides.origin = *made;
  }
  return {};
}

int run(const Options& options) {
  perf::GeneratorConfig config;
  if (const std::string error = make_tls(options, config.tls); !error.empty()) return fail(2, error);
  if (!translate(options, config))
    return fail(2, "--target and --origin must be addresses with a port: 198.18.0.2:80, [2001:db8::2]:80");
  agent::LoadOptions files;
  files.config_yaml = "{}";
  files.dataplane_path = options.dataplane;
  auto loaded = agent::load(files);
  if (!loaded) {
    for (const auto& error : loaded.error()) std::cerr << error.to_string() << "\n";
    return 2;
  }
  config.machine = loaded->machine;
  config.packet_buffers = config.machine.packet_buffers > 0 ? config.machine.packet_buffers : kDefaultBuffers;

  const std::size_t pool_bytes = nic::MbufPool::memory_bytes(config.packet_buffers, app::packet_buffer_bytes(config.machine));
  const bool huge = config.machine.hugepages != config::Dataplane::Hugepages::kNever;
  auto eal = nic::Eal::start({.memory_mb = pool_bytes / (1024 * 1024) + 64 * (1 + config.machine.ports.size()),
                              .huge_pages = huge ? nic::HugePages::kIfFree : nic::HugePages::kNever,
                              .control_cpu = -1,
                              .pci_addresses = app::pci_addresses(config.machine)});
  if (!eal) return fail(2, eal.error());
  auto pool = nic::MbufPool::create({.name = "load",
                                     .buffers = config.packet_buffers,
                                     .buffer_bytes = app::packet_buffer_bytes(config.machine),
                                     .physical = app::needs_physical_memory(config.machine)});
  if (!pool) return fail(2, pool.error());
  std::vector<std::unique_ptr<nic::EthdevPort>> ports;
  std::vector<nic::Port*> views;
  for (const config::PortConfig& port : config.machine.ports) {
    auto opened = nic::EthdevPort::open(app::port_config(port), **pool, 1, static_cast<std::uint8_t>(ports.size()));
    if (!opened) return fail(2, opened.error());
    ports.push_back(std::move(*opened));
    views.push_back(ports.back().get());
  }
  return measure(options, std::move(config), views, **pool);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Clients and an origin on Millrace's own stack, to load a gateway between them. Every response is verified.",
               "millload"};
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
