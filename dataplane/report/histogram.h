// A histogram of durations in milliseconds with Envoy's default buckets. One writer, any reader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/report/counter.h"

namespace millrace::report {

class Histogram {
 public:
  /// Upper bounds of the buckets in milliseconds; the last bucket has none. Source: Envoy's Prometheus output.
  static constexpr std::array<double, 19> kBounds = {0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
                                                     2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

  void record(std::uint64_t milliseconds) {
    std::size_t bucket = 0;
    while (bucket < kBounds.size() && static_cast<double>(milliseconds) > kBounds[bucket]) ++bucket;
    counts_[bucket].add();
    sum_.add(milliseconds);
  }
  /// Observations in bucket i (not cumulative), i in [0, kBounds.size()].
  [[nodiscard]] std::uint64_t count(std::size_t i) const { return counts_[i].value(); }
  [[nodiscard]] std::uint64_t sum() const { return sum_.value(); }

 private:
  std::array<Counter, kBounds.size() + 1> counts_;
  Counter sum_;
};

}  // namespace millrace::report
