// What the sending side learns from its own sending and from its timer; acknowledgements are in recovery_ack.cc.
#include "dataplane/tcp/recovery.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr Duration kMaxAckDelay = Duration::milliseconds(200);  // of the peer (RFC 8985 7.2)
constexpr Duration kMinProbeTimeout = Duration::milliseconds(2);
constexpr Duration kShortestPacedRtt = Duration::milliseconds(2);

}  // namespace

void Recovery::start(SeqNum first, std::uint32_t mss, bool sack, CongestionKind congestion) {
  board_.start(first);
  rack_.start(first);
  congestion_ = make_congestion(congestion);
  mss_ = mss;
  sack_ = sack;
  cwnd_ = initial_window();
  recover_ = first;
}

// RFC 6928.
std::uint32_t Recovery::initial_window() const { return std::min(10 * mss_, std::max(2 * mss_, 14'600u)); }

void Recovery::set_mss(std::uint32_t mss) {
  if (state_ == State::kTimeout && cwnd_ == mss_) cwnd_ = mss;  // still one segment
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss);
}

void Recovery::resend_all(Instant now) {
  board_.mark_all_lost();
  duplicate_bytes_ = 0;
  forget_undo();
  if (state_ == State::kOpen) recover_ = nxt();
  if (board_.lost() > 0 && state_ == State::kOpen) {
    // Without a reduction: the window stays, the recovery ends with what is outstanding.
    state_ = State::kTimeout;
    ssthresh_ = std::max(ssthresh_, cwnd_);
  }
  rearm(now);
}

void Recovery::clear() {
  board_.clear();
  forget_undo();
  deadline_ = Instant::never();
  armed_ = Armed::kNothing;
  state_ = State::kOpen;
}

std::uint32_t Recovery::in_network() const {
  const std::uint32_t pipe = board_.in_network();
  return pipe - std::min(pipe, duplicate_bytes_);
}

std::optional<Recovery::Piece> Recovery::next_lost() const {
  if (new_data_first_) return std::nullopt;
  const SentRange* range = board_.first_lost();
  if (range == nullptr) return std::nullopt;
  const std::uint32_t size = std::min(mss_, range->size());
  if (!forced_ && in_network() + size > cwnd_) return std::nullopt;
  return Piece{range->begin, range->begin + SeqLen(size)};
}

std::uint32_t Recovery::room() const {
  const std::uint32_t pipe = in_network();
  return pipe < cwnd_ ? cwnd_ - pipe : 0;
}

Duration Recovery::pace(std::size_t bytes) const {
  const std::int64_t round_trip = rtt_.srtt().to_nanoseconds();
  if (rtt_.srtt() < kShortestPacedRtt || state_ == State::kTimeout) return {};
  const std::int64_t whole = static_cast<std::int64_t>(bytes) * round_trip / cwnd_;
  return Duration::nanoseconds(cwnd_ < ssthresh_ ? whole / 2 : whole * 4 / 5);
}

bool Recovery::on_sent(SeqNum end, Instant now) {
  const bool first = !outstanding();
  const std::uint32_t size = (end - nxt()).count();
  if (!board_.on_sent(end, now)) return false;
  if (first) timeout_from_ = now;
  prr_.on_sent(size);
  last_sent_ = now;
  rearm(now);
  return true;
}

void Recovery::on_retransmitted(const Piece& piece, Instant now) {
  count(all_retransmissions_);
  if (undo_ != nullptr) {
    undo_->first_retransmission = std::min(undo_->first_retransmission, now);
    ++undo_->repeated;
  }
  board_.on_retransmitted(piece.begin, piece.end, now);
  prr_.on_sent((piece.end - piece.begin).count());
  forced_ = false;
  last_sent_ = now;
  rearm(now);
}

void Recovery::on_tail_probe(bool repeats) {
  tail_probe_out_ = true;
  tail_probe_repeats_ = repeats;
  tail_probe_end_ = nxt();
}

void Recovery::on_first(Instant now) {
  if (!rtt_.has_sample() || last_sent_ == Instant() || now <= last_sent_ + rtt_.rto()) return;
  cwnd_ = std::min(cwnd_, initial_window());
  std::visit([&](auto& control) { control.on_idle(now - last_sent_); }, congestion_);
  hystart_.restart();
}

Recovery::Expired Recovery::on_timer(Instant now) {
  if (now < deadline_ || armed_ == Armed::kNothing) return Expired::kNothing;
  switch (armed_) {
    case Armed::kReordering:
      detect_losses(now);
      if (board_.lost() > 0 && (state_ == State::kOpen || state_ == State::kReduced)) reduce(State::kFast, now);
      if (board_.lost() > 0) timeout_from_ = now;  // what is lost goes again now: the timeout is for that
      rearm(now);
      if (deadline_ > now) return Expired::kReordering;
      expire(now);  // both are over at once: nobody came to look for a while
      return Expired::kTimeout;
    case Armed::kTailProbe:
      timeout_from_ = now;  // it now waits for the answer to the probe
      on_tail_probe(true);  // the Sender corrects it if it has new data; either way no second probe is planned
      rearm(now);
      return Expired::kTailProbe;
    default: expire(now); return Expired::kTimeout;
  }
}

void Recovery::expire(Instant now) {
  const bool again = state_ == State::kTimeout && timeouts_ > 0;
  count(timeouts_);
  count(all_timeouts_);
  // A head that the peer has announced but never acknowledges: it has thrown it away (RFC 2018 8).
  if (board_.head() != nullptr && board_.head()->fate == SentRange::Fate::kSacked) board_.forget_sacks();
  if (!again) {
    remember_undo();
    ssthresh_ = std::visit([&](auto& control) { return control.on_congestion(view(now)); }, congestion_);
  }
  std::visit([](auto& control) { control.on_timeout(); }, congestion_);
  f_rto_ = !again && state_ == State::kOpen;
  board_.mark_all_lost();
  state_ = State::kTimeout;
  recover_ = nxt();
  cwnd_ = mss_;
  duplicate_bytes_ = deliveries_ = 0;
  forced_ = new_data_first_ = tail_probe_out_ = false;
  look_again_ = Instant::never();
  hystart_.restart();
  rtt_.back_off();
  timeout_from_ = now;
  rearm(now);
}

void Recovery::on_local_loss(Instant now) {
  if (!outstanding()) return;
  if (timeouts_ > 1) {
    --timeouts_;
    rtt_.undo_back_off();
  }
  deadline_ = std::min(deadline_, now + kLocalRetry);
}

// RFC 8985 7.2: only while nothing is known to be missing.
bool Recovery::tail_probe_possible() const {
  return sack_ && state_ == State::kOpen && !tail_probe_out_ && board_.sacked() == 0 && board_.lost() == 0 && rtt_.has_sample();
}

void Recovery::rearm(Instant) {
  if (!outstanding()) {
    deadline_ = Instant::never();
    armed_ = Armed::kNothing;
    return;
  }
  deadline_ = timeout_from_ + rtt_.rto();
  armed_ = Armed::kTimeout;
  if (look_again_ < deadline_) {
    deadline_ = look_again_;
    armed_ = Armed::kReordering;
  } else if (tail_probe_possible()) {
    Duration wait = std::max(rtt_.srtt() * 2, kMinProbeTimeout);
    if (board_.flight() <= mss_) wait = wait + kMaxAckDelay;
    const Instant probe_at = std::max(timeout_from_, last_sent_) + wait;
    if (probe_at < deadline_) {
      deadline_ = probe_at;
      armed_ = Armed::kTailProbe;
    }
  }
}

}  // namespace millrace::tcp
