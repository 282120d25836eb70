// A token bucket that several threads take from: one word, no lock and no timer. Tokens come one by one, at the rate at which a
// fill adds them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "dataplane/base/time.h"

namespace millrace {

/// Any thread may call. Clocks that differ between threads by less than a token's time do no harm.
class SharedTokenBucket {
 public:
  struct Limits {
    std::uint32_t max_tokens = 1;  ///< at least 1
    Duration per_token;            ///< until the next one comes; at least a nanosecond

    /// `tokens_per_fill` at least 1. What would take longer than 70 years to fill up is filled in that time.
    [[nodiscard]] static constexpr Limits of(std::uint32_t max_tokens, std::uint32_t tokens_per_fill, Duration fill_interval) {
      constexpr std::int64_t kLongestNanoseconds = std::int64_t{1} << 61;
      const std::int64_t wanted = fill_interval.to_nanoseconds() / tokens_per_fill;
      return {max_tokens,
              Duration::nanoseconds(std::clamp<std::int64_t>(wanted, 1, kLongestNanoseconds / std::max(max_tokens, 1u)))};
    }
    [[nodiscard]] constexpr Duration depth() const { return per_token * max_tokens; }
    constexpr bool operator==(const Limits&) const = default;
  };

  /// Whether there was a token; then it is gone.
  [[nodiscard]] bool take(const Limits& limits, Instant now) {
    std::int64_t before = used_until_.load(std::memory_order_relaxed);
    std::int64_t from = 0;
    do {
      from = start(before, limits, now);
      if (now.to_nanoseconds() - from < limits.per_token.to_nanoseconds()) return false;
    } while (!used_until_.compare_exchange_weak(before, from + limits.per_token.to_nanoseconds(), std::memory_order_relaxed));
    return true;
  }
  [[nodiscard]] std::uint32_t left(const Limits& limits, Instant now) const {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(saved(limits, now), 0) / limits.per_token.to_nanoseconds());
  }
  /// Until there is a token; zero: there is one.
  [[nodiscard]] Duration until_next(const Limits& limits, Instant now) const {
    return std::max(Duration(), limits.per_token - Duration::nanoseconds(saved(limits, now)));
  }

 private:
  [[nodiscard]] static std::int64_t start(std::int64_t used_until, const Limits& limits, Instant now) {
    return std::max(used_until, (now - limits.depth()).to_nanoseconds());
  }
  [[nodiscard]] std::int64_t saved(const Limits& limits, Instant now) const {
    return now.to_nanoseconds() - start(used_until_.load(std::memory_order_relaxed), limits, now);
  }

  // Instant, in nanoseconds. The tokens that came up to it are gone; at first, none is.
  std::atomic<std::int64_t> used_until_{std::numeric_limits<std::int64_t>::min()};
};

}  // namespace millrace
