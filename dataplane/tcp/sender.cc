#include "dataplane/tcp/sender.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr std::size_t kChargePerByte = 4;  // what is queued may pin so many times its size before it costs credit

}  // namespace

void Sender::start(const Start& start) {
  recovery_.start(start.first, start.mss, start.sack, config_.congestion);
  if (start.syn_lost) recovery_.begin_with_one_segment();
  wl1_ = start.peer_seq;
  wl2_ = start.first;
  mss_ = start.mss;
  snd_wnd_ = max_wnd_ = start.window;
  ecn_ = start.ecn;
  mtu_.start(start.mss, start.least_mss);
}

void Sender::lower_mss(std::uint32_t mss, Instant now) {
  if (mss >= mss_) return;
  mtu_.on_told(mss, now);
  use_mss(mss, now);
}

void Sender::use_mss(std::uint32_t mss, Instant now) {
  mss_ = mss;
  recovery_.set_mss(mss);
  recovery_.resend_all(now);
}

// One larger segment was tried: the size is used from now on, or it was too much.
void Sender::follow_mtu_probe(Instant now) {
  if (!mtu_.probing()) return;
  if (mtu_.end() <= snd_una()) {
    mss_ = mtu_.on_arrived(now);
    recovery_.set_mss(mss_);
  } else if (const SentRange* lost = recovery_.board().first_lost(); lost != nullptr && lost->begin == mtu_.begin()) {
    mtu_.on_lost(mss_, now);
  }
}

// Two windows keep a path busy while what was acknowledged is refilled; more would only wait here.
std::size_t Sender::buffer_limit(std::size_t share) const {
  const std::size_t wanted = std::max<std::size_t>(config_.initial_send_buffer_bytes, std::size_t{2} * recovery_.cwnd());
  // However scarce buffers are, a connection keeps moving: two segments.
  return std::min({wanted, config_.send_buffer_bytes, std::max<std::size_t>(share, std::size_t{2} * mss_)});
}

std::size_t Sender::credit(std::size_t share) const {
  const std::size_t charge = unacked_.charge() + unsent_.charge();
  const std::size_t used = std::max(queued(), charge / kChargePerByte);
  const std::size_t limit = buffer_limit(share);
  return used < limit ? limit - used : 0;
}

std::size_t Sender::write(stream::Chain& from, std::size_t share, Instant now) {
  if (idle()) progress_at_ = now;
  const std::size_t before = unsent_.size();
  const std::size_t wanted = std::min(credit(share), from.size());
  if (wanted > 0) (void)from.move_prefix(wanted, unsent_);  // out of nodes: what was moved counts
  if (!from.empty()) blocked_ = true;
  return unsent_.size() - before;
}

void Sender::queue_fin(Instant now) {
  if (idle()) progress_at_ = now;
  fin_queued_ = true;
}

bool Sender::take_writable(std::size_t share) {
  if (!blocked_ || credit(share) < buffer_limit(share) / 2) return false;
  blocked_ = false;
  return true;
}

void Sender::clear() {
  unacked_.clear();
  unsent_.clear();
  recovery_.clear();
  paced_ = false;
  probe_at_ = Instant::never();
}

Sender::AckResult Sender::on_ack(const Segment& segment, std::uint32_t window, std::optional<Instant> echo_sent_at, Instant now) {
  AckResult result;
  const bool bare = segment.length().count() == 0 && !segment.payload_dropped;
  const bool duplicate = segment.ack == snd_una() && recovery_.outstanding() && bare && window == snd_wnd_;
  take_window(segment, window);
  probes_ = 0;
  if (snd_wnd_ == 0) recovery_.on_answered();
  const Recovery::AckResult news = recovery_.on_ack({.ack = segment.ack,
                                                     .sacks = segment.options.sacks(),
                                                     .duplicate = duplicate,
                                                     .congestion_echo = ecn_ && segment.has(TcpFlags::kEce),
                                                     .echo_sent_at = echo_sent_at},
                                                    now);
  if (news.acked > 0) {
    remove_acked(news.acked, result);
    result.progress = true;
    progress_at_ = now;
  }
  follow_mtu_probe(now);
  if (news.reduced) cwr_due_ = true;
  result.fast_retransmit = news.entered_fast;
  result.spurious_recovery = news.undone;
  // The probe timer runs on, unless the window is open again.
  if (!recovery_.outstanding() && (!waiting() || snd_wnd_ > 0)) probe_at_ = Instant::never();
  return result;
}

