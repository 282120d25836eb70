#include "dataplane/tcp/connection.h"

namespace millrace::tcp {

using stream::CloseReason;

const char* to_text(State state) {
  static constexpr const char* kTexts[kStates] = {"CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
                                                  "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK",    "TIME-WAIT"};
  return kTexts[static_cast<std::size_t>(state)];
}

Connection::Connection(Shared& shared)
    : shared_(shared),
      receiver_(shared.chains, shared.held, shared.config),
      sender_(shared.chains, shared.sent, shared.undos, shared.config) {}

void Connection::open(const LocalTerms& local, Instant now) {
  terms_.local = local;
  set_state(State::kSynSent);
  syn_due_ = true;
  deadline_ = now + syn_timeout();
}

void Connection::accept(const Terms& terms, const Segment& ack, Instant now) {
  terms_ = terms;
  ts_recent_at_ = now;
  heard_at_ = now;
  start_sender(ack, std::uint32_t{ack.window} << terms.peer_scale);
  if (const auto sent_at = echo_sent_at(ack, now)) sender_.rtt().sample(now - *sent_at);
  receiver_.start(terms.irs + SeqLen(1), terms.syn_window(), terms.own_scale(), terms.local.mss);
  last_ack_sent_ = receiver_.rcv_nxt();
  set_state(State::kEstablished);
}

void Connection::set_state(State next) {
  if (next == state_) return;
  MR_ASSERT(may_follow(state_, next));
  state_ = next;
  deadline_ = Instant::never();
}

void Connection::finish(CloseReason reason) {
  if (!end_) end_ = reason;
  sender_.clear();
  set_state(State::kClosed);
}

std::size_t Connection::read(stream::Chain& to, std::size_t limit, Instant now) {
  constexpr Duration kUnknownRtt = Duration::milliseconds(100);
  const Duration rtt = sender_.rtt().has_sample() ? sender_.rtt().srtt() : kUnknownRtt;
  const std::size_t count = receiver_.read(to, limit, rtt, now);
  const bool receiving = state_ == State::kEstablished || state_ == State::kFinWait1 || state_ == State::kFinWait2;
  if (receiving && receiver_.wants_window_update(shared_.buffer_share)) acks_.request_now();
  return count;
}

std::size_t Connection::write(stream::Chain& from, Instant now) {
  return can_write() ? sender_.write(from, shared_.buffer_share, now) : 0;
}

void Connection::shutdown_write(Instant now) {
  switch (state_) {
    case State::kEstablished:
      sender_.queue_fin(now);
      set_state(State::kFinWait1);
      return;
    case State::kCloseWait:
      sender_.queue_fin(now);
      set_state(State::kLastAck);
      return;
    case State::kSynSent:
    case State::kSynReceived:
      sender_.queue_fin(now);  // establish() goes on to FIN-WAIT-1
      return;
    default: return;
  }
}

void Connection::close(Instant now) {
  user_gone_ = true;
  receiver_.discard();
  if (state_ == State::kSynSent) {
    finish(CloseReason::kGraceful);
    return;
  }
  shutdown_write(now);
  if (state_ == State::kFinWait2) deadline_ = now + shared_.config.fin_wait_2;
}

void Connection::reset() {
  user_gone_ = true;
  receiver_.discard();
  abort(CloseReason::kGraceful);
}

void Connection::abort(CloseReason reason) {
  if (end_ == CloseReason::kGraceful) end_ = reason;  // what the user has not read by now it will not read
  if (state_ == State::kClosed) return;
  if (state_ != State::kSynSent && state_ != State::kTimeWait) {
    const SeqNum seq = state_ == State::kSynReceived ? terms_.local.iss + SeqLen(1) : sender_.snd_nxt();
    plan_reset({.seq = seq, .ack = receiver_.rcv_nxt(), .flags = TcpFlags::kRst | TcpFlags::kAck});
  }
  finish(reason);
}

void Connection::plan_reset(const OutgoingSegment& reset) {
  reset_due_ = true;
  reset_acks_ = reset.has(TcpFlags::kAck);
  reset_seq_ = reset.seq;
  reset_ack_ = reset.ack;
}

Connection::Events Connection::take_events() {
  const Events events{connected_event_, readable_event_, can_write() && sender_.take_writable(shared_.buffer_share)};
  connected_event_ = readable_event_ = false;
  return events;
}

void Connection::on_unreachable(SeqNum seq, bool final) {
  if (state_ != State::kSynSent || seq != terms_.local.iss) return shared_.counters.add(Counter::kDropTransportError);
  if (final) return finish(CloseReason::kUnreachable);
  unreachable_ = true;
}

bool Connection::is_in_flight(SeqNum seq) const {
  return state_ >= State::kEstablished && state_ != State::kTimeWait && sender_.snd_una() <= seq && seq < sender_.snd_nxt();
}

void Connection::on_path_mss(std::uint32_t mss, Instant now) {
  const std::uint32_t options = terms_.timestamps ? kTimestampBytes : 0;
  sender_.lower_mss(std::max<std::uint32_t>(mss, kMinMss) - options, now);
}

}  // namespace millrace::tcp
