// The receiving half of a connection: puts bytes in order, says what window we offer and what we hold. RFC 9293 3.8.6
// (silly-window avoidance 3.8.6.2.2), RFC 2018, RFC 2883.
//
//        read by the user     in_ (readable)        offered window, reassembly_ holds parts of it
//   ----------------------|--------------------|-----------------------------------------------|----
//                                           rcv_nxt                                       edge (never moves left)
//
// Memory: the window charges the larger of the bytes and a part of what they pin; beyond that, payloads are copied together
// instead of referenced, so that sparse segments cannot pin much more than the buffer size. The window starts small and grows
// to twice what the user reads in a round trip, up to the configured size and the connection's share of the worker's buffers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/config.h"
#include "dataplane/tcp/reassembly.h"

namespace millrace::tcp {

class Receiver {
 public:
  struct Outcome {
    bool advanced = false;      ///< rcv_nxt moved
    bool filled_gap = false;    ///< and held bytes were delivered with it
    bool out_of_order = false;  ///< some of it waits for what is missing
    bool duplicate = false;     ///< some of it was here already
    bool fin = false;           ///< the peer's FIN is now in order
    bool dropped = false;       ///< no memory, or outside the window: the peer sends it again
  };

  Receiver(stream::ChainPool& chains, ReassemblyPool& pool, const TcpConfig& config)
      : in_(chains),
        reassembly_(pool),
        most_(static_cast<std::uint32_t>(config.receive_buffer_bytes)),
        goal_(static_cast<std::uint32_t>(std::min(config.initial_receive_buffer_bytes, config.receive_buffer_bytes))) {}

  /// `first` is the peer's ISN plus one; `offered` the window of our SYN.
  void start(SeqNum first, std::uint32_t offered, std::uint8_t shift, std::uint32_t mss);

  /// RFC 9293 3.10.7.4, first check: does any of it lie in the window?
  [[nodiscard]] bool acceptable(const Segment& segment) const;
  /// Takes over the segment's data. One that was put together of several has to be expected().
  Outcome receive(const Segment& segment);
  /// Bytes from `seq` on that would be taken in order and without any effect on what is held; 0: none.
  [[nodiscard]] SeqLen expected(SeqNum seq) const {
    return seq == rcv_nxt_ && reassembly_.empty() && !fin_seen_ ? rcv_wnd() : SeqLen(0);
  }
  /// A segment that acceptable() refused, or that came again: a D-SACK will tell (RFC 2883 4).
  void note_duplicate(SeqNum begin, SeqNum end);

  [[nodiscard]] std::size_t readable() const { return in_.size(); }
  /// `rtt` is about how long a round trip takes: the window follows what is read in one.
  std::size_t read(stream::Chain& to, std::size_t limit, Duration rtt, Instant now);
  /// From now on bytes are acknowledged and thrown away: the user has closed.
  void discard();
  [[nodiscard]] bool fin_received() const { return fin_received_; }

  [[nodiscard]] SeqNum rcv_nxt() const { return rcv_nxt_; }
  [[nodiscard]] SeqLen rcv_wnd() const { return rcv_nxt_ < edge_ ? edge_ - rcv_nxt_ : SeqLen(0); }
  /// The window field of the next segment; what it offers is promised from then on. `share`: bytes that one connection may take
  /// of what is left of the worker's buffers.
  [[nodiscard]] std::uint16_t offer_window(std::size_t share);
  /// The user has read so much that the peer, which may be waiting, should hear of it.
  [[nodiscard]] bool wants_window_update(std::size_t share) const;
  /// There is something to say beyond the acknowledgement: fill_sack() would write a block.
  [[nodiscard]] bool has_sack() const { return duplicate_begin_ != duplicate_end_ || !reassembly_.empty(); }
  /// D-SACK first, then what is held. A duplicate is told once.
  void fill_sack(TcpOptions& options);
  [[nodiscard]] const Reassembly& reassembly() const { return reassembly_; }
  [[nodiscard]] std::uint32_t window_goal() const { return goal_; }  ///< bytes

 private:
  [[nodiscard]] std::uint32_t limit(std::size_t share) const;
  [[nodiscard]] std::uint32_t free_bytes(std::size_t share) const;
  bool deliver(nic::Slice bytes);
  [[nodiscard]] bool deliver_all(stream::Chain& bytes);
  [[nodiscard]] bool is_sparse() const { return in_.charge() > std::size_t{goal_} * 2; }
  void follow_reader(std::size_t count, Duration rtt, Instant now);

  stream::Chain in_;
  Reassembly reassembly_;
  SeqNum rcv_nxt_;
  SeqNum edge_;
  SeqNum fin_at_;
  SeqNum duplicate_begin_;  // what the next D-SACK reports; empty when equal
  SeqNum duplicate_end_;
  std::uint32_t most_;  // what the window may grow to
  std::uint32_t goal_;  // what it is to be now, memory permitting
  std::uint32_t mss_ = 536;
  std::uint32_t read_now_ = 0;   // by the user in the present round trip
  std::uint32_t read_last_ = 0;  // and in the one before
  Instant round_end_;
  std::uint8_t shift_ = 0;
  bool fin_seen_ = false;      // its number is fin_at_
  bool fin_received_ = false;  // and everything before it is here
  bool discarding_ = false;
};

}  // namespace millrace::tcp
