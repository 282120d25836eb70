// Round-trip time and retransmission timeout (RFC 6298). The floor is 200 ms instead of the RFC's SHOULD of 1 s, as in Linux: a
// second of silence for each lost tail costs more than a rare spurious retransmission, and the delayed ACKs of today's peers stay
// below it.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::tcp {

class RttEstimator {
 public:
  static constexpr Duration kInitialRto = Duration::seconds(1);
  static constexpr Duration kMinRto = Duration::milliseconds(200);
  static constexpr Duration kMaxRto = Duration::seconds(120);
  static constexpr Duration kGranularity = Duration::milliseconds(1);

  /// A measurement that no retransmission made ambiguous (Karn), or one from an echoed timestamp.
  void sample(Duration rtt);
  /// The timer expired: doubles the timeout.
  void back_off();
  /// It says nothing of the path.
  void undo_back_off() {
    if (backoff_ > 0) --backoff_;
  }
  /// New data was acknowledged: back to what the measurements say.
  void reset_back_off() { backoff_ = 0; }

  [[nodiscard]] Duration rto() const;
  [[nodiscard]] Duration srtt() const { return srtt_; }
  [[nodiscard]] Duration variance() const { return rttvar_; }  ///< RTTVAR: the mean deviation
  [[nodiscard]] bool has_sample() const { return has_sample_; }

 private:
  Duration srtt_;
  Duration rttvar_;
  std::uint8_t backoff_ = 0;
  bool has_sample_ = false;
};

}  // namespace millrace::tcp
