// From a datagram to the one that it is for: connection, half-open entry, TIME-WAIT entry, listener, or nobody.
#include "dataplane/tcp/isn.h"
#include "dataplane/tcp/segment_io.h"
#include "dataplane/tcp/stack.h"

namespace millrace::tcp {

void Stack::on_datagram(ip::Datagram&& datagram, Instant now) {
  counters_.add(Counter::kSegmentsReceived);
  Result<Decoded, Counter> decoded = decode(std::move(datagram));
  if (!decoded) {
    counters_.add(decoded.error());
    return;
  }
  Segment& segment = decoded->segment;
  if (runs_.extend(decoded->flow, segment)) return counters_.add(Counter::kSegmentsCoalesced);
  if (Coalescer::Run* before = runs_.take(decoded->flow)) on_run(*before, now);
  FlowEntry* entry = flows_.find(decoded->flow);
  if (supply_ != Supply::kPlenty && !segment.payload.empty() && !may_take_payload(entry)) [[unlikely]] {
    counters_.add(Counter::kDropLowBuffers);
    segment.payload = {};
    segment.payload_dropped = true;
    segment.flags &= static_cast<std::uint8_t>(~TcpFlags::kFin);
  }
  if (entry == nullptr) return on_unknown_segment(decoded->flow, segment, SeqNum(), false, now);
  switch (entry->kind) {
    case FlowEntry::Kind::kEndpoint: return on_or_after(static_cast<Endpoint&>(*entry), segment, now);
    case FlowEntry::Kind::kHalfOpen: return on_half_open_segment(static_cast<HalfOpenEntry&>(*entry), segment, now);
    case FlowEntry::Kind::kTimeWait: return on_time_wait_segment(static_cast<TimeWait&>(*entry), segment, now);
  }
}

bool Stack::may_take_payload(const FlowEntry* entry) const {
  if (supply_ == Supply::kNone) return false;
  if (entry == nullptr || entry->kind != FlowEntry::Kind::kEndpoint) return true;
  const Connection& connection = static_cast<const Endpoint*>(entry)->connection_;
  const std::size_t held = connection.readable() + connection.receiver().reassembly().size() + connection.sender().queued();
  return held < limits::kTcpScarceBytes;
}

// Now, or when the burst has shown whether more of the same follows.
void Stack::on_or_after(Endpoint& endpoint, Segment& segment, Instant now) {
  if (supply_ != Supply::kPlenty) [[unlikely]]
    return on_endpoint_segment(endpoint, segment, now);  // each is looked at by itself
  const std::uint32_t room = endpoint.connection_.expected(segment.seq).count();
  if (runs_.full()) on_run(*runs_.take_any(), now);
  if (!runs_.start(endpoint, endpoint.key, segment, room)) on_endpoint_segment(endpoint, segment, now);
}

void Stack::on_run(Coalescer::Run& run, Instant now) {
  if (!run.rest.empty()) run.first.rest = &run.rest;
  on_endpoint_segment(*run.endpoint, run.first, now);
  run.first = {};
  run.rest.clear();
}

void Stack::end_burst(Instant now) {
  while (Coalescer::Run* run = runs_.take_any()) on_run(*run, now);
}

void Stack::on_endpoint_segment(Endpoint& endpoint, const Segment& segment, Instant now) {
  endpoint.connection_.on_segment(segment, now);
  schedule_events(endpoint);
  mark_dirty(endpoint);
}

void Stack::on_half_open_segment(HalfOpenEntry& entry, const Segment& segment, Instant now) {
  switch (entry.state.on_segment(segment)) {
    case HalfOpen::Verdict::kDrop: counters_.add(Counter::kDropBadFlags); return;
    case HalfOpen::Verdict::kAnswer: emit(entry.key, entry.tx, entry.state.answer(now), now); return;
    case HalfOpen::Verdict::kForget: counters_.add(Counter::kResetsReceived); return forget(entry);
    case HalfOpen::Verdict::kRefuse: counters_.add(Counter::kDropBadAck); return refuse(entry.key, segment, now);
    case HalfOpen::Verdict::kComplete: return complete(entry, segment, now);
  }
}

void Stack::complete(HalfOpenEntry& entry, const Segment& ack, Instant now) {
  Endpoint* endpoint = endpoints_.make(*this, shared_, entry.key, entry.tx);
  if (endpoint == nullptr) {  // the entry stays: its SYN-ACK is sent again, the peer's answer may find room
    counters_.add(Counter::kDropNoMemory);
    return;
  }
  const Terms terms = entry.state.terms();
  Listener& listener = entry.listener;
  forget(entry);
  establish(listener, *endpoint, terms, ack, now);
}

// An acknowledgement that nobody waits for may be the answer to a cookie. False: it is not.
bool Stack::complete_cookie(const FlowKey& flow, const Segment& ack, Instant now) {
  Listener* listener = find_listener(flow);
  if (listener == nullptr || listener->cookies_until_ <= now) return false;
  const std::optional<ip::Path> path = ip_.path_to(flow.peer_ip);
  if (!path) return false;
  const std::optional<Terms> terms = cookies_.open(flow, local_terms(flow, *path, now), ack, now);
  if (!terms) {
    counters_.add(Counter::kCookiesRefused);
    return false;
  }
  Endpoint* endpoint = endpoints_.make(*this, shared_, flow, path->tx);
  if (endpoint == nullptr) {  // what the peer sends again may find room
    counters_.add(Counter::kDropNoMemory);
    return true;
  }
  counters_.add(Counter::kCookiesAccepted);
  establish(*listener, *endpoint, *terms, ack, now);
  return true;
}

void Stack::establish(Listener& listener, Endpoint& endpoint, const Terms& terms, const Segment& ack, Instant now) {
  counters_.add(Counter::kPassiveOpens);
  members_.push_back(endpoint);
  flows_.insert(endpoint);
  endpoint.begin(false, now);
  endpoint.connection_.accept(terms, ack, now);
  listener.acceptor_->on_accept(endpoint, now);
  on_endpoint_segment(endpoint, ack, now);
}

void Stack::on_time_wait_segment(TimeWait& entry, const Segment& segment, Instant now) {
  switch (entry.on_segment(segment)) {
    case TimeWait::Verdict::kDrop: return;
    case TimeWait::Verdict::kRestart: time_wait_.restart(entry, now); [[fallthrough]];
    case TimeWait::Verdict::kAnswer: emit(entry.key, entry.tx, entry.answer(now), now); return;
    case TimeWait::Verdict::kReopen: {
      const FlowKey flow = entry.key;
      const SeqNum least_isn = entry.snd_nxt + SeqLen(0x10001);  // beyond what the old connection may have in the network
      counters_.add(Counter::kTimeWaitReused);
      time_wait_.remove(entry);
      return on_unknown_segment(flow, segment, least_isn, true, now);
    }
  }
}

void Stack::on_unknown_segment(const FlowKey& flow, const Segment& segment, SeqNum least_isn, bool reopen, Instant now) {
  const std::uint8_t flags = segment.flags & (TcpFlags::kSyn | TcpFlags::kAck | TcpFlags::kRst | TcpFlags::kFin);
  if (flags == TcpFlags::kAck && complete_cookie(flow, segment, now)) return;
  Listener* listener = (flags & (TcpFlags::kAck | TcpFlags::kRst)) == 0 ? find_listener(flow) : nullptr;
  if (listener != nullptr && flags != TcpFlags::kSyn) {  // RFC 9293 3.10.7.2, fourth: LISTEN drops it
    counters_.add(Counter::kDropBadFlags);
    return;
  }
  if (listener == nullptr) {
    counters_.add(Counter::kDropNoConnection);
    return refuse(flow, segment, now);
  }
  if (!listener->accepting_) {
    counters_.add(Counter::kDropNotAccepting);
    return;
  }
  const std::optional<ip::Path> path = ip_.path_to(flow.peer_ip);
  if (!path) {
    counters_.add(Counter::kDropBadPeer);  // we could not answer
    return;
  }
  on_syn(*listener, flow, *path, segment, least_isn, reopen, now);
}

void Stack::on_syn(Listener& listener, const FlowKey& flow, const ip::Path& path, const Segment& syn, SeqNum least_isn,
                   bool reopen, Instant now) {
  LocalTerms local = local_terms(flow, path, now);
  if (reopen) local.iss = later(local.iss, least_isn);
  const bool room = listener.half_open_ < config_.syn_backlog;
  HalfOpenEntry* entry = room ? half_open_.make(*this, listener, flow, local, syn, path.tx) : nullptr;
  if (entry == nullptr) {
    // A flood of peers that were made up: from now on nothing is remembered, and who answers is let in.
    counters_.add(Counter::kCookiesSent);
    listener.cookies_until_ = now + SynCookies::kLifetime;
    emit(flow, path.tx, cookies_.answer(flow, local, syn, now), now);
    return;
  }
  entry->begin(false, now);
  ++listener.half_open_;
  listener.entries_.push_back(*entry);
  flows_.insert(*entry);
  emit(flow, path.tx, entry->state.answer(now), now);
  timers_.arm(entry->timer, now + entry->state.timeout());
}

void Stack::refuse(const FlowKey& flow, const Segment& segment, Instant now) {
  if (segment.has(TcpFlags::kRst)) return;
  counters_.add(Counter::kResetsSent);
  emit(flow, {}, make_reset_for(segment), now);
}

}  // namespace millrace::tcp
