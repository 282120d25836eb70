// What a segment does to a connection: RFC 9293 3.10.7.3 and 3.10.7.4, in the RFC's order of checks.
#include "dataplane/tcp/connection.h"

namespace millrace::tcp {
namespace {

using stream::CloseReason;

constexpr Duration kStrayAckSpacing = Duration::milliseconds(500);
constexpr Duration kTimestampLifetime = Duration::seconds(24 * 86'400);  // RFC 7323 5.5

}  // namespace

void Connection::on_segment(const Segment& segment, Instant now) {
  switch (disposition(state_, segment.flags)) {
    case Disposition::kDrop: shared_.counters.add(Counter::kDropBadFlags); return;
    case Disposition::kSynSent: return on_syn_sent(segment, now);
    case Disposition::kSynchronized: return on_synchronized(segment, now);
  }
}

void Connection::on_syn_sent(const Segment& segment, Instant now) {
  const bool acks_our_syn = segment.has(TcpFlags::kAck) && segment.ack == terms_.local.iss + SeqLen(1);
  if (segment.has(TcpFlags::kAck) && !acks_our_syn) {
    shared_.counters.add(Counter::kDropBadAck);
    if (!segment.has(TcpFlags::kRst)) refuse(segment);
    return;
  }
  if (segment.has(TcpFlags::kRst)) {
    if (!acks_our_syn) {
      shared_.counters.add(Counter::kDropBadAck);
      return;
    }
    shared_.counters.add(Counter::kResetsReceived);
    return finish(CloseReason::kRefused);
  }
  if (!segment.has(TcpFlags::kSyn)) {
    shared_.counters.add(Counter::kDropBadFlags);
    return;
  }
  terms_.accept(segment);
  ts_recent_at_ = heard_at_ = now;
  receiver_.start(segment.seq + SeqLen(1), terms_.syn_window(), terms_.own_scale(), terms_.local.mss);
  last_ack_sent_ = receiver_.rcv_nxt();
  if (acks_our_syn) {
    start_sender(segment, segment.window);
    if (const auto sent_at = echo_sent_at(segment, now)) {
      sender_.rtt().sample(now - *sent_at);
    } else if (syn_retries_ == 0) {
      sender_.rtt().sample(now - syn_sent_at_);
    }
    acks_.request_now();
    return establish();
  }
  // Simultaneous open: both SYNs crossed (RFC 9293 3.5, figure 7).
  set_state(State::kSynReceived);
  syn_due_ = true;
  deadline_ = now + syn_timeout();
}

void Connection::establish() {
  syn_due_ = false;
  set_state(State::kEstablished);
  connected_event_ = true;
  if (sender_.fin_queued()) set_state(State::kFinWait1);
}

void Connection::on_synchronized(const Segment& segment, Instant now) {
  if (!passes_timestamps(segment, now)) return;
  // The peer's SYN-ACK of a simultaneous open repeats its SYN, which is behind the window now.
  const bool crossed =
      state_ == State::kSynReceived && segment.has(TcpFlags::kSyn) && segment.has(TcpFlags::kAck) && segment.seq == terms_.irs;
  if (crossed) {
    if (passes_ack(segment, now)) acks_.request_now();
    return;
  }
  if (!receiver_.acceptable(segment)) {
    shared_.counters.add(Counter::kDropOutsideWindow);
    if (!segment.payload.empty() && segment.end() <= receiver_.rcv_nxt()) {
      receiver_.note_duplicate(segment.seq, segment.seq + SeqLen(segment.payload.size()));
    }
    if (segment.has(TcpFlags::kRst)) return;
    if (segment.has(TcpFlags::kSyn)) return challenge(now);
    return acknowledge_stray(segment, now);
  }
  if (segment.has(TcpFlags::kRst)) {
    if (segment.seq != receiver_.rcv_nxt()) return challenge(now);
    shared_.counters.add(Counter::kResetsReceived);
    // In TIME-WAIT a RST must not cut the wait short (RFC 1337).
    if (state_ == State::kTimeWait) return;
    return finish(state_ == State::kSynReceived ? CloseReason::kRefused : CloseReason::kPeerReset);
  }
  if (segment.has(TcpFlags::kSyn)) return challenge(now);
  if (!segment.has(TcpFlags::kAck)) {
    shared_.counters.add(Counter::kDropBadFlags);
    return;
  }
  if (!passes_ack(segment, now)) return;
  heard_at_ = now;
  keep_alives_ = 0;
  follow_congestion_marks(segment);
  if (terms_.timestamps && segment.seq <= last_ack_sent_) {
    terms_.ts_recent = segment.options.timestamps->value;
    ts_recent_at_ = now;
  }
  process_ack(segment, now);
  if (state_ != State::kClosed) process_data(segment, now);
}

bool Connection::passes_timestamps(const Segment& segment, Instant now) {
  if (!terms_.timestamps || segment.has(TcpFlags::kRst)) return true;
  if (!segment.options.timestamps) {
    shared_.counters.add(Counter::kDropNoTimestamp);
    return false;
  }
  const auto ahead = static_cast<std::int32_t>(segment.options.timestamps->value - terms_.ts_recent);
  if (ahead >= 0 || now - ts_recent_at_ > kTimestampLifetime) return true;
  shared_.counters.add(Counter::kDropPaws);
  if (segment.has(TcpFlags::kSyn)) {
    challenge(now);
  } else {
    acknowledge_stray(segment, now);
  }
  return false;
}

bool Connection::passes_ack(const Segment& segment, Instant now) {
  if (state_ == State::kSynReceived) {
    if (segment.ack != terms_.local.iss + SeqLen(1)) {
      shared_.counters.add(Counter::kDropBadAck);
      refuse(segment);
      return false;
    }
    const std::uint8_t scale = segment.has(TcpFlags::kSyn) ? std::uint8_t{0} : terms_.peer_scale;
    start_sender(segment, std::uint32_t{segment.window} << scale);
    establish();
    return true;
  }
  const bool too_old = segment.ack < sender_.snd_una() - SeqLen(sender_.max_window());
  if (too_old || sender_.snd_nxt() < segment.ack) {  // RFC 5961 5
    shared_.counters.add(Counter::kDropBadAck);
    challenge(now);
    return false;
  }
  return true;
}

void Connection::process_ack(const Segment& segment, Instant now) {
  const std::uint32_t window = std::uint32_t{segment.window} << terms_.peer_scale;
  const Sender::AckResult result = sender_.on_ack(segment, window, echo_sent_at(segment, now), now);
  if (user_gone_ && state_ != State::kFinWait2 && result.progress) deadline_ = Instant::never();  // it moves
  if (result.fast_retransmit) shared_.counters.add(Counter::kFastRetransmits);
  if (result.spurious_recovery) shared_.counters.add(Counter::kSpuriousRecoveries);
  if (!result.fin_acked) return;
  switch (state_) {
    case State::kFinWait1:
      set_state(State::kFinWait2);
      if (user_gone_) deadline_ = now + shared_.config.fin_wait_2;
      return;
    case State::kClosing: end_ = CloseReason::kGraceful; return set_state(State::kTimeWait);
    case State::kLastAck: return finish(CloseReason::kGraceful);
    default: return;
  }
}

void Connection::start_sender(const Segment& segment, std::uint32_t window) {
  sender_.start({.first = terms_.local.iss + SeqLen(1),
                 .mss = terms_.send_mss(),
                 .least_mss = terms_.local.least_mss - (terms_.timestamps ? kTimestampBytes : 0),
                 .peer_seq = segment.seq,
                 .window = window,
                 .sack = terms_.sack,
                 .ecn = terms_.ecn,
                 .syn_lost = terms_.syn_lost || syn_retries_ > 1});
}

// When, at the earliest, what this segment acknowledges was sent: the start of the tick whose timestamp it echoes.
std::optional<Instant> Connection::echo_sent_at(const Segment& segment, Instant now) const {
  if (!terms_.timestamps || !segment.options.timestamps || segment.options.timestamps->echo == 0) return std::nullopt;
  const auto ticks = static_cast<std::int32_t>(terms_.timestamp(now) - segment.options.timestamps->echo);
  if (ticks < 0) return std::nullopt;  // from the future: forged or confused
  const std::int64_t tick = now.to_nanoseconds() / 1'000'000 - ticks;
  return Instant::from_nanoseconds(tick * 1'000'000);
}

// RFC 3168 6.1.3: a mark is echoed on everything we send until the peer says that it has reduced its window.
void Connection::follow_congestion_marks(const Segment& segment) {
  if (!terms_.ecn) return;
  if (segment.has(TcpFlags::kCwr) && !segment.payload.empty()) congestion_echo_ = false;
  if (segment.congestion) {
    if (!congestion_echo_) acks_.request_now();
    congestion_echo_ = true;
    shared_.counters.add(Counter::kCongestionMarks);
  }
}

void Connection::process_data(const Segment& segment, Instant now) {
  const bool receiving = state_ == State::kEstablished || state_ == State::kFinWait1 || state_ == State::kFinWait2;
  if (segment.payload.empty() && !segment.has(TcpFlags::kFin)) return;
  if (!receiving) return acks_.request_now();  // behind the peer's FIN: a retransmission at best
  const std::size_t bytes = segment.data_size();
  shared_.counters.add(Counter::kBytesReceived, bytes);
  const Receiver::Outcome outcome = receiver_.receive(segment);
  if (outcome.dropped) shared_.counters.add(Counter::kDropReceiveMemory);
  if (outcome.out_of_order) {
    shared_.counters.add(Counter::kOutOfOrder);
    acks_.on_out_of_order();
  }
  if (outcome.dropped || outcome.duplicate || outcome.filled_gap || outcome.fin || !receiver_.reassembly().empty()) {
    acks_.request_now();
  } else if (outcome.advanced) {
    acks_.on_in_order(bytes, sender_.mss(), now);
  }
  if (outcome.advanced && receiver_.readable() > 0) readable_event_ = true;
  if (outcome.fin) on_fin(now);
}

void Connection::on_fin(Instant) {
  readable_event_ = true;
  switch (state_) {
    case State::kEstablished: return set_state(State::kCloseWait);
    case State::kFinWait1: return set_state(State::kClosing);
    case State::kFinWait2: end_ = CloseReason::kGraceful; return set_state(State::kTimeWait);
    default: return;
  }
}

// RFC 5961: a blind attacker does not see the answer, a real peer that lost its state answers it with an exact RST.
void Connection::challenge(Instant now) {
  if (!may_answer_stray(now) || !shared_.challenges.take(now)) {
    shared_.counters.add(Counter::kDropChallengeLimit);
    return;
  }
  shared_.counters.add(Counter::kChallengeAcks);
  acks_.request_now();
}

// Bytes sent again are always answered; empty segments only now and then, so that two confused ends do not talk for ever.
void Connection::acknowledge_stray(const Segment& segment, Instant now) {
  if (segment.length().count() > 0 || may_answer_stray(now)) acks_.request_now();
}

bool Connection::may_answer_stray(Instant now) {
  if (now < stray_ack_after_) return false;
  stray_ack_after_ = now + kStrayAckSpacing;
  return true;
}

void Connection::refuse(const Segment& segment) { plan_reset(make_reset_for(segment)); }

}  // namespace millrace::tcp
