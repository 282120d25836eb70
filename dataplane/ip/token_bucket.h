// A rate limit: so many events a second, with bursts of so many. Two integers of state, no timer.
#pragma once

#include <algorithm>

#include "dataplane/base/time.h"

namespace millrace::ip {

class TokenBucket {
 public:
  constexpr TokenBucket(int per_second, int burst) : interval_(Duration::seconds(1) / per_second), depth_(interval_ * burst) {}

  /// Whether one more is allowed now; then it is spent.
  [[nodiscard]] bool take(Instant now) {
    const Instant next = std::max(full_again_, now) + interval_;
    if (next - now > depth_) return false;
    full_again_ = next;
    return true;
  }

 private:
  Duration interval_;
  Duration depth_;
  Instant full_again_;  // never more than depth_ ahead
};

}  // namespace millrace::ip