void Sender::take_window(const Segment& segment, std::uint32_t window) {
  if (segment.seq < wl1_ || (wl1_ == segment.seq && segment.ack < wl2_)) return;
  snd_wnd_ = window;
  max_wnd_ = std::max(max_wnd_, window);
  wl1_ = segment.seq;
  wl2_ = segment.ack;
}

void Sender::remove_acked(std::uint32_t acked, AckResult& result) {
  const std::size_t bytes = std::min<std::size_t>(acked, unacked_.size());
  unacked_.remove_prefix(bytes);
  result.fin_acked = acked > bytes;
}

Sender::Expired Sender::on_timer(Instant now) {
  if (recovery_.outstanding()) {
    switch (recovery_.on_timer(now)) {
      case Recovery::Expired::kNothing: return Expired::kNothing;
      case Recovery::Expired::kReordering: follow_mtu_probe(now); return Expired::kReordering;
      case Recovery::Expired::kTailProbe: tail_probe_ = true; return Expired::kTailProbe;
      case Recovery::Expired::kTimeout:
        tail_probe_ = false;
        follow_mtu_probe(now);
        if (const auto smaller = mtu_.on_timeout(recovery_.timeouts(), mss_, now)) use_mss(*smaller, now);
        return Expired::kRetransmission;
    }
  }
  if (now < probe_at_) return Expired::kNothing;
  probe_at_ = Instant::never();  // finish_transmit() arms it again
  if (!waiting()) return Expired::kNothing;
  ++probes_;
  recovery_.rtt().back_off();
  (snd_wnd_ > 0 ? any_size_ : probe_) = true;
  return Expired::kProbe;
}

void Sender::on_local_loss(Instant now) {
  recovery_.on_local_loss(now);
  if (probe_at_.is_never()) return;
  if (probes_ > 1) {
    --probes_;
    recovery_.rtt().undo_back_off();
  }
  probe_at_ = std::min(probe_at_, now + Recovery::kLocalRetry);
}

// The usual answer to the last question of a turn.
bool Sender::has_nothing_to_send() const {
  return !waiting() && recovery_.board().lost() == 0 && !probe_ && !tail_probe_ && !recovery_.wants_new_data();
}

bool Sender::next(OutgoingSegment& out, stream::Chain& newest, Instant now) {
  unacked_.append(std::move(newest));
  if (has_nothing_to_send()) {
    paced_ = false;
    recovery_.set_limited(false);
    return false;
  }
  out.flags = TcpFlags::kAck;
  out.size = 0;
  if (probe_) {  // an old number, no data: any peer answers with its window
    probe_ = false;
    out.seq = snd_una() - SeqLen(1);
    return true;
  }
  if (tail_probe_) {
    tail_probe_ = false;
    if (next_tail_probe(out, newest, now)) return true;
  }
  if (const auto piece = recovery_.next_lost()) {
    repeat(out, *piece, now);
    return true;
  }
  if (next_new(out, newest, recovery_.room(), now)) return true;
  if (!recovery_.wants_new_data()) return false;
  recovery_.no_new_data();
  return next(out, newest, now);
}

// RFC 8985 7.3: new data if there is any, else the last segment again.
bool Sender::next_tail_probe(OutgoingSegment& out, stream::Chain& newest, Instant now) {
  if (!recovery_.outstanding()) return false;
  if (next_new(out, newest, mss_, now)) {
    recovery_.on_tail_probe(false);
    return true;
  }
  const std::uint32_t flight = (snd_nxt() - snd_una()).count();
  repeat(out, {snd_nxt() - SeqLen(std::min(mss_, flight)), snd_nxt()}, now);
  return true;
}

void Sender::repeat(OutgoingSegment& out, const Recovery::Piece& piece, Instant now) {
  const std::size_t offset = (piece.begin - snd_una()).count();
  const std::size_t length = (piece.end - piece.begin).count();
  out.seq = piece.begin;
  out.data = &unacked_;
  out.offset = offset;
  out.size = offset < unacked_.size() ? std::min(length, unacked_.size() - offset) : 0;
  if (offset + out.size == unacked_.size()) out.flags |= TcpFlags::kPsh;
  if (out.size < length) out.flags |= TcpFlags::kFin;  // the number behind the last byte is the FIN's
  recovery_.on_retransmitted(piece, now);
}

