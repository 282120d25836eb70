#include "dataplane/worker/worker.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "tls/alert.h"
#include "tls/engines/ipsec_mb_engine.h"
#include "tls/engines/openssl_engine.h"

namespace millrace::worker {
namespace {

// How often plain counters are copied to where other threads may read them.
constexpr Duration kPublishInterval = Duration::milliseconds(100);

constexpr int kLastTransmits = 1'000;

// How many objects of each kind a worker starts with; what is above is allocated when it is first needed, and kept.
constexpr std::size_t kInitialObjects = 1'024;
// Small slices are copied together, so that chains hold few nodes per buffer; see stream::Chain.
constexpr std::size_t kNodesPerBuffer = 8;

// A connection buffers at most this part of the pool in each direction, so that it takes hundreds that stall to use it up.
constexpr std::size_t kPoolShare = 1'024;
constexpr std::size_t kLeastConnectionBufferBytes = 16 * 1024;

std::size_t connection_buffer_bytes(const nic::PacketPool& packets) {
  return std::max(kLeastConnectionBufferBytes, packets.capacity() * packets.buffer_bytes() / kPoolShare);
}

tcp::StackConfig stack_config(const WorkerConfig& config) {
  tcp::StackConfig stack;
  stack.tcp = config.tcp;
  stack.secret = config.secret;
  stack.steering = config.team.steering;
  stack.worker = config.team.index;
  return stack;
}

std::unique_ptr<tls::RecordEngine> make_record_engine(const WorkerConfig& config) {
  using enum config::TlsSettings::RecordEngine;
  const auto chosen = config.tls.record_engine;
  auto engine = chosen == kOpenssl ? nullptr : tls::make_ipsec_mb_engine();
  if (engine == nullptr) engine = tls::make_openssl_engine();
  return chosen == kCryptoDevice ? config.device_engine(std::move(engine)) : std::move(engine);
}

// Those that the endpoints of new clusters may name: a snapshot may hold thousands that are known.
void know_pipes(const config::Snapshot::Clusters& before, const config::Snapshot::Clusters& now, host::Transport& host) {
  config::Snapshot::Clusters::for_each_change(before, now, [&](const std::string&, const auto*, const auto* cluster) {
    if (cluster == nullptr) return;
    for (const config::Endpoint& endpoint : (*cluster)->endpoints) {
      if (!endpoint.extras().pipe.empty()) host.know_pipe(endpoint.extras().pipe);
      if (endpoint.extras().health_target != nullptr && !endpoint.extras().health_target->pipe.empty())
        host.know_pipe(endpoint.extras().health_target->pipe);
    }
  });
}

std::int64_t read_gauge(const void* gauge) { return *static_cast<const std::int64_t*>(gauge); }

}  // namespace

Worker::Worker(const WorkerConfig& config, nic::PacketPool& packets, const config::SnapshotSlot& snapshots, Control& control,
               report::WorkerReport& report, Instant now)
    : snapshots_(snapshots),
      control_(control),
      report_(report),
      packets_(packets),
      hostname_(config.hostname),
      leads_(config.team.index == 0),
      rng_(config.seed),
      timers_(now),
      chains_(packets, packets.capacity(), packets.capacity() * kNodesPerBuffer),
      ip_(config.interfaces, config.routes, timers_, packets, rng_, now),
      tcp_(ip_, timers_, chains_, rng_, stack_config(config)),
      transports_(tcp_),
      record_engine_(make_record_engine(config)),
      tls_(chains_, timers_, *record_engine_, config.handshakes == nullptr ? own_handshakes_ : *config.handshakes,
           limits::kTcpMaxConnections),
      proxy_({.worker_index = config.team.index,
              .timers = timers_,
              .chains = chains_,
              .rng = rng_,
              .connector = transports_,
              .tls = tls_,
              .log = report.log,
              .report = report,
              .wall_offset_nanoseconds = config.wall_offset_nanoseconds,
              .limits = {.initial_objects = kInitialObjects, .connection_buffer_bytes = connection_buffer_bytes(packets)},
              .hostname = hostname_,
              .drain_time = config.drain_time,
              .drain_gradually = config.drain_gradually}),
      listeners_(transports_, proxy_),
      taps_(config.wall_offset_nanoseconds),
      io_(config.ports, ip_, tcp_, packets, &taps_, config.team),
      inspector_(config.team.index, tcp_, taps_),
      published_(report) {
  if (config.kernel != nullptr) transports_.host = &host_.emplace(*config.kernel, timers_, chains_);
  register_counters();
}

Worker::~Worker() = default;

void Worker::register_counters() {
  for (std::size_t i = 0; i < wire::kDropReasons; ++i) {
    published_.add_counter(std::string("ip.drop.") + wire::counter_name(static_cast<wire::DropReason>(i)), ip_.drops()[i]);
  }
  for (std::size_t i = 0; i < tcp::kCounters; ++i) {
    published_.add_counter(std::string("tcp.") + tcp::counter_name(static_cast<tcp::Counter>(i)), tcp_.counters().values()[i]);
  }
  for (std::size_t i = 0; i < tcp::kStates; ++i) {
    std::string state = tcp::to_text(static_cast<tcp::State>(i));
    std::ranges::transform(state, state.begin(), [](char c) { return c == '-' ? '_' : static_cast<char>(std::tolower(c)); });
    published_.add_gauge("tcp.connections." + state, read_gauge, &tcp_.gauges().connections[i]);
  }
  published_.add_gauge("tcp.bytes_queued", read_gauge, &tcp_.gauges().bytes_queued);
  published_.add_gauge<&tcp::Stack::half_open>("tcp.half_open", tcp_);
  published_.add_gauge<&tcp::Stack::time_wait>("tcp.time_wait", tcp_);
  if (host_) {
    published_.add_counter("host.connects", host_->counters().connects);
    published_.add_counter("host.connect_failures", host_->counters().connect_failures);
    published_.add_counter("host.accepted", host_->counters().accepted);
    published_.add_counter("host.accept_failures", host_->counters().accept_failures);
    published_.add_gauge<&host::Transport::streams>("host.connections", *host_);
  }
  published_.add_gauge<&ip::IpLayer::neighbours>("ip.neighbours", ip_);
  published_.add_gauge<&ip::IpLayer::reassemblies>("ip.reassemblies", ip_);
  published_.add_gauge<&ip::IpLayer::path_mtus>("ip.path_mtus", ip_);
  published_.add_gauge<&ip::IpLayer::default_routers>("ip.default_routers", ip_);
#define MR_TLS_COUNTER(name) published_.add_counter("tls." #name, tls_.counters().name);
#include "dataplane/secure/tls_counter.def"
#undef MR_TLS_COUNTER
  for (const tls::Alert alert : tls::kAlerts) {
    const auto number = static_cast<std::size_t>(alert);
    const std::string name(tls::to_text(alert));
    published_.add_counter("tls.alerts_sent." + name, tls_.counters().alerts_sent[number]);
    published_.add_counter("tls.alerts_received." + name, tls_.counters().alerts_received[number]);
  }
  published_.add_gauge<&secure::TlsLayer::streams>("tls.streams", tls_);
  published_.add_gauge<&secure::TlsLayer::library_objects>("tls.library_objects", tls_);
  published_.add_counter("listener.open_failed", listeners_.failed());
  published_.add_counter("capture_dropped", taps_.dropped());
  if (leads_) {
    published_.add_gauge<&nic::PacketPool::in_use>("packets_in_use", packets_);
    published_.add_gauge<&nic::PacketPool::exhausted>("packets_exhausted", packets_);
  }
  const PacketIo::Counters& io = io_.counters();
  published_.add_counter("io.frames_received", io.frames_received);
  published_.add_counter("io.frames_sent", io.frames_sent);
  published_.add_counter("io.handed_over", io.handed_over);
  published_.add_counter("io.taken_over", io.taken_over);
  published_.add_counter("io.hand_over_dropped", io.hand_over_dropped);
  published_.add_counter("io.overheard", io.overheard);
  published_.add_gauge<&stream::ChainPool::nodes_in_use>("chain_nodes_in_use", chains_);
  published_.add_gauge(
      "proxy.upstream_connections",
      [](const void* proxy) {
        return static_cast<std::int64_t>(static_cast<const proxy::Proxy*>(proxy)->counts().upstream_connections);
      },
      &proxy_);
  published_.add_gauge(
      "proxy.requests",
      [](const void* proxy) { return static_cast<std::int64_t>(static_cast<const proxy::Proxy*>(proxy)->counts().requests); },
      &proxy_);
}

bool Worker::turn(Instant now) {
  last_turn_ = now;
  report_.last_turn_nanoseconds.set(now.to_nanoseconds());
  follow_control(now);
  adopt_snapshot(now);
  follow_overload(now);
  io_.follow_links(now);

  bool busy = io_.receive(now);
  if (host_) busy |= host_->receive(now);
  busy |= timers_.advance(now) > 0;
  tcp_.deliver_events(now);
  if (host_) host_->deliver_events(now);
  tls_.service(now);
  proxy_.end_of_turn(now);
  tls_.service(now);
  tcp_.flush(now);
  if (host_) host_->flush(now);
  busy |= io_.transmit(now);
  busy |= tls_.has_work() || proxy_.has_work() || (host_ && host_->has_work());
  busy |= inspector_.serve(control_.mailbox, now);
  published_.refresh(now, kPublishInterval);
  return busy;
}

Instant Worker::next_due() const {
  constexpr Duration kPortWait = Duration::microseconds(50);  // until who took no more is tried again
  const Instant timer = timers_.next_expiry();
  return io_.waits() || tls_.waits() ? std::min(timer, last_turn_ + kPortWait) : timer;
}

void Worker::adopt_snapshot(Instant now) {
  const std::uint64_t version = snapshots_.version();
  if (version == snapshot_version_) return;
  const std::shared_ptr<const config::Snapshot> snapshot = snapshots_.current();
  snapshot_version_ = snapshot->version;
  overload_ = snapshot->overload;
  if (host_) {
    know_pipes(clusters_, snapshot->clusters, *host_);
    know_pipes(checking_, snapshot->checking, *host_);
    clusters_ = snapshot->clusters;
    checking_ = snapshot->checking;
  }
  proxy_.apply(snapshot, now);
  if (lifecycle_ == Lifecycle::kServing) listeners_.follow(*snapshot, now);
  control_.listeners_failed.store(static_cast<std::uint32_t>(listeners_.failed()), std::memory_order_relaxed);
  report_.snapshot_version.set(static_cast<std::int64_t>(snapshot_version_));
  if (!snapshot->holds_listeners) control_.listening.store(true, std::memory_order_release);
}

void Worker::follow_overload(Instant now) {
  using report::OverloadCell;
  const bool stop = overload_ != nullptr &&
                    overload_->cell->level(report::OverloadAction::kStopAcceptingConnections) == OverloadCell::kSaturated;
  if (stop == stops_accepting_) return;
  stops_accepting_ = stop;
  listeners_.set_accepting(!stop, now);
}

void Worker::follow_control(Instant now) {
  if (control_.close_listeners.load(std::memory_order_relaxed)) listeners_.close_all(now);
  if (control_.connections_leave.load(std::memory_order_relaxed)) proxy_.start_drain(now);
  proxy_.set_fails_health_checks(control_.fails_health_checks.load(std::memory_order_relaxed));
  const Lifecycle wanted = control_.wanted.load(std::memory_order_relaxed);
  if (wanted >= Lifecycle::kDraining && lifecycle_ == Lifecycle::kServing) {
    lifecycle_ = Lifecycle::kDraining;
    listeners_.close_all(now);
    proxy_.start_drain(now);
  }
  // The last bytes of an answer may still be on their way to a slow client when the proxy has done its part.
  if (lifecycle_ == Lifecycle::kDraining && !control_.drained.load(std::memory_order_relaxed) && proxy_.idle() &&
      !tcp_.has_unsent() && !(host_ && host_->has_unsent())) {
    control_.drained.store(true, std::memory_order_release);
  }
}

void Worker::announce(Instant now) {
  io_.follow_links(now);
  ip_.announce(now);
  io_.transmit(now);
}

void Worker::stop(Instant now) {
  lifecycle_ = Lifecycle::kStopped;
  listeners_.close_all(now);
  proxy_.force_close_all(now);
  proxy_.end_of_turn(now);
  tls_.reset_all(now);
  tcp_.reset_all(now);
  tcp_.flush(now);
  if (host_) {
    host_->reset_all();
    host_->flush(now);
  }
  // Another worker may be transmitting on the same queue.
  for (int tries = 0; tries < kLastTransmits && (io_.transmit(now), io_.waits()); ++tries) {
  }
  published_.refresh(now, Duration());
}

}  // namespace millrace::worker
