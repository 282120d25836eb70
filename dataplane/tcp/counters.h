// What a stack counts, and its limit on challenge ACKs. Plain numbers of one core.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::tcp {

enum class Counter : std::uint8_t {
#define MR_TCP_COUNTER(name, counter, text) name,
#include "dataplane/tcp/tcp_counter.def"
#undef MR_TCP_COUNTER
};

inline constexpr std::size_t kCounters = 0
#define MR_TCP_COUNTER(name, counter, text) +1
#include "dataplane/tcp/tcp_counter.def"
#undef MR_TCP_COUNTER
    ;

/// "segments_received": the last part of a counter's name.
[[nodiscard]] const char* counter_name(Counter counter);
/// A phrase for people.
[[nodiscard]] const char* to_text(Counter counter);

class Counters {
 public:
  void add(Counter counter, std::uint64_t count = 1) { values_[static_cast<std::size_t>(counter)] += count; }
  [[nodiscard]] const std::uint64_t& operator[](Counter counter) const { return values_[static_cast<std::size_t>(counter)]; }
  /// Indexed by Counter.
  [[nodiscard]] const std::array<std::uint64_t, kCounters>& values() const { return values_; }

 private:
  std::array<std::uint64_t, kCounters> values_{};
};

/// At most so many in a second, over all connections (RFC 5961 10): an attacker must not make us an amplifier.
class ChallengeLimit {
 public:
  explicit ChallengeLimit(std::uint32_t per_second) : per_second_(per_second) {}
  [[nodiscard]] bool take(Instant now) {
    if (window_end_ <= now) {
      window_end_ = now + Duration::seconds(1);
      left_ = per_second_;
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  std::uint32_t per_second_;
  std::uint32_t left_ = 0;
  Instant window_end_;
};

}  // namespace millrace::tcp
