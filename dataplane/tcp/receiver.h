// The receiving half of a connection: puts bytes in order, says what window we offer. RFC 9293 3.8.6 (silly-window
// avoidance 3.8.6.2.2).
//
//        read by the user     in_ (readable)        offered window, reassembly_ holds parts of it
//   ----------------------|--------------------|-----------------------------------------------|----
//                                           rcv_nxt                                       edge (never moves left)
//
// Memory: the window charges the larger of the bytes and a part of what they pin; beyond that, payloads are copied together
// instead of referenced, so that sparse segments cannot pin much more than the buffer size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/reassembly.h"

namespace millrace::tcp {

class Receiver {
 public:
  struct Outcome {
    bool advanced = false;      ///< rcv_nxt moved
    bool filled_gap = false;    ///< and held bytes were delivered with it
    bool out_of_order = false;  ///< some of it waits for what is missing
    bool duplicate = false;     ///< all of it was old
    bool fin = false;           ///< the peer's FIN is now in order
    bool dropped = false;       ///< no memory, or outside the window: the peer sends it again
  };

  Receiver(stream::ChainPool& chains, ReassemblyPool& pool, std::size_t buffer_bytes)
      : in_(chains), reassembly_(pool), buffer_bytes_(static_cast<std::uint32_t>(buffer_bytes)) {}

  /// `first` is the peer's ISN plus one; `offered` the window of our SYN.
  void start(SeqNum first, std::uint32_t offered, std::uint8_t shift, std::uint32_t mss);

  /// RFC 9293 3.10.7.4, first check: does any of it lie in the window?
  [[nodiscard]] bool acceptable(const Segment& segment) const;
  Outcome receive(const Segment& segment);

  [[nodiscard]] std::size_t readable() const { return in_.size(); }
  std::size_t read(stream::Chain& to, std::size_t limit);
  /// From now on bytes are acknowledged and thrown away: the user has closed.
  void discard();
  [[nodiscard]] bool fin_received() const { return fin_received_; }

  [[nodiscard]] SeqNum rcv_nxt() const { return rcv_nxt_; }
  [[nodiscard]] SeqLen rcv_wnd() const { return rcv_nxt_ < edge_ ? edge_ - rcv_nxt_ : SeqLen(0); }
  /// The window field of the next segment; what it offers is promised from then on.
  [[nodiscard]] std::uint16_t offer_window();
  /// The user has read so much that the peer, which may be waiting, should hear of it.
  [[nodiscard]] bool wants_window_update() const;
  [[nodiscard]] const Reassembly& reassembly() const { return reassembly_; }

 private:
  [[nodiscard]] std::uint32_t free_bytes() const;
  [[nodiscard]] std::uint32_t step() const;  // the least growth worth offering
  bool deliver(nic::Slice bytes);

  stream::Chain in_;
  Reassembly reassembly_;
  SeqNum rcv_nxt_;
  SeqNum edge_;
  SeqNum fin_at_;
  std::uint32_t buffer_bytes_;
  std::uint32_t mss_ = 536;
  std::uint8_t shift_ = 0;
  bool fin_seen_ = false;      // its number is fin_at_
  bool fin_received_ = false;  // and everything before it is here
  bool discarding_ = false;
};

}  // namespace millrace::tcp
