#include "dataplane/tcp/stack.h"

#include <algorithm>

#include "dataplane/tcp/isn.h"
#include "dataplane/tcp/segment_io.h"
#include "dataplane/wire/endian.h"

namespace millrace::tcp {
namespace {

constexpr std::size_t kIpv4HeaderBytes = 20;
constexpr std::size_t kIpv6HeaderBytes = 40;

// Payload and options of a full segment: what the path takes and what one buffer holds.
std::uint16_t mss_for(std::size_t mtu, bool v4, const nic::PacketPool& pool) {
  const std::size_t headers = (v4 ? kIpv4HeaderBytes : kIpv6HeaderBytes) + wire::kTcpMinHeaderBytes;
  const std::size_t room = pool.buffer_bytes() - limits::kPacketHeadroomBytes - wire::kTcpMaxHeaderBytes;
  return static_cast<std::uint16_t>(std::min(mtu > headers ? mtu - headers : 0, room));
}

std::uint16_t port_of(const std::unique_ptr<Listener>& listener) { return listener->address().port; }

}  // namespace

const char* to_text(ListenError error) {
  switch (error) {
    case ListenError::kAddressInUse: return "address already in use";
    case ListenError::kNotLocal: return "not an address of any port";
  }
  return "unknown";
}

Stack::Stack(ip::IpLayer& ip, TimerWheel& timers, stream::ChainPool& chains, Rng& rng, const StackConfig& config)
    : ip_(ip),
      timers_(timers),
      config_(config),
      hash_(config.secret),
      flows_(config.max_connections + config.max_half_open + config.max_time_wait, hash_),
      held_(std::min<std::size_t>(config.max_held_slices, 1'024), config.max_held_slices),
      sent_(std::min<std::size_t>(config.max_sent_ranges, 1'024), config.max_sent_ranges),
      undos_(std::min<std::size_t>(config.max_connections, 1'024), config.max_connections),
      challenges_(config.challenge_acks_per_second),
      shared_{chains, held_, sent_, undos_, config_.tcp, counters_, challenges_},
      runs_(chains),
      endpoints_(std::min(config.initial_connections, config.max_connections), config.max_connections),
      half_open_(std::min<std::size_t>(config.max_half_open, 1'024), config.max_half_open),
      time_wait_(config.max_time_wait, config.tcp.time_wait, flows_, timers),
      ports_(config.first_port, config.last_port, hash_, rng.next()),
      cookies_(hash_) {
  look_at_buffers(Instant());
}

Stack::~Stack() {
  while (!listeners_.empty()) close_listener(*listeners_.back(), Instant());
  while (Endpoint* endpoint = members_.pop_front()) {
    flows_.remove(*endpoint);
    endpoints_.destroy(endpoint);
  }
}

Result<Listener*, ListenError> Stack::listen(const SocketAddress& address, stream::Acceptor& acceptor) {
  if (!address.ip.is_unspecified() && !ip_.has_address(address.ip)) return Error<ListenError>(ListenError::kNotLocal);
  const bool taken = std::ranges::any_of(listeners_, [&](const auto& other) { return other->address() == address; });
  if (taken) return Error<ListenError>(ListenError::kAddressInUse);
  const auto behind = std::ranges::upper_bound(listeners_, address.port, {}, port_of);
  return listeners_.insert(behind, std::make_unique<Listener>(address, acceptor))->get();
}

void Stack::close_listener(Listener& listener, Instant) {
  while (!listener.entries_.empty()) forget(listener.entries_.front());
  std::erase_if(listeners_, [&](const auto& other) { return other.get() == &listener; });
}

Listener* Stack::find_listener(const FlowKey& flow) {
  Listener* best = nullptr;
  int best_match = 0;
  for (const auto& listener : std::ranges::equal_range(listeners_, flow.local_port, {}, port_of)) {
    const int match = listener->match(flow);
    if (match <= best_match) continue;
    best = listener.get();
    best_match = match;
  }
  return best;
}

LocalTerms Stack::local_terms(const FlowKey& flow, const ip::Path& path, Instant now) const {
  const TcpConfig& config = config_.tcp;
  const nic::PacketPool& packets = shared_.chains.packets();
  const bool v4 = flow.local_ip.is_v4();
  return {.iss = initial_sequence_number(hash_, flow, now),
          .mss = mss_for(path.mtu, v4, packets),
          .least_mss = mss_for(v4 ? 576 : 1280, v4, packets),
          .timestamp_offset = timestamp_offset(hash_, flow),
          .window = static_cast<std::uint32_t>(std::min(config.initial_receive_buffer_bytes, config.receive_buffer_bytes)),
          .window_scale = window_scale_for(config.receive_buffer_bytes),
          .ask_for_ecn = config.ask_for_ecn};
}

stream::ByteStream* Stack::connect(const SocketAddress& peer, stream::ByteStreamEvents& events, stream::CloseReason& reason,
                                   Instant now) {
  const auto fail = [&](stream::CloseReason why) {
    reason = why;
    counters_.add(Counter::kActiveOpensFailed);
    return nullptr;
  };
  const std::optional<ip::Path> path = peer.port == 0 ? std::nullopt : ip_.path_to(peer.ip);
  if (!path) return fail(stream::CloseReason::kNoRoute);
  FlowKey flow{path->source, peer.ip, 0, peer.port};
  if (!ports_.choose(flow, [&](const FlowKey& candidate) { return owns(candidate) && flows_.find(candidate) == nullptr; })) {
    return fail(stream::CloseReason::kNoPort);
  }
  Endpoint* endpoint = endpoints_.make(*this, shared_, flow, path->tx);
  if (endpoint == nullptr) return fail(stream::CloseReason::kNoMemory);
  counters_.add(Counter::kActiveOpens);
  members_.push_back(*endpoint);
  flows_.insert(*endpoint);
  endpoint->begin(true, now);
  endpoint->user_ = &events;
  endpoint->connection_.open(local_terms(flow, *path, now), now);
  mark_dirty(*endpoint);
  return endpoint;
}

void Stack::on_transport_error(const ip::TransportError& error, Instant now) {
  const FlowKey flow{error.source, error.destination, wire::load_be16(error.quoted), wire::load_be16(error.quoted + 2)};
  FlowEntry* entry = error.protocol == ip::kProtocolTcp ? flows_.find(flow) : nullptr;
  if (entry == nullptr || entry->kind != FlowEntry::Kind::kEndpoint || error.kind == ip::TransportError::Kind::kTimeExceeded) {
    counters_.add(Counter::kDropTransportError);
    return;
  }
  Endpoint& endpoint = static_cast<Endpoint&>(*entry);
  const SeqNum seq(wire::load_be32(error.quoted + 4));
  if (error.kind == ip::TransportError::Kind::kPacketTooBig) {
    if (!endpoint.connection_.is_in_flight(seq)) return counters_.add(Counter::kDropTransportError);  // forged (RFC 5927 7.2)
    const std::size_t mtu = ip_.learn_path_mtu(error.destination, error.mtu, now);
    if (mtu > 0) endpoint.connection_.on_path_mss(mss_for(mtu, flow.local_ip.is_v4(), shared_.chains.packets()), now);
  } else {
    endpoint.connection_.on_unreachable(seq, error.kind == ip::TransportError::Kind::kPortUnreachable);
  }
  schedule_events(endpoint);
  mark_dirty(endpoint);
}

HalfOpenEntry::HalfOpenEntry(Stack& owner, Listener& of, const FlowKey& flow, const LocalTerms& local, const Segment& syn,
                             nic::TxOffloads tx_offloads)
    : FlowEntry(Kind::kHalfOpen, flow),
      state(local, syn),
      stack(owner),
      listener(of),
      timer(Timer::calling<&HalfOpenEntry::on_timeout>(*this)),
      tx(tx_offloads) {}

void HalfOpenEntry::on_timeout(Instant now) { stack.on_half_open_timeout(*this, now); }

void Stack::on_half_open_timeout(HalfOpenEntry& entry, Instant now) {
  if (!entry.state.retry(config_.tcp.syn_ack_retries)) {
    counters_.add(Counter::kHalfOpenExpired);
    return forget(entry);
  }
  counters_.add(Counter::kRetransmissionTimeouts);
  emit(entry.key, entry.tx, entry.state.answer(now), now);
  timers_.arm(entry.timer, now + entry.state.timeout());
}

void Stack::forget(HalfOpenEntry& entry) {
  flows_.remove(entry);
  --entry.listener.half_open_;
  half_open_.destroy(&entry);
}

void Stack::deliver_events(Instant now) {
  end_burst(now);
  while (Endpoint* endpoint = eventful_.pop_front()) endpoint->deliver(now);
}

void Stack::flush(Instant now) {
  while (true) {
    deliver_events(now);
    if (dirty_.empty()) break;
    while (Endpoint* endpoint = dirty_.pop_front()) transmit(*endpoint, now);
  }
  if (now >= next_look_) look_at_buffers(now);
}

// A connection may take a sixteenth of what is left, so that each that stalls takes less than the one before. When it is scarce
// all the same, those who hold little go on, and those who have held much for long without any progress are ended: however many
// stall, others are served. Not looked at in every turn: pools may have to ask for their number in many places.
void Stack::look_at_buffers(Instant now) {
  constexpr std::size_t kShares = 16;
  constexpr Duration kInterval = Duration::microseconds(50);
  next_look_ = now + kInterval;
  const nic::PacketPool& pool = shared_.chains.packets();
  const std::size_t all = pool.capacity();
  const std::size_t left = all - std::min(pool.in_use(), all);
  supply_ = left < all / 32 ? Supply::kNone : left < all / 8 ? Supply::kScarce : Supply::kPlenty;
  shared_.buffer_share = supply_ == Supply::kPlenty ? left * pool.buffer_bytes() / kShares : 0;
  if (left < all / 16) [[unlikely]]
    reset_stalled(now);
}

void Stack::reset_stalled(Instant now) {
  constexpr Duration kPatience = Duration::seconds(5);
  constexpr int kLooks = 16;  // at a time; all in turn
  for (int i = 0; i < kLooks && !members_.empty(); ++i) {
    Endpoint& endpoint = *members_.pop_front();
    members_.push_back(endpoint);
    const Sender& sender = endpoint.connection_.sender();
    if (sender.queued() < limits::kTcpScarceBytes || now - sender.progress_at() < kPatience) continue;
    counters_.add(Counter::kResetStalled);
    endpoint.connection_.abort(stream::CloseReason::kNoMemory);
    schedule_events(endpoint);
    mark_dirty(endpoint);
  }
}

void Stack::transmit(Endpoint& endpoint, Instant now) {
  bool sent = true;
  endpoint.connection_.transmit(now,
                                [&](const OutgoingSegment& segment) { sent &= emit(endpoint.key, endpoint.tx_, segment, now); });
  if (!sent) [[unlikely]]
    endpoint.connection_.on_local_loss(now);
  settle(endpoint, now);
}

// After everything that can change a connection's state: tables, timer, gauges; frees what nobody needs.
void Stack::settle(Endpoint& endpoint, Instant now) {
  const Connection& connection = endpoint.connection_;
  const State state = connection.state();
  if (endpoint.in_table && (state == State::kClosed || state == State::kTimeWait)) {
    flows_.remove(endpoint);
    endpoint.timer_.disarm();
    if (state == State::kTimeWait && time_wait_.insert(endpoint, connection, endpoint.tx_, now)) {
      counters_.add(Counter::kTimeWaitEvicted);
    }
  }
  if (!endpoint.in_table && endpoint.user_ == nullptr) {
    count(endpoint, true);
    endpoints_.destroy(&endpoint);
    return;
  }
  count(endpoint, false);
  if (connection.end()) schedule_events(endpoint);
  const Instant deadline = endpoint.in_table ? connection.next_timeout() : Instant::never();
  // A deadline that moved back is left to the timer, which finds nothing due and comes here again.
  if (deadline.is_never()) {
    endpoint.timer_.disarm();
  } else if (!endpoint.timer_.is_armed() || deadline < endpoint.timer_.deadline()) {
    timers_.arm(endpoint.timer_, deadline);
  }
}

void Stack::count(Endpoint& endpoint, bool gone) {
  const State state = gone ? State::kClosed : endpoint.connection_.state();
  const std::size_t bytes = gone ? 0 : endpoint.connection_.sender().queued() + endpoint.connection_.readable();
  if (endpoint.counted_state_ != State::kClosed) --gauges_.connections[static_cast<std::size_t>(endpoint.counted_state_)];
  if (state != State::kClosed) ++gauges_.connections[static_cast<std::size_t>(state)];
  gauges_.bytes_queued += static_cast<std::int64_t>(bytes) - static_cast<std::int64_t>(endpoint.counted_bytes_);
  endpoint.counted_state_ = state;
  endpoint.counted_bytes_ = bytes;
}

bool Stack::has_unsent() {
  for (Endpoint& endpoint : members_) {
    if (endpoint.connection_.sender().queued() > 0) return true;
  }
  return false;
}

void Stack::reset_all(Instant) {
  for (Endpoint& endpoint : members_) {
    endpoint.connection_.abort(stream::CloseReason::kShutdown);
    schedule_events(endpoint);
    mark_dirty(endpoint);
  }
  for (const auto& listener : listeners_) {
    while (!listener->entries_.empty()) forget(listener->entries_.front());
  }
}

bool Stack::emit(const FlowKey& flow, nic::TxOffloads tx, const OutgoingSegment& segment, Instant now) {
  counters_.add(Counter::kSegmentsSent, segment.segments());
  counters_.add(Counter::kBytesSent, segment.size);
  constexpr std::uint8_t kEcnCapable = 2;  // ECT(0)
  const std::uint8_t traffic_class = segment.ecn_capable ? kEcnCapable : 0;
  bool sent = true;
  for (SegmentEncoder encoder(flow, segment, tx, shared_.chains.packets()); !encoder.done();) {
    nic::Packet packet = encoder.next();
    if (!packet) {
      counters_.add(Counter::kSegmentsWithoutBuffer);
      return false;
    }
    if (ip_.send(std::move(packet), flow.local_ip, flow.peer_ip, ip::kProtocolTcp, traffic_class, now)) continue;
    counters_.add(Counter::kSegmentsRefusedByIp);
    sent = false;
  }
  return sent;
}

}  // namespace millrace::tcp
