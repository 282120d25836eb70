// How much a connection may have in the network, and what of it must be sent again: loss detection, recovery and congestion
// control put together. Knows sequence numbers, not bytes; the Sender asks it what to send.
//
//   kOpen ----- lost (RACK, or three duplicates without SACK) -----> kFast --- all of it acknowledged ---> kOpen
//     |  \----- ECN echo, or a tail probe that repaired a loss ----> kReduced -----------------------------^
//     \-------- retransmission timeout (from any state) -----------> kTimeout ----------------------------^
//
// RFC 5681, 6298 (timeouts), 6582 (without SACK), 6675 and 2018 (SACK), 8985 (RACK-TLP), 6937 (PRR), 5682 (F-RTO), 3522 and 2883
// (spurious recoveries are undone), 3042 (limited transmit: what is sacked makes room), 3168 (ECN), 9406 (HyStart++), 3465.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "dataplane/base/time.h"
#include "dataplane/tcp/congestion/congestion.h"
#include "dataplane/tcp/congestion/hystart.h"
#include "dataplane/tcp/prr.h"
#include "dataplane/tcp/rack.h"
#include "dataplane/tcp/rtt_estimator.h"
#include "dataplane/tcp/sack_scoreboard.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::tcp {

/// What a recovery goes back to when it turns out to be spurious. Exists only while one lasts.
struct RecoveryUndo {
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = 0;
  Congestion congestion;
  Instant first_retransmission = Instant::never();
  std::uint32_t repeated = 0;  ///< retransmissions that no D-SACK has shown to be superfluous
};
using RecoveryUndoPool = Pool<RecoveryUndo>;

class Recovery {
 public:
  enum class State : std::uint8_t { kOpen, kReduced, kFast, kTimeout };

  Recovery(SentRangePool& ranges, RecoveryUndoPool& undos) : board_(ranges), undos_(undos) {}
  ~Recovery() { forget_undo(); }
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;

  /// `sack`: both sides permitted it.
  void start(SeqNum first, std::uint32_t mss, bool sack, CongestionKind congestion);
  void begin_with_one_segment() { cwnd_ = mss_; }
  void set_mss(std::uint32_t mss);
  /// The path did not take what is outstanding: all of it goes again, which says nothing about congestion.
  void resend_all(Instant now);
  void clear();

  struct Ack {
    SeqNum ack;  ///< at most nxt; less than una: old, only its SACK blocks count
    std::span<const wire::TcpOptions::SackBlock> sacks{};
    bool duplicate = false;                 ///< as RFC 5681 2 defines it
    bool congestion_echo = false;           ///< ECE
    std::optional<Instant> echo_sent_at{};  ///< from an echoed timestamp: when, at the earliest, what it answers was sent
  };
  struct AckResult {
    std::uint32_t acked = 0;    ///< sequence numbers newly acknowledged
    bool entered_fast = false;  ///< a loss was found
    bool undone = false;        ///< a recovery turned out to be spurious
    bool reduced = false;       ///< the window shrinks for ECN: CWR is to be set on the next new data
  };
  AckResult on_ack(const Ack& ack, Instant now);

  /// What the timer that expired asks for.
  enum class Expired : std::uint8_t { kNothing, kReordering, kTailProbe, kTimeout };
  Expired on_timer(Instant now);
  /// Of the timer; never() while nothing is outstanding.
  [[nodiscard]] Instant deadline() const { return deadline_; }

  struct Piece {
    SeqNum begin;
    SeqNum end;
  };
  /// What has to be sent again now, at most one segment; none when nothing is lost, or the window does not allow it yet.
  [[nodiscard]] std::optional<Piece> next_lost() const;
  /// Bytes of new data that the congestion window allows now.
  [[nodiscard]] std::uint32_t room() const;
  /// How long `bytes` take at the pace that fills the window in half a round trip (slow start) or four fifths of one; zero on
  /// paths too short for our timers to pace.
  [[nodiscard]] Duration pace(std::size_t bytes) const;
  /// New data up to `end` goes out. False: no memory to remember it by, it must not be sent.
  [[nodiscard]] bool on_sent(SeqNum end, Instant now);
  void on_retransmitted(const Piece& piece, Instant now);
  /// The tail probe that on_timer() asked for is about to be sent as new data (false) or as a repetition (true).
  void on_tail_probe(bool repeats);
  /// There is no new data to send, or the peer has no room for it: F-RTO does not wait for it any longer.
  void no_new_data() { f_rto_ = new_data_first_ = false; }
  [[nodiscard]] bool wants_new_data() const { return new_data_first_ && recover_ == nxt(); }
  /// The peer lives, it only has no room.
  void on_answered() { timeouts_ = 0; }
  /// The congestion window (true), not the application or the peer's window, was what ended the last round of sending.
  void set_limited(bool by_window) { limited_ = by_window; }
  /// The first data after everything was acknowledged is about to go: after more than a timeout of silence the window is that of
  /// a beginning (RFC 5681 4.1).
  void on_first(Instant now);

