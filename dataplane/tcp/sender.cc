#include "dataplane/tcp/sender.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr std::uint32_t kDuplicateThreshold = 3;
constexpr std::size_t kChargePerByte = 4;  // what is queued may pin so many times its size before it costs credit

}  // namespace

void Sender::start(SeqNum first, std::uint32_t mss, SeqNum peer_seq, std::uint32_t window) {
  snd_una_ = snd_nxt_ = rtx_next_ = wl2_ = recover_ = first;
  wl1_ = peer_seq;
  mss_ = mss;
  snd_wnd_ = max_wnd_ = window;
  congestion_ = Reno(mss);
}

void Sender::lower_mss(std::uint32_t mss) {
  if (mss >= mss_) return;
  mss_ = mss;
  congestion([&](auto& control) { control.set_mss(mss); });
  rtx_next_ = snd_una_;
  timed_at_ = Instant::never();
}

std::uint32_t Sender::cwnd() const {
  return std::visit([](const auto& control) { return control.cwnd(); }, congestion_);
}

std::size_t Sender::credit() const {
  const std::size_t charge = unacked_.charge() + sending_.charge() + unsent_.charge();
  const std::size_t used = std::max(queued(), charge / kChargePerByte);
  return used < buffer_bytes_ ? buffer_bytes_ - used : 0;
}

std::size_t Sender::write(stream::Chain& from) {
  const std::size_t before = unsent_.size();
  const std::size_t wanted = std::min(credit(), from.size());
  if (wanted > 0) (void)from.move_prefix(wanted, unsent_);  // out of nodes: what was moved counts
  if (!from.empty()) blocked_ = true;
  return unsent_.size() - before;
}

bool Sender::take_writable() {
  if (!blocked_ || credit() < buffer_bytes_ / 2) return false;
  blocked_ = false;
  return true;
}

void Sender::clear() {
  unacked_.clear();
  sending_.clear();
  unsent_.clear();
  deadline_ = Instant::never();
}

Sender::AckResult Sender::on_ack(const Segment& segment, std::uint32_t window, Duration rtt, Instant now) {
  AckResult result;
  fold();
  const bool window_changed = window != snd_wnd_;
  if (wl1_ < segment.seq || (wl1_ == segment.seq && wl2_ <= segment.ack)) {
    snd_wnd_ = window;
    max_wnd_ = std::max(max_wnd_, window);
    wl1_ = segment.seq;
    wl2_ = segment.ack;
  }
  if (!outstanding() || snd_wnd_ == 0) unanswered_ = 0;  // the peer lives, it only has no room
  if (snd_una_ < segment.ack && segment.ack <= snd_nxt_) {
    if (rtt >= Duration()) {
      rtt_.sample(rtt);
    } else if (!timed_at_.is_never() && timed_end_ <= segment.ack) {
      rtt_.sample(now - timed_at_);
    }
    if (!timed_at_.is_never() && timed_end_ <= segment.ack) timed_at_ = Instant::never();
    const bool was_limited = cwnd_limited_;
    remove_acked((segment.ack - snd_una_).count(), result);
    on_new_ack(result.acked, was_limited, now);
  } else if (segment.ack == snd_una_ && outstanding() && segment.length().count() == 0 && !segment.payload_dropped &&
             !window_changed) {
    on_duplicate(result);
  }
  if (!outstanding()) {
    // The probe timer runs on, unless the window is open again.
    if (!waiting() || snd_wnd_ > 0) deadline_ = Instant::never();
  }
  return result;
}

void Sender::remove_acked(std::uint32_t acked, AckResult& result) {
  const std::size_t bytes = std::min<std::size_t>(acked, unacked_.size());
  unacked_.remove_prefix(bytes);
  result.acked = acked;
  result.fin_acked = acked > bytes;
  snd_una_ += SeqLen(acked);
  rtx_next_ = later(rtx_next_, snd_una_);
}

void Sender::on_new_ack(std::uint32_t acked, bool was_limited, Instant now) {
  duplicates_ = 0;
  unanswered_ = 0;
  rtt_.reset_back_off();
  bool restart_timer = true;
  if (in_recovery_ && snd_una_ < recover_) {
    congestion([&](auto& control) { control.on_partial_ack(acked); });
    retransmit_head_ = true;
    restart_timer = first_partial_;
    first_partial_ = false;
  } else if (in_recovery_) {
    in_recovery_ = false;
    congestion([&](auto& control) { control.leave_recovery(flight()); });
  } else if (was_limited || rtx_next_ != snd_nxt_) {
    congestion([&](auto& control) { control.on_ack(acked); });
  }
  if (!outstanding()) {
    deadline_ = Instant::never();
  } else if (restart_timer) {
    deadline_ = now + rtt_.rto();
  }
}

void Sender::on_duplicate(AckResult& result) {
  ++duplicates_;
  if (in_recovery_) {
    congestion([](auto& control) { control.on_recovery_duplicate(); });
  } else if (duplicates_ == kDuplicateThreshold && recover_ <= snd_una_ && rtx_next_ == snd_nxt_) {
    in_recovery_ = first_partial_ = retransmit_head_ = result.fast_retransmit = true;
    recover_ = snd_nxt_;
    congestion([&](auto& control) { control.enter_recovery(flight()); });
  }
}

