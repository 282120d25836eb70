// How many bytes several threads together may let pass by now, at a steady rate: one word, no lock and no timer.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "dataplane/base/time.h"

namespace millrace {

/// Any thread may call. Clocks that differ between threads by less than a byte's time do no harm.
class SharedByteRate {
 public:
  /// What may pass at once after a pause. Before the first take() there was none: nothing passes at that moment.
  static constexpr Duration kBurst = Duration::seconds(1);

  /// Takes what may pass of `wanted` bytes. `bytes_per_second`: at least 1; below 2^53, for the arithmetic.
  [[nodiscard]] std::size_t take(std::uint64_t bytes_per_second, std::size_t wanted, Instant now) {
    const double bytes_per_nanosecond = static_cast<double>(bytes_per_second) * 1e-9;
    std::int64_t before = used_until_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t from = before == kNeverUsed ? now.to_nanoseconds() : std::max(before, (now - kBurst).to_nanoseconds());
      const double allowed = static_cast<double>(std::max<std::int64_t>(now.to_nanoseconds() - from, 0)) * bytes_per_nanosecond;
      const std::size_t taken = std::min(wanted, static_cast<std::size_t>(allowed));
      if (taken == 0 && before != kNeverUsed) return 0;
      // To the nanosecond in which the last byte has passed, and no part of a byte is lost or won for longer.
      const std::int64_t until = from + static_cast<std::int64_t>(std::ceil(static_cast<double>(taken) / bytes_per_nanosecond));
      if (used_until_.compare_exchange_weak(before, until, std::memory_order_relaxed)) return taken;
    }
  }

 private:
  static constexpr std::int64_t kNeverUsed = std::numeric_limits<std::int64_t>::min();

  // Instant, in nanoseconds: what could pass up to it has passed.
  std::atomic<std::int64_t> used_until_{kNeverUsed};
};

}  // namespace millrace
