// How long the turns of a worker's loop took that had something to do: in powers of two of a microsecond. One writer, any reader.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/report/counter.h"

namespace millrace::report {

class TurnHistogram {
 public:
  static constexpr std::size_t kBuckets = 22;  ///< up to a second

  /// Bucket i holds turns of at most this many microseconds, and more than the bucket before; the last has no bound.
  [[nodiscard]] static constexpr std::uint64_t bound_microseconds(std::size_t bucket) { return std::uint64_t{1} << bucket; }

  void record(Duration took) {
    const std::uint64_t nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(took.to_nanoseconds(), 1));
    const std::uint64_t microseconds = (nanoseconds - 1) / 1'000;  // whole ones, one less when it is exact
    counts_[std::min<std::size_t>(std::bit_width(microseconds), kBuckets - 1)].add();
  }
  [[nodiscard]] std::uint64_t count(std::size_t bucket) const { return counts_[bucket].value(); }

 private:
  std::array<Counter, kBuckets> counts_;
};

}  // namespace millrace::report
