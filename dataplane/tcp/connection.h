// One TCP connection: the state machine of RFC 9293 3.10, without packets, addresses or a clock. Transitions only: bytes are the
// Sender's and Receiver's. Checks of blind attacks by RFC 5961, timestamps by RFC 7323. Urgent data is read as data.
// A passive open starts in ESTABLISHED: until then the peer is a half-open entry (half_open.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "dataplane/base/keep_alive.h"
#include "dataplane/base/time.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/tcp/ack_scheduler.h"
#include "dataplane/tcp/config.h"
#include "dataplane/tcp/counters.h"
#include "dataplane/tcp/handshake.h"
#include "dataplane/tcp/receiver.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/sender.h"
#include "dataplane/tcp/state.h"

namespace millrace::tcp {

/// What the connections of one stack share. Outlives them.
struct Shared {
  stream::ChainPool& chains;
  ReassemblyPool& held;
  SentRangePool& sent;
  RecoveryUndoPool& undos;
  const TcpConfig& config;
  Counters& counters;
  ChallengeLimit& challenges;
  /// What one connection may take, in each direction, of what is left of the worker's packet buffers; bytes.
  std::size_t buffer_share = limits::kTcpReceiveBufferBytes;
  stream::Chain newest{chains};  ///< the segment that is being sent: empty between turns
};

class Connection {
 public:
  explicit Connection(Shared& shared);

  /// Active open: the next transmit() sends the SYN.
  void open(const LocalTerms& local, Instant now);
  /// Passive open: the handshake that `terms` describe was completed by `ack`, which on_segment() is to be given next.
  void accept(const Terms& terms, const Segment& ack, Instant now);

  void on_segment(const Segment& segment, Instant now);
  /// Bytes of data from `seq` on that would be taken in order, as a part of a stream that runs; 0: look at each segment.
  [[nodiscard]] SeqLen expected(SeqNum seq) const { return state_ == State::kEstablished ? receiver_.expected(seq) : SeqLen(0); }

  /// Emits all that can be sent now.
  template <SegmentSink S>
  void transmit(Instant now, S&& emit) {
    OutgoingSegment out;
    while (next_segment(out, now)) emit(std::as_const(out));
    if (state_ >= State::kEstablished) sender_.finish_transmit(shared_.newest, now);
  }

  /// When on_timer(), and then transmit(), is due without a segment or a call of the user.
  [[nodiscard]] Instant next_timeout() const {
    if (state_ == State::kClosed) return Instant::never();
    return std::min({sender_.deadline(), acks_.deadline(), deadline_, user_deadline(), keep_alive_deadline()});
  }
  void on_timer(Instant now);

  /// The network says that `seq` cannot get there. Ends a connection that is being opened when it is `final` (no such port or
  /// protocol); else it only becomes the reason given when the attempts are used up (RFC 9293 3.9.2.2, soft errors).
  void on_unreachable(SeqNum seq, bool final);
  /// What we sent with this number is outstanding: only then is a message about it to be believed (RFC 5927).
  [[nodiscard]] bool is_in_flight(SeqNum seq) const;
  /// The path takes segments of at most `mss` bytes of payload and options.
  void on_path_mss(std::uint32_t mss, Instant now);

  // The user's calls: as in byte_stream.h.
  [[nodiscard]] std::size_t readable() const { return receiver_.readable(); }
  std::size_t read(stream::Chain& to, std::size_t limit, Instant now);
  [[nodiscard]] bool read_ended() const { return receiver_.fin_received() && receiver_.readable() == 0; }
  [[nodiscard]] std::size_t write_credit() const { return can_write() ? sender_.credit(shared_.buffer_share) : 0; }
  std::size_t write(stream::Chain& from, Instant now);
  void shutdown_write(Instant now);
  void close(Instant now);
  void reset();
  /// Instead of what the configuration says for all connections.
  void set_keep_alive(const KeepAlive& keep_alive) { keep_alive_ = keep_alive; }
  /// As reset(), but the user is told `reason`.
  void abort(stream::CloseReason reason);

  /// Of what transmit() has just handed out some was refused on this machine.
  void on_local_loss(Instant now) {
    if (state_ >= State::kEstablished) sender_.on_local_loss(now);
  }

