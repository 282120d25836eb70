// What an acknowledgement teaches: deliveries, round trips, losses, and whether the last recovery was a mistake.
#include <algorithm>
#include <array>

#include "dataplane/tcp/recovery.h"

namespace millrace::tcp {
namespace {

constexpr std::uint32_t kDuplicateThreshold = 3;
constexpr std::uint32_t kSlowStartSegments = 8;      // L of RFC 9406 4.2: one acknowledgement of an offloading peer covers many
constexpr std::uint32_t kMaxWindowBytes = 1u << 30;  // RFC 7323 2.3
constexpr Duration kTimestampTick = Duration::milliseconds(1);

}  // namespace

Recovery::AckResult Recovery::on_ack(const Ack& ack, Instant now) {
  AckResult result;
  Delivery delivery;
  if (una() < ack.ack) {
    result.acked = (ack.ack - una()).count();
    board_.acknowledge(ack.ack, [&](const SentRange& part) {
      if (part.fate != SentRange::Fate::kSacked) note_delivered(part, ack, delivery, now);
    });
    timeouts_ = 0;
    timeout_from_ = now;
    rtt_.reset_back_off();
  }
  const bool duplicate_sack = sack_ && take_sacks(ack, delivery, now);
  if (result.acked > 0) {
    sample_rtt(delivery, ack, now);
    deliveries_ = board_.sacked() / mss_;
  }
  if (!sack_) count_duplicates(ack, result.acked, delivery);
  if (is_spurious(ack, delivery, result.acked)) {
    undo();
    result.undone = true;
  }
  detect_losses(now);
  follow_tail_probe(ack, duplicate_sack, now);
  const bool partial = !sack_ && state_ == State::kFast && result.acked > 0 && una() < recover_;
  if (partial) board_.mark_head_lost(mss_);  // RFC 6582 3.2 step 3
  react(ack, delivery, result, now);
  rearm(now);
  return result;
}

void Recovery::note_delivered(const SentRange& part, const Ack& ack, Delivery& delivery, Instant now) {
  delivery.bytes += part.size();
  if (sack_) rack_.on_delivered(part, ack.echo_sent_at, now);
  if (part.retransmitted) {
    delivery.oldest = Instant();  // Karn: whichever transmission this answers, it dates nothing
    return;
  }
  if (part.fate == SentRange::Fate::kLost) delivery.first_transmission_of_lost = true;
  delivery.sampled = true;
  delivery.oldest = std::min(delivery.oldest, part.sent_at);
  delivery.newest = std::max(delivery.newest, part.sent_at);
}

// Returns whether the first block reports a duplicate (RFC 2883 4): it lies below the acknowledgement, or inside the second
// block.
bool Recovery::take_sacks(const Ack& ack, Delivery& delivery, Instant now) {
  bool duplicate = false;
  const std::uint32_t before = delivery.bytes;
  std::array<Piece, wire::TcpOptions::kMaxSackBlocks> blocks;
  std::size_t count = 0;
  for (std::size_t i = 0; i < ack.sacks.size(); ++i) {
    const Piece block{SeqNum(ack.sacks[i].left), SeqNum(ack.sacks[i].right)};
    if (block.end <= block.begin || nxt() < block.end) continue;
    const bool inside_second =
        ack.sacks.size() > 1 && SeqNum(ack.sacks[1].left) <= block.begin && block.end <= SeqNum(ack.sacks[1].right);
    if (i == 0 && (block.end <= ack.ack || inside_second)) {
      duplicate = true;
      note_duplicate(block);
    } else if (una() < block.end) {
      // In sequence order: the order in the option tells nothing about the order of arrival.
      std::size_t at = count++;
      for (; at > 0 && block.begin < blocks[at - 1].begin; --at) blocks[at] = blocks[at - 1];
      blocks[at] = {later(block.begin, una()), block.end};
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    board_.sack(blocks[i].begin, blocks[i].end, [&](const SentRange& part) { note_delivered(part, ack, delivery, now); });
  }
  if (delivery.bytes > before) deliveries_ += std::max(1u, (delivery.bytes - before) / mss_);
  return duplicate;
}

// The peer got [begin, end) twice: one of our retransmissions was superfluous.
void Recovery::note_duplicate(const Piece& block) {
  const std::uint32_t segments = ((block.end - block.begin).count() + mss_ - 1) / mss_;
  if (undo_ != nullptr) undo_->repeated -= std::min(undo_->repeated, segments);
  rack_.on_duplicate_sack(una(), nxt());
}

void Recovery::sample_rtt(const Delivery& delivery, const Ack& ack, Instant now) {
  const bool dated = delivery.sampled && delivery.oldest != Instant();
  if (dated) {
    rtt_.sample(now - delivery.oldest);
  } else if (ack.echo_sent_at) {
    rtt_.sample(now - *ack.echo_sent_at);
  }
  if (dated && state_ == State::kOpen && cwnd_ < ssthresh_ && hystart_.on_sample(now - delivery.newest, una(), nxt())) {
    ssthresh_ = cwnd_;
  }
}

// Without SACK each duplicate says that one more segment has left the network, not which.
void Recovery::count_duplicates(const Ack& ack, std::uint32_t acked, Delivery& delivery) {
  if (acked > 0) {
    const std::uint32_t known = std::min(duplicate_bytes_, acked > mss_ ? acked - mss_ : 0);
    duplicate_bytes_ -= known;
    delivery.bytes = acked - known;
  } else if (ack.duplicate && outstanding()) {
    ++deliveries_;
    const std::uint32_t pipe = in_network();
    const std::uint32_t arrived = std::min(mss_, pipe > mss_ ? pipe - mss_ : 0);
    duplicate_bytes_ += arrived;
    delivery.bytes += arrived;
  }
  duplicate_bytes_ = std::min(duplicate_bytes_, board_.in_network());
}

void Recovery::detect_losses(Instant now) {
  if (sack_) {
    const Rack::Context context{.srtt = rtt_.srtt(),
                                .recovering = state_ == State::kFast || state_ == State::kTimeout,
                                .deliveries = std::max(deliveries_, board_.sacked() / mss_)};
    look_again_ = rack_.detect(board_, context, now);
  } else if ((state_ == State::kOpen || state_ == State::kReduced) && deliveries_ >= kDuplicateThreshold && outstanding()) {
    board_.mark_head_lost(mss_);
  }
}

bool Recovery::is_spurious(const Ack& ack, const Delivery& delivery, std::uint32_t acked) const {
  if (undo_ == nullptr || (state_ != State::kFast && state_ != State::kTimeout)) return false;
  if (state_ == State::kTimeout && f_rto_ && delivery.first_transmission_of_lost) return true;  // RFC 5682 3.1 step 3
  const bool repeated = !undo_->first_retransmission.is_never();
  if (!repeated) return acked > 0 && recover_ <= una();  // all arrived before anything was sent again
  if (undo_->repeated == 0) return true;                 // the peer got each of them twice
  // RFC 3522: what the acknowledgement answers was sent before the first retransmission.
  return acked > 0 && ack.echo_sent_at && *ack.echo_sent_at + kTimestampTick <= undo_->first_retransmission;
}

// RFC 8985 7.4.2.
void Recovery::follow_tail_probe(const Ack& ack, bool duplicate_sack, Instant now) {
  if (!tail_probe_out_ || ack.ack < tail_probe_end_) return;
  const bool both_arrived = duplicate_sack || ack.duplicate;
  if (!tail_probe_repeats_ || both_arrived) {
    tail_probe_out_ = false;
  } else if (tail_probe_end_ < ack.ack || !outstanding()) {
    tail_probe_out_ = false;
    if (tail_probe_end_ < ack.ack && state_ == State::kOpen && board_.lost() == 0) reduce(State::kReduced, now);
  }
}

void Recovery::react(const Ack& ack, const Delivery& delivery, AckResult& result, Instant now) {
  if (state_ == State::kTimeout) return react_after_timeout(result, now);
  if (state_ != State::kOpen && recover_ <= una()) leave();
  if (state_ == State::kOpen) {
    if (board_.lost() > 0) {
      reduce(State::kFast, now);
      result.entered_fast = true;
    } else if (ack.congestion_echo) {
      reduce(State::kReduced, now);
      result.reduced = true;
    } else {
      if (result.acked > 0 && limited_) grow(result.acked, now);
      return;
    }
  } else if (state_ == State::kReduced && board_.lost() > 0) {  // a loss in the same window: reduced already
    state_ = State::kFast;
    count(all_losses_);
    forced_ = result.entered_fast = true;
  }
  cwnd_ = prr_.window(delivery.bytes, in_network(), ssthresh_, mss_, result.acked > 0 && !result.entered_fast);
}

void Recovery::react_after_timeout(const AckResult& result, Instant now) {
  if (f_rto_) {
    const bool new_data_sent = recover_ < nxt();
    if (!new_data_sent && result.acked > 0 && una() < recover_) {
      new_data_first_ = true;  // RFC 5682 3.1 step 2b: its acknowledgement will tell
    } else if (result.acked == 0 || new_data_sent) {
      f_rto_ = new_data_first_ = false;  // the loss was real
    }
  }
  if (recover_ <= una()) {
    leave();
  } else if (result.acked > 0 && (limited_ || board_.lost() > 0)) {
    grow(std::min(result.acked, mss_), now);
  }
}

void Recovery::reduce(State to, Instant now) {
  forget_undo();
  if (to == State::kFast) {
    remember_undo();
    count(all_losses_);
  }
  ssthresh_ = std::visit([&](auto& control) { return control.on_congestion(view(now)); }, congestion_);
  prr_.start(board_.flight());
  recover_ = nxt();
  state_ = to;
  forced_ = to == State::kFast;
  tail_probe_out_ = false;
  hystart_.restart();
}

void Recovery::remember_undo() {
  forget_undo();
  undo_ = undos_.make();
  if (undo_ != nullptr) *undo_ = {.cwnd = cwnd_, .ssthresh = ssthresh_, .congestion = congestion_};
}

void Recovery::forget_undo() {
  if (undo_ != nullptr) undos_.destroy(undo_);
  undo_ = nullptr;
}

void Recovery::undo() {
  cwnd_ = std::max(cwnd_, undo_->cwnd);
  ssthresh_ = std::max(ssthresh_, undo_->ssthresh);
  congestion_ = undo_->congestion;
  forget_undo();
  board_.unmark_lost();
  duplicate_bytes_ = deliveries_ = 0;
  f_rto_ = new_data_first_ = forced_ = false;
  state_ = State::kOpen;
}

void Recovery::leave() {
  if (state_ != State::kTimeout) cwnd_ = ssthresh_;
  state_ = State::kOpen;
  forget_undo();
  f_rto_ = new_data_first_ = forced_ = false;
  duplicate_bytes_ = 0;
  if (!sack_) deliveries_ = 0;
  rack_.on_recovery_end();
}

void Recovery::grow(std::uint32_t acked, Instant now) {
  std::uint32_t growth = 0;
  if (cwnd_ < ssthresh_) {
    growth = std::min(acked, kSlowStartSegments * mss_) / hystart_.divisor();
    growth = std::min(growth, ssthresh_ - cwnd_);
  } else {
    growth = std::visit([&](auto& control) { return control.grow(view(now), acked); }, congestion_);
  }
  cwnd_ = std::min(cwnd_ + growth, kMaxWindowBytes);
}

}  // namespace millrace::tcp
