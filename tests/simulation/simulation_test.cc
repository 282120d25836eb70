// A fixed set of seeds through the simulator. MR_SEED=n replays one with a trace on stderr; MR_SEEDS=n runs that many.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/simulation/gateway_scenario.h"
#include "tests/simulation/seeds.h"
#include "tests/simulation/stream_scenario.h"

namespace millrace::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kSeeds = 60;
#else
constexpr std::uint64_t kSeeds = 400;
#endif

std::uint64_t number_of(const char* variable, std::uint64_t fallback) {
  const char* text = std::getenv(variable);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(Simulation, EveryByteAndEveryAnswerArrivesOrIsReportedBroken) {
  const std::uint64_t only = number_of("MR_SEED", 0);
  const std::uint64_t first = only == 0 ? 1 : only;
  const std::uint64_t last = only == 0 ? number_of("MR_SEEDS", kSeeds) : only;
  std::uint64_t good = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const SeedResult result = run_seed(seed, only != 0);
    good += result.good;
    EXPECT_TRUE(result.findings.empty()) << "MR_SEED=" << seed << "\n" << result.scenario << "\n" << result.findings.render();
  }
  if (only == 0) {
    EXPECT_GT(good, last) << "the runs have done nothing";
  }
}

TEST(Simulation, ReplaysExactlyFromItsSeed) {
  for (const std::uint64_t seed : {1, 2, 3, 5, 8, 9}) {
    const SeedResult first = run_seed(seed);
    const SeedResult second = run_seed(seed);
    EXPECT_EQ(first.scenario, second.scenario);
    EXPECT_EQ(first.frames, second.frames);
    EXPECT_EQ(first.good, second.good);
    EXPECT_EQ(first.bad, second.bad);
  }
}

// What the scenarios are drawn from does come up, so that a change of the drawing cannot make the test pass by doing less.
TEST(Simulation, DrawsEveryKindOfTrouble) {
  std::uint64_t crashes = 0, hogs = 0, pauses = 0, partitions = 0, lossy = 0, bursts = 0, late = 0, corrupted = 0, resets = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const StreamScenario scenario = StreamScenario::draw(seed);
    for (const auto& event : scenario.events) {
      crashes += event.fault == StreamScenario::Fault::kCrash;
      hogs += event.fault == StreamScenario::Fault::kHog;
      pauses += event.fault == StreamScenario::Fault::kPause;
    }
    partitions += !scenario.forward.partitions.empty();
    lossy += scenario.forward.loss_ppm > 0;
    bursts += scenario.forward.burst_loss_ppm > 0;
    late += scenario.forward.reorder_ppm > 0;
    corrupted += scenario.forward.corrupt_ppm > 0;
    for (const StreamPlan& plan : scenario.plans) resets += plan.end[0].reset_at < plan.end[0].bytes;
  }
  for (const std::uint64_t count : {crashes, hogs, pauses, partitions, lossy, bursts, late, corrupted, resets})
    EXPECT_GT(count, 10u);
}

}  // namespace
}  // namespace millrace::sim