  /// What the user has to be told; each is true once.
  struct Events {
    bool connected = false;
    bool readable = false;
    bool writable = false;
  };
  [[nodiscard]] Events take_events();
  /// Why the connection ended: set with the transition to CLOSED or TIME-WAIT.
  [[nodiscard]] std::optional<stream::CloseReason> end() const { return end_; }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool needs_transmit(Instant now) const { return reset_due_ || syn_due_ || acks_.due(now); }
  [[nodiscard]] bool ecn() const { return terms_.ecn; }
  [[nodiscard]] const Terms& terms() const { return terms_; }
  [[nodiscard]] const Sender& sender() const { return sender_; }
  [[nodiscard]] const Receiver& receiver() const { return receiver_; }
  [[nodiscard]] std::uint32_t ts_recent() const { return terms_.ts_recent; }
  [[nodiscard]] Instant heard_at() const { return heard_at_; }  ///< when a segment of the peer last passed

 private:
  void set_state(State next);
  void finish(stream::CloseReason reason);
  [[nodiscard]] bool can_write() const {
    return (state_ == State::kEstablished || state_ == State::kCloseWait) && !sender_.fin_queued();
  }

  // connection_input.cc
  void on_syn_sent(const Segment& segment, Instant now);
  void on_synchronized(const Segment& segment, Instant now);
  [[nodiscard]] bool passes_timestamps(const Segment& segment, Instant now);
  [[nodiscard]] bool passes_ack(const Segment& segment, Instant now);
  void process_ack(const Segment& segment, Instant now);
  void process_data(const Segment& segment, Instant now);
  void on_fin(Instant now);
  void establish();
  void challenge(Instant now);
  [[nodiscard]] bool may_answer_stray(Instant now);
  void acknowledge_stray(const Segment& segment, Instant now);
  void follow_congestion_marks(const Segment& segment);
  [[nodiscard]] std::optional<Instant> echo_sent_at(const Segment& segment, Instant now) const;
  void start_sender(const Segment& segment, std::uint32_t window);
  void refuse(const Segment& segment);
  void plan_reset(const OutgoingSegment& reset);

  // connection_output.cc
  [[nodiscard]] bool next_segment(OutgoingSegment& out, Instant now);
  void complete(OutgoingSegment& out, Instant now);
  [[nodiscard]] Duration syn_timeout() const;

  // connection_timer.cc
  void on_handshake_timer(Instant now);
  void on_closed_timer(Instant now);
  void on_sender_timer(Instant now);
  void on_keep_alive();
  [[nodiscard]] Instant user_deadline() const;
  [[nodiscard]] Instant keep_alive_deadline() const;

  Shared& shared_;
  State state_ = State::kClosed;
  bool connected_event_ = false;
  bool readable_event_ = false;
  bool user_gone_ = false;  // close() or reset() was called
  bool reset_due_ = false;  // a RST is to be sent: reset_seq_, reset_ack_
  bool reset_acks_ = false;
  bool syn_due_ = false;  // SYN in SYN-SENT, SYN-ACK in SYN-RECEIVED
  bool keep_alive_due_ = false;
  bool unreachable_ = false;      // a soft error came about our SYN
  bool congestion_echo_ = false;  // ECE goes out until the peer says CWR (RFC 3168 6.1.3)
  std::uint8_t keep_alives_ = 0;  // sent since the peer was last heard
  std::uint8_t syn_retries_ = 0;
  std::optional<KeepAlive> keep_alive_;  // of this connection alone
  std::optional<stream::CloseReason> end_;
  Instant deadline_ = Instant::never();  // SYN retransmission, or the end of FIN-WAIT-2
  Instant stray_ack_after_;              // answers to what no honest peer sends are spaced
  Instant ts_recent_at_;
  Instant syn_sent_at_;
  Instant heard_at_;  // when a segment of the peer last passed
  SeqNum last_ack_sent_;
  Terms terms_;
  AckScheduler acks_;
  Receiver receiver_;
  Sender sender_;
  SeqNum reset_seq_;
  SeqNum reset_ack_;
};

}  // namespace millrace::tcp
