// Sequence numbers modulo 2^32 and distances between them, as types that do not mix (RFC 9293 3.4).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace millrace::tcp {

/// A count of sequence numbers: bytes, plus one for SYN and one for FIN.
class SeqLen {
 public:
  constexpr SeqLen() = default;
  explicit constexpr SeqLen(std::size_t count) : count_(static_cast<std::uint32_t>(count)) {}
  [[nodiscard]] constexpr std::uint32_t count() const { return count_; }
  constexpr auto operator<=>(const SeqLen&) const = default;
  constexpr SeqLen operator+(SeqLen other) const { return SeqLen(count_ + other.count_); }

 private:
  std::uint32_t count_ = 0;
};

/// A place in the sequence space. Comparison is by the shorter way round: meaningful for numbers less than 2^31 apart,
/// which windows of at most 1 GiB (RFC 7323 2.3) guarantee.
class SeqNum {
 public:
  constexpr SeqNum() = default;
  explicit constexpr SeqNum(std::uint32_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr std::uint32_t raw() const { return raw_; }

  constexpr SeqNum operator+(SeqLen length) const { return SeqNum(raw_ + length.count()); }
  constexpr SeqNum operator-(SeqLen length) const { return SeqNum(raw_ - length.count()); }
  constexpr SeqNum& operator+=(SeqLen length) { return *this = *this + length; }
  /// How far `this` lies behind `earlier`, which must not be later.
  constexpr SeqLen operator-(SeqNum earlier) const { return SeqLen(raw_ - earlier.raw_); }

  constexpr bool operator==(const SeqNum&) const = default;
  constexpr bool operator<(SeqNum other) const { return static_cast<std::int32_t>(raw_ - other.raw_) < 0; }
  constexpr bool operator>(SeqNum other) const { return other < *this; }
  constexpr bool operator<=(SeqNum other) const { return !(other < *this); }
  constexpr bool operator>=(SeqNum other) const { return !(*this < other); }

 private:
  std::uint32_t raw_ = 0;
};

[[nodiscard]] constexpr SeqNum later(SeqNum a, SeqNum b) { return a < b ? b : a; }
[[nodiscard]] constexpr SeqNum earlier(SeqNum a, SeqNum b) { return a < b ? a : b; }

}  // namespace millrace::tcp