  [[nodiscard]] SeqNum una() const { return board_.una(); }
  [[nodiscard]] SeqNum nxt() const { return board_.nxt(); }
  [[nodiscard]] bool outstanding() const { return board_.flight() > 0; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint32_t cwnd() const { return cwnd_; }          ///< bytes
  [[nodiscard]] std::uint32_t ssthresh() const { return ssthresh_; }  ///< bytes
  /// What was sent now never left: the port's link is down or its queue full, which says nothing of the path. It is tried again
  /// soon, without backing off further.
  void on_local_loss(Instant now);
  static constexpr Duration kLocalRetry = Duration::milliseconds(500);
  /// Timeouts in a row without an answer.
  [[nodiscard]] std::uint32_t timeouts() const { return timeouts_; }
  /// What has happened since the start; numbers stay at their ends.
  struct History {
    std::uint32_t retransmissions = 0;  ///< segments sent again
    std::uint32_t timeouts = 0;         ///< of the retransmission timer
    std::uint32_t losses = 0;           ///< found in another way: recoveries begun
  };
  [[nodiscard]] History history() const { return {all_retransmissions_, all_timeouts_, all_losses_}; }
  [[nodiscard]] const Congestion& congestion() const { return congestion_; }
  [[nodiscard]] const Rack& rack() const { return rack_; }
  [[nodiscard]] const SackScoreboard& board() const { return board_; }
  [[nodiscard]] const RttEstimator& rtt() const { return rtt_; }
  [[nodiscard]] RttEstimator& rtt() { return rtt_; }

 private:
  template <typename T>
  static void count(T& number) {
    if (number < std::numeric_limits<T>::max()) ++number;
  }
  /// What one acknowledgement has told about segments.
  struct Delivery {
    std::uint32_t bytes = 0;
    bool first_transmission_of_lost = false;  // what was declared lost, and not sent again, has arrived
    Instant oldest = Instant::never();        // of those sent once: the first, for the timeout
    Instant newest;                           // and the last, for the path's delay
    bool sampled = false;
  };

  void note_delivered(const SentRange& part, const Ack& ack, Delivery& delivery, Instant now);
  [[nodiscard]] bool take_sacks(const Ack& ack, Delivery& delivery, Instant now);
  void note_duplicate(const Piece& block);
  void sample_rtt(const Delivery& delivery, const Ack& ack, Instant now);
  void count_duplicates(const Ack& ack, std::uint32_t acked, Delivery& delivery);
  void detect_losses(Instant now);
  [[nodiscard]] bool is_spurious(const Ack& ack, const Delivery& delivery, std::uint32_t acked) const;
  void follow_tail_probe(const Ack& ack, bool duplicate_sack, Instant now);
  void react(const Ack& ack, const Delivery& delivery, AckResult& result, Instant now);
  void react_after_timeout(const AckResult& result, Instant now);
  void reduce(State to, Instant now);
  void remember_undo();
  void forget_undo();
  void undo();
  void leave();
  void grow(std::uint32_t acked, Instant now);
  void expire(Instant now);
  void rearm(Instant now);
  [[nodiscard]] std::uint32_t initial_window() const;
  [[nodiscard]] std::uint32_t in_network() const;
  [[nodiscard]] PathView view(Instant now) const { return {cwnd_, board_.flight(), mss_, rtt_.srtt(), now}; }
  [[nodiscard]] bool tail_probe_possible() const;

  SackScoreboard board_;
  Rack rack_;
  RttEstimator rtt_;
  Congestion congestion_;
  HyStart hystart_;
  Prr prr_;
  RecoveryUndoPool& undos_;
  RecoveryUndo* undo_ = nullptr;  // null: none, or no memory for it

  std::uint32_t mss_ = 536;
  std::uint32_t cwnd_ = 0;
  std::uint32_t ssthresh_ = 0x7fff'ffff;
  SeqNum recover_;                         // nxt when the present recovery began
  SeqNum tail_probe_end_;                  // nxt when the outstanding tail probe was sent
  std::uint32_t duplicate_bytes_ = 0;      // without SACK: what duplicates say has left the network
  std::uint32_t deliveries_ = 0;           // above una: segments, or acknowledgements that sacked any
  std::uint32_t all_retransmissions_ = 0;  // since the start

  Instant deadline_ = Instant::never();
  Instant timeout_from_;                   // the retransmission timer counts from here
  Instant look_again_ = Instant::never();  // RACK's reordering timer
  Instant last_sent_;

  State state_ = State::kOpen;
  enum class Armed : std::uint8_t { kNothing, kReordering, kTailProbe, kTimeout } armed_ = Armed::kNothing;
  bool sack_ = false;
  bool limited_ = false;
  bool forced_ = false;          // one retransmission goes out whatever the window says
  bool f_rto_ = false;           // the last timeout may have been spurious (RFC 5682)
  bool new_data_first_ = false;  // F-RTO's step 2b: rather than retransmitting
  bool tail_probe_out_ = false;
  bool tail_probe_repeats_ = false;
  std::uint16_t timeouts_ = 0;      // in a row
  std::uint16_t all_timeouts_ = 0;  // since the start; what an idle connection takes is counted
  std::uint16_t all_losses_ = 0;
};

}  // namespace millrace::tcp
