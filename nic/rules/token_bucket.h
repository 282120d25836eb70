// So many packets per second, and so many at once after a pause. Kept as one number, the time at which the bucket would be full
// again (the generic cell rate algorithm of ITU-T I.371): several threads may ask without a lock. The time is an argument.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "dataplane/base/assert.h"
#include "dataplane/base/time.h"

namespace millrace::nic {

/// Any thread. Rates above 10^9 per second are as 10^9.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t packets_per_second, std::uint32_t burst)
      : interval_(std::max<std::int64_t>(1, 1'000'000'000 / packets_per_second)), depth_(interval_ * burst) {
    MR_ASSERT(packets_per_second > 0 && burst > 0);
  }

  /// Whether one more packet keeps to the rate; only then it is counted against it. Times need not be in order across threads.
  [[nodiscard]] bool take(Instant now) {
    const std::int64_t time = now.to_nanoseconds();
    std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
    std::int64_t next = 0;
    do {
      next = std::max(full_at, time) + interval_;
      if (next - time > depth_) return false;
    } while (!full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed));
    return true;
  }

 private:
  const std::int64_t interval_;  // nanoseconds of one packet
  const std::int64_t depth_;     // nanoseconds of a whole burst
  std::atomic<std::int64_t> full_at_{INT64_MIN / 2};
};

}  // namespace millrace::nic
