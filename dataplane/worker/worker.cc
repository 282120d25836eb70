#include "dataplane/worker/worker.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

namespace millrace::worker {
namespace {

// How often plain counters are copied to where other threads may read them.
constexpr Duration kPublishInterval = Duration::milliseconds(100);

// How many objects of each kind a worker starts with; what is above is allocated when it is first needed, and kept.
constexpr std::size_t kInitialObjects = 1'024;
// Small slices are copied together, so that chains hold few nodes per buffer; see stream::Chain.
constexpr std::size_t kNodesPerBuffer = 8;

// A connection buffers at most this part of the pool in each direction, so that it takes hundreds that stall to use it up.
constexpr std::size_t kPoolShare = 1'024;
constexpr std::size_t kLeastConnectionBufferBytes = 16 * 1024;

std::size_t connection_buffer_bytes(std::size_t packet_buffers) {
  return std::max(kLeastConnectionBufferBytes, packet_buffers * limits::kPacketBufferBytes / kPoolShare);
}

tcp::StackConfig stack_config(const WorkerConfig& config) {
  tcp::StackConfig stack;
  stack.tcp = config.tcp;
  stack.secret = config.secret;
  return stack;
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
      ports_(config.ports),
      rng_(config.seed),
      timers_(now),
      chains_(packets, config.packet_buffers, config.packet_buffers * kNodesPerBuffer),
      ip_(config.interfaces, config.routes, timers_, packets, rng_, now),
      tcp_(ip_, timers_, chains_, rng_, stack_config(config)),
      proxy_({.worker_index = config.index,
              .timers = timers_,
              .chains = chains_,
              .rng = rng_,
              .connector = tcp_,
              .log = report.log,
              .report = report,
              .wall_offset_nanoseconds = config.wall_offset_nanoseconds,
              .limits = {.initial_objects = kInitialObjects,
                         .connection_buffer_bytes = connection_buffer_bytes(config.packet_buffers)},
              .hostname = hostname_}),
      listeners_(tcp_, proxy_),
      taps_(config.wall_offset_nanoseconds),
      inspector_(config.index, tcp_, taps_),
      published_(report) {
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
  published_.add_gauge<&ip::IpLayer::neighbours>("ip.neighbours", ip_);
  published_.add_gauge<&ip::IpLayer::reassemblies>("ip.reassemblies", ip_);
  published_.add_gauge<&ip::IpLayer::path_mtus>("ip.path_mtus", ip_);
  published_.add_gauge<&ip::IpLayer::default_routers>("ip.default_routers", ip_);
  published_.add_counter("listener.open_failed", listeners_.failed());
  published_.add_counter("capture_dropped", taps_.dropped());
  published_.add_gauge<&nic::PacketPool::in_use>("packets_in_use", packets_);
  published_.add_gauge<&nic::PacketPool::exhausted>("packets_exhausted", packets_);
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
  report_.last_turn_nanoseconds.set(now.to_nanoseconds());
  follow_control(now);
  adopt_snapshot(now);
  follow_links(now);

  bool busy = receive_bursts(now);
  busy |= timers_.advance(now) > 0;
  tcp_.deliver_events(now);
  proxy_.end_of_turn(now);
  tcp_.flush(now);
  busy |= transmit_bursts(now);
  busy |= inspector_.serve(control_.mailbox, now);
  published_.refresh(now, kPublishInterval);
  return busy;
}

bool Worker::receive_bursts(Instant now) {
  bool any = false;
  for (std::size_t port = 0; port < ports_.size(); ++port) {
    const PortBinding& binding = ports_[port];
    for (std::size_t burst = 0; burst < limits::kRxBurstsPerTurn; ++burst) {
      const std::size_t count = binding.port->receive(binding.queue, burst_);
      if (taps_.active()) taps_.on_received(port, std::span(burst_).first(count), now);
      for (std::size_t i = 0; i < count; ++i) handle_frame(std::move(burst_[i]), now);
      any |= count > 0;
      if (count < burst_.size()) break;
    }
  }
  if (any) tcp_.end_burst(now);
  return any;
}

void Worker::handle_frame(nic::Packet frame, Instant now) {
  ip::IpLayer::Received received = ip_.receive(std::move(frame), now);
  if (auto* datagram = std::get_if<ip::Datagram>(&received)) {
    tcp_.on_datagram(std::move(*datagram), now);
  } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
    tcp_.on_transport_error(*error, now);
  }
}

// What a port does not take now stays queued, in order, for the next turn; the queue's bound is ip's.
bool Worker::transmit_bursts(Instant now) {
  bool any = false;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    while (true) {
      std::span<nic::Packet> frames = ip_.outgoing(i);
      if (frames.empty()) break;
      if (frames.size() > limits::kTxBurstPackets) frames = frames.first(limits::kTxBurstPackets);
      const std::size_t offered = frames.size();
      if (taps_.active()) taps_.on_transmit(i, frames, now);
      const std::size_t taken = ports_[i].port->transmit(ports_[i].queue, frames);
      if (taps_.active()) taps_.on_transmitted(i, offered, taken);
      ip_.outgoing_taken(i, taken);
      any |= taken > 0;
      if (taken < offered) break;
    }
  }
  return any;
}

void Worker::adopt_snapshot(Instant now) {
  const std::uint64_t version = snapshots_.version();
  if (version == snapshot_version_) return;
  const std::shared_ptr<const config::Snapshot> snapshot = snapshots_.current();
  snapshot_version_ = snapshot->version;
  proxy_.apply(snapshot, now);
  if (lifecycle_ == Lifecycle::kServing) listeners_.follow(*snapshot, now);
  control_.listeners_failed.store(static_cast<std::uint32_t>(listeners_.failed()), std::memory_order_relaxed);
  report_.snapshot_version.set(static_cast<std::int64_t>(snapshot_version_));
  control_.listening.store(true, std::memory_order_release);
}

void Worker::follow_control(Instant now) {
  if (control_.close_listeners.load(std::memory_order_relaxed)) listeners_.close_all(now);
  const Lifecycle wanted = control_.wanted.load(std::memory_order_relaxed);
  if (wanted >= Lifecycle::kDraining && lifecycle_ == Lifecycle::kServing) {
    lifecycle_ = Lifecycle::kDraining;
    listeners_.close_all(now);
    proxy_.start_drain(now);
  }
  if (lifecycle_ == Lifecycle::kDraining && proxy_.idle()) control_.drained.store(true, std::memory_order_release);
}

void Worker::follow_links(Instant now) {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const auto interface = static_cast<std::uint8_t>(i);
    const bool up = ports_[i].port->link_up();
    if (up == ip_.is_link_up(interface)) continue;
    ip_.set_link_up(interface, up, now);
    if (!up) taps_.on_discarded(i);
  }
}

void Worker::announce(Instant now) {
  follow_links(now);
  ip_.announce(now);
  transmit_bursts(now);
}

void Worker::stop(Instant now) {
  lifecycle_ = Lifecycle::kStopped;
  listeners_.close_all(now);
  proxy_.force_close_all(now);
  proxy_.end_of_turn(now);
  tcp_.reset_all(now);
  tcp_.flush(now);
  transmit_bursts(now);
  published_.refresh(now, Duration());
}

}  // namespace millrace::worker