std::uint32_t Sender::window_left() const {
  const SeqNum edge = snd_una() + SeqLen(snd_wnd_);
  return snd_nxt() < edge ? (edge - snd_nxt()).count() : 0;
}

// Less than a full segment goes out when it is all there is (with Nagle: and nothing is outstanding), or half of the largest
// window that the peer ever offered, or when the probe timer says so.
bool Sender::worth_sending(std::size_t size, std::size_t full, std::uint32_t window) const {
  if (any_size_) return true;
  if (size < full) return window < full && size * 2 >= max_wnd_;
  const bool partial = size < mss_ && !fin_queued_;
  return !(config_.nagle && partial && recovery_.outstanding());
}

// Bursts of ten segments are what any path takes; more than that goes out at the pace of the window, so that a window that opens
// all at once does not overflow the queue of the narrowest link.
bool Sender::hold_back(Instant now) {
  constexpr std::size_t kBurstSegments = 10;
  paced_ = false;
  if (!config_.pacing) return false;
  pace_at_ = std::max(pace_at_, now - recovery_.pace(kBurstSegments * mss_));
  paced_ = now < pace_at_;
  return paced_;
}

// What may go out at once, to be cut up as late as possible.
std::size_t Sender::burst_bytes(Instant now) const {
  constexpr std::size_t kMost = 0xffff - 128;  // headers and payload of a packet that the port cuts up
  const Duration pace = recovery_.pace(mss_);
  if (!config_.pacing || pace <= Duration()) return kMost;
  return static_cast<std::size_t>((now - pace_at_).to_nanoseconds() / pace.to_nanoseconds() + 1) * mss_;
}

bool Sender::next_new(OutgoingSegment& out, stream::Chain& newest, std::uint32_t room, Instant now) {
  if (!waiting()) {
    paced_ = false;
    recovery_.set_limited(false);
    return false;
  }
  const bool first = !recovery_.outstanding();
  if (first) recovery_.on_first(now);
  if (hold_back(now)) {
    recovery_.set_limited(true);  // the window is, only not at this moment
    return false;
  }
  const std::uint32_t window = window_left();
  std::size_t full = std::min<std::size_t>(mss_, unsent_.size());
  const std::uint32_t probe = recovery_.state() == Recovery::State::kOpen ? mtu_.candidate(mss_, now) : 0;
  const bool probing = probe > 0 && probe <= std::min<std::size_t>({unsent_.size(), window, room});
  if (probing) full = probe;
  const std::size_t allowed = std::min<std::size_t>(window, room);
  const std::size_t burst = probing ? 0 : std::min({unsent_.size(), allowed, burst_bytes(now)});
  const std::size_t size = burst > full ? burst - burst % full : std::min(full, allowed);
  recovery_.set_limited(room < full && room < window);
  if (!unsent_.empty() && (size == 0 || !worth_sending(size, full, window))) return false;
  if (window == 0) return false;  // a FIN needs room too
  // A slice that is cut in two needs a list node, what is sent a record: without them it waits for the next turn.
  if (size > 0 && !unsent_.move_prefix(size, newest) && newest.empty()) return false;
  const bool fin = fin_queued_ && unsent_.empty() && window > newest.size();
  const SeqNum begin = snd_nxt();
  if (!recovery_.on_sent(begin + SeqLen(newest.size() + (fin ? 1u : 0u)), now)) {
    newest.append(std::move(unsent_));
    unsent_ = std::move(newest);
    return false;
  }
  pace_at_ = pace_at_ + recovery_.pace(newest.size());
  if (probing) mtu_.on_sent(begin, snd_nxt());
  any_size_ = false;
  out.seq = begin;
  out.data = &newest;
  out.offset = 0;
  out.size = newest.size();
  out.segment_size = static_cast<std::uint16_t>(probing ? probe : mss_);
  if (unsent_.empty() && out.size > 0) out.flags |= TcpFlags::kPsh;
  if (fin) {
    out.flags |= TcpFlags::kFin;
    fin_sent_ = true;
  }
  out.ecn_capable = ecn_ && out.size > 0;
  if (cwr_due_ && out.size > 0) {
    out.flags |= TcpFlags::kCwr;
    cwr_due_ = false;
  }
  return true;
}

void Sender::finish_transmit(stream::Chain& newest, Instant now) {
  unacked_.append(std::move(newest));
  if (probe_at_.is_never() && !recovery_.outstanding() && waiting()) probe_at_ = now + rtt().rto();
}

}  // namespace millrace::tcp
