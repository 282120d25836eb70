// Time as the state machines see it: always an argument, never read from a clock. A worker reads its clock once a turn.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace millrace {

/// A span of time in nanoseconds; may be negative.
class Duration {
 public:
  constexpr Duration() = default;

  [[nodiscard]] static constexpr Duration nanoseconds(std::int64_t n) { return Duration(n); }
  [[nodiscard]] static constexpr Duration microseconds(std::int64_t n) { return Duration(n * 1'000); }
  [[nodiscard]] static constexpr Duration milliseconds(std::int64_t n) { return Duration(n * 1'000'000); }
  [[nodiscard]] static constexpr Duration seconds(std::int64_t n) { return Duration(n * 1'000'000'000); }
  /// Longer than anything that is measured; adding it to an Instant gives Instant::never().
  [[nodiscard]] static constexpr Duration infinite() { return Duration(std::numeric_limits<std::int64_t>::max()); }

  [[nodiscard]] constexpr std::int64_t to_nanoseconds() const { return nanoseconds_; }
  [[nodiscard]] constexpr std::int64_t to_microseconds() const { return nanoseconds_ / 1'000; }
  [[nodiscard]] constexpr std::int64_t to_milliseconds() const { return nanoseconds_ / 1'000'000; }
  [[nodiscard]] constexpr bool is_infinite() const { return *this == infinite(); }

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration other) const { return Duration(nanoseconds_ + other.nanoseconds_); }
  constexpr Duration operator-(Duration other) const { return Duration(nanoseconds_ - other.nanoseconds_); }
  constexpr Duration operator*(std::int64_t factor) const { return Duration(nanoseconds_ * factor); }
  constexpr Duration operator/(std::int64_t divisor) const { return Duration(nanoseconds_ / divisor); }

 private:
  explicit constexpr Duration(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  std::int64_t nanoseconds_ = 0;
};

/// A point on a monotonic clock, in nanoseconds since an origin that only differences give a meaning.
class Instant {
 public:
  constexpr Instant() = default;

  [[nodiscard]] static constexpr Instant from_nanoseconds(std::int64_t n) { return Instant(n); }
  /// Later than every other instant: the deadline of what never times out.
  [[nodiscard]] static constexpr Instant never() { return Instant(std::numeric_limits<std::int64_t>::max()); }

  [[nodiscard]] constexpr std::int64_t to_nanoseconds() const { return nanoseconds_; }
  [[nodiscard]] constexpr bool is_never() const { return *this == never(); }

  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const {
    return (is_never() || d.is_infinite()) ? never() : Instant(nanoseconds_ + d.to_nanoseconds());
  }
  constexpr Instant operator-(Duration d) const { return is_never() ? never() : Instant(nanoseconds_ - d.to_nanoseconds()); }
  constexpr Duration operator-(Instant other) const { return Duration::nanoseconds(nanoseconds_ - other.nanoseconds_); }

 private:
  explicit constexpr Instant(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  std::int64_t nanoseconds_ = 0;
};

}  // namespace millrace
