// What a connection sends, in order of urgency: RST, SYN, data and its retransmission, a bare ACK.
#include "dataplane/tcp/connection.h"

namespace millrace::tcp {

bool Connection::next_segment(OutgoingSegment& out, Instant now) {
  if (reset_due_) {
    reset_due_ = false;
    out = OutgoingSegment{.seq = reset_seq_, .ack = reset_ack_, .flags = TcpFlags::kRst};
    if (reset_acks_) out.flags |= TcpFlags::kAck;
    shared_.counters.add(Counter::kResetsSent);
    return true;
  }
  switch (state_) {
    case State::kClosed: return false;
    case State::kSynSent:
    case State::kSynReceived:
      if (!syn_due_ && !(state_ == State::kSynReceived && acks_.due(now))) return false;
      syn_due_ = false;
      syn_sent_at_ = now;
      acks_.on_sent(false);
      out = make_syn(terms_, state_ == State::kSynReceived, now);
      return true;
    default: break;
  }
  out = OutgoingSegment{};
  if (sender_.next(out, shared_.newest, now)) {
    const bool bare = out.size == 0 && !out.has(TcpFlags::kFin);
    // SACK blocks have no room beside a full payload: what is missing is told by an acknowledgement of its own.
    const bool more_to_say = !bare && terms_.sack && receiver_.has_sack();
    complete(out, now);
    if (!more_to_say) acks_.on_sent(bare);
    return true;
  }
  if (keep_alive_due_) {
    keep_alive_due_ = false;
    out = OutgoingSegment{.seq = sender_.snd_una() - SeqLen(1), .flags = TcpFlags::kAck};
    complete(out, now);
    return true;
  }
  if (!acks_.due(now)) return false;
  out = OutgoingSegment{.seq = sender_.snd_nxt(), .flags = TcpFlags::kAck};
  complete(out, now);
  acks_.on_sent(true);
  return true;
}

// The fields that every segment of a synchronised connection carries.
void Connection::complete(OutgoingSegment& out, Instant now) {
  out.ack = receiver_.rcv_nxt();
  out.window = receiver_.offer_window(shared_.buffer_share);
  if (congestion_echo_) out.flags |= TcpFlags::kEce;
  if (terms_.timestamps) out.options.timestamps = {{.value = terms_.timestamp(now), .echo = terms_.ts_recent}};
  if (terms_.sack && out.size == 0) receiver_.fill_sack(out.options);
  last_ack_sent_ = out.ack;
}

// RFC 6298 2.1 and 5.5: one second, doubled each time.
Duration Connection::syn_timeout() const {
  return RttEstimator::kInitialRto * (std::int64_t{1} << std::min<int>(syn_retries_, 6));
}

}  // namespace millrace::tcp
