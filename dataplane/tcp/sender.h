// The sending half of a connection: what the user wrote and the peer has not acknowledged, the peer's window, and what leaves
// next. RFC 9293 3.8 (silly window 3.8.6.2.1, probes 3.8.6.1, Nagle 3.7.4). How much may be in the network and what has to be
// sent again is the Recovery's.
//
//             unacked_                   unsent_ (+ FIN)
//   |------------------------------|------------------------|
//   snd_una                     snd_nxt
//
// Retransmission copies from unacked_ anew: buffers are never shared with the device.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/config.h"
#include "dataplane/tcp/mtu_search.h"
#include "dataplane/tcp/recovery.h"
#include "dataplane/tcp/segment.h"

namespace millrace::tcp {

class Sender {
 public:
  Sender(stream::ChainPool& chains, SentRangePool& ranges, RecoveryUndoPool& undos, const TcpConfig& config)
      : unacked_(chains), unsent_(chains), recovery_(ranges, undos), config_(config) {}

  struct Start {
    SeqNum first;                   ///< our ISN plus one
    std::uint32_t mss = 536;        ///< payload of a full segment
    std::uint32_t least_mss = 536;  ///< what every path takes
    SeqNum peer_seq;                ///< of the segment that tells the window
    std::uint32_t window = 0;       ///< the peer's, bytes
    bool sack = false;              ///< both sides permit it
    bool ecn = false;               ///< both sides speak it
    bool syn_lost = false;          ///< the handshake met losses: begin with one segment (RFC 6928 2)
  };
  void start(const Start& start);
  /// The path says that it takes less than we thought: everything outstanding goes again in smaller pieces.
  void lower_mss(std::uint32_t mss, Instant now);

  /// `share`: bytes that one connection may take of what is left of the worker's buffers.
  [[nodiscard]] std::size_t credit(std::size_t share) const;
  std::size_t write(stream::Chain& from, std::size_t share, Instant now);
  void queue_fin(Instant now);
  /// Forgets what is queued.
  void clear();

  struct AckResult {
    bool fin_acked = false;
    bool progress = false;  ///< something new was acknowledged
    bool fast_retransmit = false;
    bool spurious_recovery = false;
  };
  /// A segment whose ACK lies in [snd_una - max window, snd_nxt]. `window` is scaled; `echo_sent_at` as in Recovery::Ack.
  AckResult on_ack(const Segment& segment, std::uint32_t window, std::optional<Instant> echo_sent_at, Instant now);

  enum class Expired : std::uint8_t {
    kNothing,
    kReordering,      ///< losses may have been found
    kTailProbe,       ///< the last segment, or a new one, goes out to provoke an answer
    kRetransmission,  ///< nothing was answered for a whole timeout
    kProbe,           ///< of a closed window
  };
  Expired on_timer(Instant now);
  /// Fills seq, flags and data of the next segment to send now; false when there is none. New data lies in `newest` (empty at the
  /// first call of a turn, any chain of our pool), where the sink finds it at offset 0, until the next call takes it back.
  [[nodiscard]] bool next(OutgoingSegment& out, stream::Chain& newest, Instant now);
  /// After the last next() of a turn: arms the probe timer when the peer's window is all that holds us.
  void finish_transmit(stream::Chain& newest, Instant now);
  [[nodiscard]] Instant deadline() const {
    const Instant waits = recovery_.outstanding() ? recovery_.deadline() : probe_at_;
    return paced_ ? std::min(waits, pace_at_) : waits;
  }

  /// Of what was sent now some never left: see Recovery::on_local_loss().
  void on_local_loss(Instant now);

  /// on_writable() is due: write() left something over and half the buffer is free again. Asked once, told once.
  [[nodiscard]] bool take_writable(std::size_t share);

  [[nodiscard]] SeqNum snd_una() const { return recovery_.una(); }
  [[nodiscard]] SeqNum snd_nxt() const { return recovery_.nxt(); }
  [[nodiscard]] bool idle() const { return !recovery_.outstanding() && !waiting(); }  ///< nothing outstanding or queued
  [[nodiscard]] std::uint32_t window() const { return snd_wnd_; }                     ///< the peer's, bytes
  [[nodiscard]] std::uint32_t max_window() const { return max_wnd_; }
  [[nodiscard]] std::uint32_t mss() const { return mss_; }
  [[nodiscard]] std::size_t queued() const { return unacked_.size() + unsent_.size(); }
  [[nodiscard]] std::size_t unsent() const { return unsent_.size(); }
  [[nodiscard]] bool fin_queued() const { return fin_queued_; }
  /// Timeouts or probes in a row without an answer.
  [[nodiscard]] std::uint32_t unanswered() const { return std::max(recovery_.timeouts(), probes_); }
  /// When the peer last acknowledged something new, or, later, something was written while nothing was waiting.
  [[nodiscard]] Instant progress_at() const { return progress_at_; }
  [[nodiscard]] std::uint32_t cwnd() const { return recovery_.cwnd(); }
  [[nodiscard]] const Recovery& recovery() const { return recovery_; }
  [[nodiscard]] const RttEstimator& rtt() const { return recovery_.rtt(); }
  [[nodiscard]] RttEstimator& rtt() { return recovery_.rtt(); }

 private:
  [[nodiscard]] bool has_nothing_to_send() const;
  [[nodiscard]] bool waiting() const { return !unsent_.empty() || (fin_queued_ && !fin_sent_); }
  [[nodiscard]] std::size_t buffer_limit(std::size_t share) const;
  [[nodiscard]] std::uint32_t window_left() const;
  [[nodiscard]] bool worth_sending(std::size_t size, std::size_t full, std::uint32_t window) const;
  void use_mss(std::uint32_t mss, Instant now);
  void follow_mtu_probe(Instant now);
  void take_window(const Segment& segment, std::uint32_t window);
  void remove_acked(std::uint32_t acked, AckResult& result);
  [[nodiscard]] bool hold_back(Instant now);
  [[nodiscard]] std::size_t burst_bytes(Instant now) const;
  [[nodiscard]] bool next_tail_probe(OutgoingSegment& out, stream::Chain& newest, Instant now);
  [[nodiscard]] bool next_new(OutgoingSegment& out, stream::Chain& newest, std::uint32_t room, Instant now);
  void repeat(OutgoingSegment& out, const Recovery::Piece& piece, Instant now);

  stream::Chain unacked_;
  stream::Chain unsent_;
  Recovery recovery_;
  MtuSearch mtu_;
  const TcpConfig& config_;
  SeqNum wl1_;
  SeqNum wl2_;
  std::uint32_t snd_wnd_ = 0;
  std::uint32_t max_wnd_ = 0;
  std::uint32_t mss_ = 536;
  std::uint32_t probes_ = 0;
  Instant probe_at_ = Instant::never();
  Instant progress_at_;
  Instant pace_at_;     // new data keeps to it; behind `now` by what may go in one burst
  bool paced_ = false;  // and waits for it
  bool fin_queued_ = false;
  bool fin_sent_ = false;
  bool probe_ = false;       // one segment that makes the peer tell its window
  bool tail_probe_ = false;  // one segment whatever the congestion window says
  bool any_size_ = false;    // silly-window avoidance is over-ridden
  bool blocked_ = false;
  bool ecn_ = false;
  bool cwr_due_ = false;  // the next new data tells the peer that we have reduced (RFC 3168 6.1.2)
};

}  // namespace millrace::tcp
