// What a connection does to the timer wheel: move its timer with every segment.
#include "dataplane/base/timer_wheel.h"

#include <deque>

#include "dataplane/base/rng.h"
#include "perf/micro/allocations.h"

namespace millrace::perf {
namespace {

void ignore(void*, Instant) {}

void timer_rearm(benchmark::State& state) {
  Instant now;
  TimerWheel wheel(now);
  std::deque<Timer> timers;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    timers.emplace_back(ignore, nullptr);
    wheel.arm(timers.back(), now + Duration::milliseconds(200 + i % 1000));
  }
  Rng rng(1);
  const AllocationColumn column(state);
  for (auto _ : state) wheel.arm(timers[rng.below(static_cast<std::uint32_t>(timers.size()))], now + Duration::milliseconds(200));
}
BENCHMARK(timer_rearm)->Arg(1)->Arg(10'000);

void timer_advance_one_turn(benchmark::State& state) {
  Instant now;
  TimerWheel wheel(now);
  Timer timer(ignore, nullptr);
  wheel.arm(timer, now + Duration::seconds(3'600));
  const AllocationColumn column(state);
  for (auto _ : state) {
    now = now + Duration::microseconds(5);
    benchmark::DoNotOptimize(wheel.advance(now));
  }
}
BENCHMARK(timer_advance_one_turn);

}  // namespace
}  // namespace millrace::perf
