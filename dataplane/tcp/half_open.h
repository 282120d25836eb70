// A handshake that a peer began and has not completed: SYN-RECEIVED of a passive open, small on purpose, since anybody can make
// us keep one with a single segment. RFC 9293 3.10.7.2 and 3.10.7.4.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/handshake.h"

namespace millrace::tcp {

class HalfOpen {
 public:
  HalfOpen(const LocalTerms& local, const Segment& syn) {
    terms_.local = local;
    terms_.accept(syn);
  }

  enum class Verdict : std::uint8_t {
    kDrop,
    kAnswer,    ///< send answer() (again)
    kForget,    ///< the peer has reset it
    kRefuse,    ///< send make_reset_for() the segment; the entry stays
    kComplete,  ///< make a connection and give it this segment
  };
  [[nodiscard]] Verdict on_segment(const Segment& segment) const;

  /// The SYN-ACK.
  [[nodiscard]] OutgoingSegment answer(Instant now) const { return make_syn(terms_, true, now); }
  /// How long to wait for the last answer() to be acknowledged.
  [[nodiscard]] Duration timeout() const;
  /// The time is over: true to send answer() again, false to give up.
  [[nodiscard]] bool retry(std::uint32_t limit) {
    terms_.syn_lost = retries_ > 0;
    return retries_++ < limit;
  }

  [[nodiscard]] const Terms& terms() const { return terms_; }
  [[nodiscard]] std::uint32_t retries() const { return retries_; }  ///< answers repeated because time was over

 private:
  Terms terms_;
  std::uint8_t retries_ = 0;
};

}  // namespace millrace::tcp
