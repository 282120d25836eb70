// Allocations per operation, as a column of a benchmark's output.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace millrace::perf {

/// What operator new has been called so far.
[[nodiscard]] std::uint64_t allocations();

/// Reports the allocations of a benchmark's loop when it goes out of scope, after the loop.
class AllocationColumn {
 public:
  explicit AllocationColumn(benchmark::State& state) : state_(state), before_(allocations()) {}
  ~AllocationColumn() {
    state_.counters["allocs"] =
        benchmark::Counter(static_cast<double>(allocations() - before_), benchmark::Counter::kAvgIterations);
  }
  AllocationColumn(const AllocationColumn&) = delete;
  AllocationColumn& operator=(const AllocationColumn&) = delete;

 private:
  benchmark::State& state_;
  std::uint64_t before_;
};

}  // namespace millrace::perf