Sender::Expired Sender::on_timer(Instant now) {
  if (now < deadline_) return Expired::kNothing;
  ++unanswered_;
  if (!outstanding()) {
    rtt_.back_off();
    deadline_ = Instant::never();  // finish_transmit() arms it again
    if (!waiting()) return Expired::kNothing;
    (snd_wnd_ > 0 ? any_size_ : probe_) = true;
    return Expired::kProbe;
  }
  fold();
  congestion([&](auto& control) { control.on_timeout(flight(), unanswered_ == 1); });
  rtt_.back_off();
  rtx_next_ = snd_una_;
  recover_ = snd_nxt_;
  in_recovery_ = retransmit_head_ = false;
  duplicates_ = 0;
  timed_at_ = Instant::never();
  deadline_ = now + rtt_.rto();
  return Expired::kRetransmission;
}

bool Sender::next(OutgoingSegment& out, Instant now) {
  fold();
  out.flags = TcpFlags::kAck;
  out.size = 0;
  if (probe_) {  // an old number, no data: any peer answers with its window
    probe_ = false;
    out.seq = snd_una_ - SeqLen(1);
    return true;
  }
  if (retransmit_head_) {
    retransmit_head_ = false;
    if (outstanding()) return next_retransmission(out, snd_una_, now);
  }
  if (rtx_next_ != snd_nxt_) {
    if (in_network() > 0 && in_network() + mss_ > cwnd()) return false;
    const SeqNum from = rtx_next_;
    if (!next_retransmission(out, from, now)) return false;
    rtx_next_ = from + SeqLen(out.size + (out.has(TcpFlags::kFin) ? 1u : 0u));
    return true;
  }
  return next_new(out, now);
}

bool Sender::next_retransmission(OutgoingSegment& out, SeqNum from, Instant now) {
  const std::size_t offset = (from - snd_una_).count();
  out.seq = from;
  out.data = &unacked_;
  out.offset = offset;
  out.size = offset < unacked_.size() ? std::min<std::size_t>(mss_, unacked_.size() - offset) : 0;
  if (offset + out.size == unacked_.size()) out.flags |= TcpFlags::kPsh;
  if (fin_sent_ && offset + out.size == unacked_.size()) out.flags |= TcpFlags::kFin;
  timed_at_ = Instant::never();  // Karn
  note_sent(out, now);
  return true;
}

bool Sender::next_new(OutgoingSegment& out, Instant now) {
  if (!waiting()) {
    cwnd_limited_ = false;
    return false;
  }
  if (!outstanding() && rtt_.has_sample() && last_sent_ + rtt_.rto() < now) congestion([](auto& control) { control.on_idle(); });
  const SeqNum edge = snd_una_ + SeqLen(snd_wnd_);
  const std::uint32_t window = snd_nxt_ < edge ? (edge - snd_nxt_).count() : 0;
  const std::uint32_t extra = in_recovery_ ? 0 : std::min(duplicates_, 2u) * mss_;
  const std::uint32_t allowed = cwnd() + extra;
  const std::uint32_t room = flight() < allowed ? allowed - flight() : 0;
  const std::size_t full = std::min<std::size_t>(mss_, unsent_.size());
  const std::size_t size = std::min<std::size_t>({full, window, room});
  cwnd_limited_ = room < full && room < window;
  if (size < full) {
    const bool by_window = window < full;
    const bool worthwhile = by_window && size * 2 >= max_wnd_;
    if (size == 0 || !(worthwhile || any_size_)) return false;
  }
  const bool last = size == unsent_.size();
  if (size == 0 && window == 0) return false;                                              // a FIN needs room too
  if (size > 0 && !unsent_.move_prefix(size, sending_) && sending_.empty()) return false;  // no list node: later
  any_size_ = false;
  out.seq = snd_nxt_;
  out.data = &sending_;
  out.offset = 0;
  out.size = sending_.size();
  if (unsent_.empty() && out.size > 0) out.flags |= TcpFlags::kPsh;
  if (fin_queued_ && last && unsent_.empty() && window > size) {
    out.flags |= TcpFlags::kFin;
    fin_sent_ = true;
  }
  snd_nxt_ += SeqLen(out.size + (out.has(TcpFlags::kFin) ? 1u : 0u));
  rtx_next_ = snd_nxt_;
  if (timed_at_.is_never()) {
    timed_at_ = now;
    timed_end_ = snd_nxt_;
  }
  note_sent(out, now);
  return true;
}

void Sender::note_sent(OutgoingSegment&, Instant now) {
  last_sent_ = now;
  if (deadline_.is_never()) deadline_ = now + rtt_.rto();
}

void Sender::finish_transmit(Instant now) {
  if (deadline_.is_never() && !outstanding() && waiting()) deadline_ = now + rtt_.rto();
}

}  // namespace millrace::tcp
