#include "dataplane/tcp/receiver.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr std::size_t kChargePerByte = 4;  // buffers may pin so many times what the window counts

}  // namespace

void Receiver::start(SeqNum first, std::uint32_t offered, std::uint8_t shift, std::uint32_t mss) {
  rcv_nxt_ = first;
  edge_ = first + SeqLen(offered);
  shift_ = shift;
  mss_ = mss;
}

bool Receiver::acceptable(const Segment& segment) const {
  const SeqLen length = segment.length();
  const SeqLen window = rcv_wnd();
  if (window.count() == 0) return segment.seq == rcv_nxt_;  // bytes do not fit, but its ACK and RST count (RFC 9293 3.10.7.4)
  if (length.count() == 0) return rcv_nxt_ <= segment.seq && segment.seq < edge_;
  return segment.seq < edge_ && rcv_nxt_ < segment.end();
}

Receiver::Outcome Receiver::receive(const Segment& segment) {
  Outcome outcome;
  SeqNum seq = segment.seq;
  nic::Slice bytes = segment.payload;
  bool fin = segment.has(TcpFlags::kFin);
  if (seq < rcv_nxt_) {
    const std::size_t old = std::min<std::size_t>(bytes.size(), (rcv_nxt_ - seq).count());
    if (old > 0) note_duplicate(seq, seq + SeqLen(old));
    bytes.remove_prefix(old);
    seq += SeqLen(old);
    outcome.duplicate = old > 0;
  }
  const SeqNum limit = (fin_seen_ && fin_at_ < edge_) ? fin_at_ : edge_;
  if (limit < seq + SeqLen(bytes.size())) {
    bytes.truncate(seq < limit ? (limit - seq).count() : 0);
    fin = false;
    outcome.dropped = true;
  }
  if (fin && !fin_seen_ && rcv_nxt_ <= seq + SeqLen(bytes.size())) {
    fin_seen_ = true;
    fin_at_ = seq + SeqLen(bytes.size());
    outcome.out_of_order = rcv_nxt_ < seq;
  }
  if (!bytes.empty()) {
    const SeqLen size(bytes.size());
    if (seq == rcv_nxt_) {
      (deliver(std::move(bytes)) ? outcome.advanced : outcome.dropped) = true;
      if (outcome.advanced) rcv_nxt_ += size;
      if (outcome.advanced && segment.rest != nullptr) outcome.dropped = !deliver_all(*segment.rest);
    } else {
      outcome.out_of_order = true;
      if (reassembly_.holds(seq, seq + size)) note_duplicate(seq, seq + size);
      if (!reassembly_.insert(seq, std::move(bytes), std::size_t{goal_} * kChargePerByte)) outcome.dropped = true;
    }
  }
  while (std::optional<nic::Slice> held = reassembly_.take(rcv_nxt_)) {
    const SeqLen size(held->size());
    if (size.count() > 0 && !deliver(*std::move(held))) break;  // what is lost here was never acknowledged
    rcv_nxt_ += size;
    outcome.filled_gap = true;
  }
  if (fin_seen_ && !fin_received_ && rcv_nxt_ == fin_at_) {
    fin_received_ = outcome.fin = outcome.advanced = true;
    rcv_nxt_ += SeqLen(1);
    reassembly_.clear();
  }
  return outcome;
}

bool Receiver::deliver(nic::Slice bytes) {
  if (discarding_) return true;
  return is_sparse() ? in_.append_copy(bytes.bytes()) : in_.append(std::move(bytes));
}

// False: memory was short, and what is missing was not counted.
bool Receiver::deliver_all(stream::Chain& bytes) {
  if (!discarding_ && !is_sparse()) {
    rcv_nxt_ += SeqLen(bytes.size());
    in_.append(std::move(bytes));
    return true;
  }
  while (!bytes.empty()) {
    const std::size_t size = bytes.front().size();
    if (!deliver(bytes.front_slice(size))) return false;
    rcv_nxt_ += SeqLen(size);
    bytes.remove_prefix(size);
  }
  return true;
}

void Receiver::note_duplicate(SeqNum begin, SeqNum end) {
  duplicate_begin_ = begin;
  duplicate_end_ = end;
}

void Receiver::fill_sack(TcpOptions& options) {
  if (duplicate_begin_ != duplicate_end_) {
    options.sack_blocks[0] = {duplicate_begin_.raw(), duplicate_end_.raw()};
    options.sack_count = 1;
    duplicate_begin_ = duplicate_end_;
  }
  reassembly_.fill_sack(options);
}

std::size_t Receiver::read(stream::Chain& to, std::size_t limit, Duration rtt, Instant now) {
  const std::size_t before = in_.size();
  (void)in_.move_prefix(std::min(limit, before), to);  // what was moved counts; the rest stays readable
  const std::size_t count = before - in_.size();
  follow_reader(count, rtt, now);
  return count;
}

// A sender in slow start doubles its window each round trip: to keep ahead of it, ours counts the growth once more.
void Receiver::follow_reader(std::size_t count, Duration rtt, Instant now) {
  read_now_ += static_cast<std::uint32_t>(count);
  if (now < round_end_) return;
  const std::size_t growth = read_now_ > read_last_ ? read_now_ - read_last_ : 0;
  const std::size_t wanted = 2 * (read_now_ + growth);
  goal_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(wanted, goal_, std::max(goal_, most_)));
  read_last_ = read_now_;
  read_now_ = 0;
  round_end_ = now + rtt;
}

void Receiver::discard() {
  discarding_ = true;
  in_.clear();
}

// However scarce buffers are, a connection that is served keeps moving: two segments.
std::uint32_t Receiver::limit(std::size_t share) const {
  return static_cast<std::uint32_t>(std::min<std::size_t>(goal_, std::max<std::size_t>(share, std::size_t{2} * mss_)));
}

std::uint32_t Receiver::free_bytes(std::size_t share) const {
  const std::uint32_t most = limit(share);
  const std::size_t used = std::max(in_.size(), (in_.charge() + reassembly_.charge()) / kChargePerByte);
  return used < most ? most - static_cast<std::uint32_t>(used) : 0;
}

std::uint16_t Receiver::offer_window(std::size_t share) {
  const SeqNum wanted = rcv_nxt_ + SeqLen(free_bytes(share));
  const std::uint32_t step = std::min(limit(share) / 2, mss_);  // the least growth worth offering
  // Small growth is kept back; what was offered once stays offered.
  if (edge_ < wanted && ((wanted - edge_).count() >= step || rcv_wnd().count() >= step)) edge_ = wanted;
  const std::uint32_t window = rcv_wnd().count();
  const std::uint32_t unit = 1u << shift_;
  // Rounded up: rounding down would take back what was offered.
  const std::uint32_t field = std::min<std::uint32_t>((window + unit - 1) >> shift_, 0xffff);
  const SeqNum told = rcv_nxt_ + SeqLen(std::size_t{field} << shift_);
  edge_ = later(edge_, told);
  return static_cast<std::uint16_t>(field);
}

bool Receiver::wants_window_update(std::size_t share) const {
  if (fin_received_) return false;
  const SeqNum wanted = rcv_nxt_ + SeqLen(free_bytes(share));
  if (wanted <= edge_) return false;
  const std::uint32_t growth = (wanted - edge_).count();
  const std::uint32_t half = limit(share) / 2;
  return rcv_wnd().count() < half && growth >= std::min(half, 2 * mss_);
}

}  // namespace millrace::tcp
