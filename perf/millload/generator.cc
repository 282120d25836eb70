#include "perf/millload/generator.h"

#include <time.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "dataplane/app/port_setup.h"
#include "dataplane/worker/worker_thread.h"
#include "tls/engines/ipsec_mb_engine.h"

namespace millrace::perf {
namespace {

constexpr std::size_t kNodesPerBuffer = 4;
constexpr Duration kGap = Duration::microseconds(10);
constexpr Duration kGapPerPacket = Duration::microseconds(2);

std::vector<ip::InterfaceConfig> interfaces_of(const config::Dataplane& machine, std::span<nic::Port* const> ports) {
  std::vector<ip::InterfaceConfig> interfaces;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    interfaces.push_back(app::interface_config(machine, machine.ports[i], ports[i]->info()));
    interfaces.back().duplicate_probes = 0;  // there is nobody else
  }
  return interfaces;
}

std::vector<worker::PortBinding> bindings_of(std::span<nic::Port* const> ports) {
  std::vector<worker::PortBinding> bindings;
  for (nic::Port* port : ports) bindings.push_back({.port = port});
  return bindings;
}

tcp::StackConfig stack_config(const GeneratorConfig& config) {
  tcp::StackConfig stack;
  stack.tcp = app::tcp_config(config.machine.tcp);
  stack.secret.fill(static_cast<std::uint8_t>(config.seed));
  stack.max_connections = 2 * config.load.connections + config.origin_config.max_connections;
  stack.initial_connections = std::min<std::size_t>(stack.max_connections, 4'096);
  stack.first_port = 1'024;  // nobody else is here
  return stack;
}

}  // namespace

Generator::Generator(std::span<nic::Port* const> ports, nic::PacketPool& pool, const GeneratorConfig& config)
    : ports_(ports.begin(), ports.end()),
      course_(config.course),
      once_(config.load.once),
      rests_(config.machine.idle == config::Dataplane::Idle::kAdaptive),
      timers_(worker::monotonic_now()),
      rng_(config.seed),
      chains_(pool, 4'096, config.packet_buffers * kNodesPerBuffer),
      ip_(interfaces_of(config.machine, ports), app::route_configs(config.machine), timers_, pool, rng_, worker::monotonic_now()),
      tcp_(ip_, timers_, chains_, rng_, stack_config(config)),
      io_(bindings_of(ports), ip_, tcp_, pool, nullptr, {}),
      record_engine_(tls::make_ipsec_mb_engine()),
      tls_(chains_, timers_, *record_engine_, handshakes_, 2 * config.load.connections + config.origin_config.max_connections),
      pattern_(chains_),
      origin_(chains_, pattern_, failures_, config.origin_config),
      acceptor_(origin_, tls_, failures_, config.tls, config.origin_config.max_connections),
      connector_(tcp_, tls_, config.tls, config.load.connections),
      clients_(connector_, chains_, pattern_, failures_, config.load) {
  if (!config.origin) return;
  if (const auto listener = tcp_.listen(*config.origin, acceptor_)) {
    listener_ = *listener;
  } else {
    error_ = "the origin cannot listen on " + config.origin->to_string() + ": no port of the generator has that address";
  }
}

bool Generator::run(Observed& observed, const Watch& watch) {
  if (!error_.empty() || !wait_for_links()) return false;
  const bool complete = measure(observed, watch);
  leave();
  return complete;
}

bool Generator::measure(Observed& observed, const Watch& watch) {
  started_ = worker::monotonic_now();
  next_report_ = started_ + Duration::seconds(1);
  ip_.announce(started_);
  if (!once_ && !warm_up(watch)) return false;

  figures_ = {};
  busy_cycles_ = 0;
  if (watch.begins) watch.begins();
  const Instant begin = worker::monotonic_now();
  const std::uint64_t first_cycle = __rdtsc();
  clients_.observe(&observed);
  const Instant limit = once_ ? begin + course_.patience : Instant::never();
  const bool complete =
      turn_until(watch, limit, [&](Instant now) { return once_ ? clients_.all_ended() : now >= begin + course_.duration; });
  clients_.observe(nullptr);
  const auto cycles = static_cast<double>(__rdtsc() - first_cycle);
  figures_.seconds = static_cast<double>((worker::monotonic_now() - begin).to_nanoseconds()) / 1e9;
  figures_.tsc_hertz = cycles / figures_.seconds;
  figures_.busy_share = static_cast<double>(busy_cycles_) / cycles;
  if (watch.ends) watch.ends();
  if (!complete || course_.later <= Duration()) return complete;
  clients_.observe(later_.get());
  const Instant end = worker::monotonic_now() + course_.later;
  const bool all = turn_until(watch, Instant::never(), [&](Instant now) { return now >= end; });
  clients_.observe(nullptr);
  return all;
}

bool Generator::warm_up(const Watch& watch) {
  if (!turn_until(watch, started_ + course_.patience, [&](Instant) { return clients_.all_open(); })) return false;
  const Instant warm = worker::monotonic_now() + course_.warm_up;
  return turn_until(watch, Instant::never(), [&](Instant now) { return now >= warm; });
}

// The gateway hears that all connections are over, those that it keeps for later too.
void Generator::leave() {
  clients_.stop(worker::monotonic_now());
  if (listener_ != nullptr) tcp_.close_listener(*listener_, worker::monotonic_now());
  tls_.reset_all(worker::monotonic_now());
  tcp_.reset_all(worker::monotonic_now());
  for (const Instant end = worker::monotonic_now() + Duration::milliseconds(100); worker::monotonic_now() < end;)
    turn(worker::monotonic_now());
}

// Turns until done(now); false when something failed, or at `limit`.
template <typename Done>
bool Generator::turn_until(const Watch& watch, Instant limit, Done&& done) {
  Instant now = worker::monotonic_now();
  while (!done(now)) {
    const std::uint64_t start = __rdtsc();
    const bool busy = turn(now);
    if (busy) busy_cycles_ += __rdtsc() - start;
    if (failures_.count() > 0) error_ = failures_.first();
    if (now > limit) error_ = "after the time allowed " + std::to_string(clients_.open()) + " connections are open";
    if (!error_.empty()) return false;
    if (now >= next_report_) {
      if (watch.each_second) watch.each_second(clients_, static_cast<double>((now - started_).to_nanoseconds()) / 1e9);
      next_report_ = next_report_ + Duration::seconds(1);
      clients_.disturbed(worker::monotonic_now());
    }
    const Instant after = worker::monotonic_now();
    look_for_gap(after - now, after);
    now = !busy && rests_ ? rest() : after;
  }
  return true;
}

// Leaves the CPU to others. For less than what is measured in such a run.
Instant Generator::rest() {
  const timespec time{.tv_sec = 0, .tv_nsec = 100'000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  return worker::monotonic_now();
}

// A turn that took much longer than its packets can explain: the machine gave the core to somebody else.
void Generator::look_for_gap(Duration took, Instant now) {
  if (took <= kGap + kGapPerPacket * static_cast<std::int64_t>(packets_in_turn_)) return;
  ++figures_.gaps;
  figures_.longest_gap = std::max(figures_.longest_gap, took);
  clients_.disturbed(now);
}

bool Generator::turn(Instant now) {
  const worker::PacketIo::Counters before = io_.counters();
  bool busy = io_.receive(now);
  busy |= timers_.advance(now) > 0;
  tcp_.deliver_events(now);
  tls_.service(now);
  clients_.pace(now);
  tls_.service(now);
  tcp_.flush(now);
  busy |= io_.transmit(now);
  busy |= tls_.has_work();
  const std::uint64_t received = io_.counters().frames_received - before.frames_received;
  const std::uint64_t sent = io_.counters().frames_sent - before.frames_sent;
  figures_.packets_received += received;
  figures_.packets_sent += sent;
  packets_in_turn_ = received + sent;
  return busy;
}

bool Generator::wait_for_links() {
  const Instant limit = worker::monotonic_now() + course_.patience;
  std::array<nic::Packet, 1> nothing;
  for (nic::Port* port : ports_) {
    // A memif client connects from inside its receive calls.
    for (port->refresh_link(); !port->link_up(); port->refresh_link()) {
      static_cast<void>(port->receive(0, nothing));
      if (worker::monotonic_now() > limit) {
        error_ = "port " + port->info().name + ": the link does not come up; is the other side running?";
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return true;
}

}  // namespace millrace::perf
