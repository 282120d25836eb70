// The sending half of a connection: queue, window, loss recovery, retransmission and zero-window timers.
// RFC 9293 3.8 (silly window 3.8.6.2.1, probes 3.8.6.1), 5681, 6582 (NewReno), 3042 (limited transmit), 6298. SACK is not used
// yet.
//
//        unacked_ + sending_             unsent_ (+ FIN)
//   |------------------------------|------------------------|
//   snd_una          rtx_next    snd_nxt
//
// Retransmission copies from unacked_ anew: buffers are never shared with the device. After a timeout rtx_next goes through all
// that is outstanding (go back N), as cwnd allows; an acknowledgement that covers more moves it on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/congestion/congestion.h"
#include "dataplane/tcp/rtt_estimator.h"
#include "dataplane/tcp/segment.h"

namespace millrace::tcp {

class Sender {
 public:
  Sender(stream::ChainPool& chains, std::size_t buffer_bytes)
      : unacked_(chains), sending_(chains), unsent_(chains), buffer_bytes_(static_cast<std::uint32_t>(buffer_bytes)) {}

  /// `first` is our ISN plus one; `mss` the payload of a full segment.
  void start(SeqNum first, std::uint32_t mss, SeqNum peer_seq, std::uint32_t window);
  /// The path takes less than we thought: everything outstanding goes again in smaller pieces.
  void lower_mss(std::uint32_t mss);

  [[nodiscard]] std::size_t credit() const;
  std::size_t write(stream::Chain& from);
  void queue_fin() { fin_queued_ = true; }
  /// Forgets what is queued.
  void clear();

  struct AckResult {
    std::uint32_t acked = 0;  ///< sequence numbers newly acknowledged
    bool fin_acked = false;
    bool fast_retransmit = false;
  };
  /// A segment whose ACK lies in [snd_una - max window, snd_nxt]. `window` is scaled; `rtt` negative when there is no
  /// measurement.
  AckResult on_ack(const Segment& segment, std::uint32_t window, Duration rtt, Instant now);

  /// What expired: nothing, retransmission, or a window probe.
  enum class Expired : std::uint8_t { kNothing, kRetransmission, kProbe };
  Expired on_timer(Instant now);
  /// Fills seq, flags and data of the next segment to send now; false when there is none.
  [[nodiscard]] bool next(OutgoingSegment& out, Instant now);
  /// After the last next() of a turn: arms the probe timer when the peer's window is all that holds us.
  void finish_transmit(Instant now);
  [[nodiscard]] Instant deadline() const { return deadline_; }

  /// on_writable() is due: write() left something over and half the buffer is free again. Asked once, told once.
  [[nodiscard]] bool take_writable();

  [[nodiscard]] SeqNum snd_una() const { return snd_una_; }
  [[nodiscard]] SeqNum snd_nxt() const { return snd_nxt_; }
  [[nodiscard]] std::uint32_t max_window() const { return max_wnd_; }
  [[nodiscard]] std::uint32_t mss() const { return mss_; }
  [[nodiscard]] std::size_t queued() const { return unacked_.size() + sending_.size() + unsent_.size(); }
  [[nodiscard]] bool fin_queued() const { return fin_queued_; }
  /// Timeouts in a row without an answer.
  [[nodiscard]] std::uint32_t unanswered() const { return unanswered_; }
  [[nodiscard]] std::uint32_t cwnd() const;
  [[nodiscard]] const RttEstimator& rtt() const { return rtt_; }
  [[nodiscard]] RttEstimator& rtt() { return rtt_; }

 private:
  [[nodiscard]] std::uint32_t flight() const { return (snd_nxt_ - snd_una_).count(); }
  [[nodiscard]] std::uint32_t in_network() const { return (rtx_next_ - snd_una_).count(); }
  [[nodiscard]] bool outstanding() const { return snd_una_ != snd_nxt_; }
  [[nodiscard]] bool waiting() const { return !unsent_.empty() || (fin_queued_ && !fin_sent_); }
  void fold() { unacked_.append(std::move(sending_)); }
  void remove_acked(std::uint32_t acked, AckResult& result);
  void on_new_ack(std::uint32_t acked, bool was_limited, Instant now);
  void on_duplicate(AckResult& result);
  bool next_retransmission(OutgoingSegment& out, SeqNum from, Instant now);
  bool next_new(OutgoingSegment& out, Instant now);
  void note_sent(OutgoingSegment& out, Instant now);
  template <typename Visit>
  void congestion(Visit&& visit) {
    std::visit(visit, congestion_);
  }

  stream::Chain unacked_;
  stream::Chain sending_;  // the newest segment: its sink reads it from offset 0
  stream::Chain unsent_;
  SeqNum snd_una_;
  SeqNum snd_nxt_;
  SeqNum rtx_next_;  // == snd_nxt_ but while going back
  SeqNum recover_;   // snd_nxt when the last loss was found
  SeqNum wl1_;
  SeqNum wl2_;
  SeqNum timed_end_;  // RTT measurement without timestamps: the acknowledgement that ends it
  std::uint32_t snd_wnd_ = 0;
  std::uint32_t max_wnd_ = 0;
  std::uint32_t mss_ = 536;
  std::uint32_t buffer_bytes_;
  std::uint32_t duplicates_ = 0;
  std::uint32_t unanswered_ = 0;
  Congestion congestion_ = Reno(536);
  RttEstimator rtt_;
  Instant deadline_ = Instant::never();  // retransmission if something is outstanding, else window probe
  Instant timed_at_ = Instant::never();
  Instant last_sent_;
  bool fin_queued_ = false;
  bool fin_sent_ = false;
  bool in_recovery_ = false;
  bool first_partial_ = false;
  bool retransmit_head_ = false;
  bool probe_ = false;     // one segment that makes the peer tell its window
  bool any_size_ = false;  // silly-window avoidance is over-ridden
  bool cwnd_limited_ = false;
  bool blocked_ = false;
};

}  // namespace millrace::tcp
