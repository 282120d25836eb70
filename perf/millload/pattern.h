// The bytes of bodies: one endless sequence, in which each exchange starts at a place of its own, so that a byte lost, doubled or
// taken from another body is found by comparing. Bodies to be sent are references to the one copy in packet memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/stream/chain.h"

namespace millrace::perf {

class Pattern {
 public:
  explicit Pattern(stream::ChainPool& pool);

  /// Where the body of exchange `number` begins.
  [[nodiscard]] static std::size_t start_of(std::uint64_t number) { return number * kStride % kPeriod; }

  /// Adds `size` bytes of the sequence from `start` on. False, with some of them added, when the pools are exhausted.
  [[nodiscard]] bool append(stream::Chain& to, std::size_t start, std::size_t size) const;

  /// Whether `bytes` are what stands there from `position` on.
  [[nodiscard]] bool matches(std::size_t position, std::span<const std::uint8_t> bytes) const;

 private:
  static constexpr std::size_t kPeriod = 65'521;  // a prime: no power of two is a multiple of it
  static constexpr std::size_t kStride = 4'099;

  std::vector<std::uint8_t> bytes_;  // one period
  stream::Chain packets_;            // the same
};

}  // namespace millrace::perf
