// A fixed set of seeds through the simulator. MR_SEED=n replays one with a trace on stderr; MR_SEEDS=n runs that many.
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <map>
#include <utility>

#include "tests/simulation/gateway_scenario.h"
#include "tests/simulation/seeds.h"
#include "tests/simulation/stream_scenario.h"

namespace millrace::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kSeeds = 120;
#else
constexpr std::uint64_t kSeeds = 600;
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

TEST(Simulation, CarriesThousandsOfConnectionsAtOnce) {
  StreamScenario scenario;
  scenario.seed = 1;
  scenario.forward = {.bits_per_second = 1'000'000'000,
                      .delay = Duration::milliseconds(20),
                      .loss_ppm = 10'000,
                      .reorder_ppm = 50'000,
                      .reorder_delay = Duration::milliseconds(10)};
  scenario.backward = scenario.forward;
  scenario.packets = 65'536;
  for (std::uint64_t i = 0; i < 4'000; ++i) {
    StreamPlan plan{.number = i, .start = Duration::microseconds(static_cast<std::int64_t>(i) * 250), .end = {}};
    plan.end[0].bytes = 2'000;
    plan.end[1].bytes = 5'000;
    plan.end[0].write_pause = Duration::seconds(2);  // so that all are there at the same time
    plan.end[0].write_bytes = 1'000;
    scenario.plans.push_back(plan);
  }
  const StreamOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  EXPECT_EQ(outcome.graceful, 8'000u);
  EXPECT_EQ(outcome.bytes, 4'000u * 7'000u);
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

TEST(Simulation, DrawsEveryNumberOfWorkersBehindEveryKindOfPort) {
  std::map<std::pair<std::uint16_t, Spread>, int> drawn;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    ++drawn[{scenario.workers, scenario.spread}];
  }
  for (const std::uint16_t workers : std::initializer_list<std::uint16_t>{2, 4, 8}) {
    for (const Spread spread : {Spread::kOneQueue, Spread::kByOwner, Spread::kAnotherRule}) {
      EXPECT_GT((drawn[{workers, spread}]), 5) << workers << " workers, " << to_text(spread);
    }
  }
  EXPECT_GT((drawn[{1, Spread::kOneQueue}]), 50);
}

TEST(Simulation, DrawsSmallLimitsOutlierDetectionAndHealthChecks) {
  int limited = 0, watched = 0, checked = 0, prioritised = 0, budgets = 0, pools = 0, per_endpoint = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    limited += scenario.limited;
    prioritised += scenario.has_high_priority();
    for (const config::BreakerThresholds& limits : scenario.breakers.thresholds) {
      budgets += limits.retry_budget.has_value();
      pools += limits.max_connection_pools < config::kUnlimited;
    }
    per_endpoint += scenario.breakers.max_connections_per_endpoint[0] < config::kUnlimited;
    watched += scenario.outlier_detection.has_value();
    checked += scenario.health_check != nullptr;
  }
  EXPECT_GT(limited, 30);
  for (const int count : {prioritised, budgets, pools, per_endpoint}) EXPECT_GT(count, 10);
  EXPECT_GT(watched, 30);
  EXPECT_GT(checked, 30);
}

TEST(Simulation, DrawsEveryRetryPolicy) {
  using config::RetryCondition;
  int none = 0, timed = 0, hedged = 0;
  std::map<RetryCondition, int> alone;  // or with others, but not with the one that covers nearly all
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    if (scenario.retry == nullptr) continue;
    none += !scenario.retry->conditions.any();
    timed += scenario.limits_tries();
    hedged += scenario.hedged;
    for (const RetryCondition condition :
         {RetryCondition::kGatewayError, RetryCondition::kReset, RetryCondition::kResetBeforeRequest,
          RetryCondition::kConnectFailure, RetryCondition::kRefusedStream, RetryCondition::kRetriableStatusCodes}) {
      alone[condition] += scenario.retry->conditions.has(condition) && !scenario.retry->conditions.has(RetryCondition::k5xx);
    }
  }
  for (const int count : {none, timed, hedged}) EXPECT_GT(count, 5);
  EXPECT_EQ(alone.size(), 6u);
  for (const auto& [condition, count] : alone) EXPECT_GT(count, 5) << static_cast<int>(condition);
}

TEST(Simulation, DrawsEveryFailureOfOriginsWithRetriesAndWithout) {
  using Failure = RequestPlan::Failure;
  std::map<std::pair<Failure, bool>, int> drawn;
  int trickles = 0, refusing = 0, refusing_and_watched = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    const bool refuses = scenario.has(GatewayScenario::Fault::kRefuse);
    refusing += refuses;
    refusing_and_watched += refuses && scenario.outlier_detection && scenario.health_check != nullptr;
    for (const RequestPlan& plan : scenario.requests) {
      trickles += plan.trickles;
      if (plan.failed_tries > 0) ++drawn[{plan.failure, scenario.retry != nullptr}];
    }
  }
  EXPECT_GT(trickles, 50);
  EXPECT_GT(refusing, 20);
  EXPECT_GT(refusing_and_watched, 10);
  for (const Failure failure :
       {Failure::kStatus, Failure::kReset, Failure::kGarbage, Failure::kResetInHead, Failure::kResetInBody, Failure::kHang}) {
    EXPECT_GT((drawn[{failure, true}]), 50) << static_cast<int>(failure);
    EXPECT_GT((drawn[{failure, false}]), 50) << static_cast<int>(failure);
  }
}

TEST(Simulation, DrawsFailuresThatRetriesMakeUpForAndOthers) {
  std::uint64_t hidden = 0, seen = 0, dead = 0, resets = 0, early = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    dead += scenario.dead_endpoint;
    for (const RequestPlan& plan : scenario.requests) {
      if (plan.failed_tries == 0) continue;
      (plan.may_fail ? seen : hidden) += 1;
      resets += plan.failure == RequestPlan::Failure::kReset;
      early += plan.fails_early;
    }
  }
  for (const std::uint64_t count : {hidden, seen, dead, resets, early}) EXPECT_GT(count, 10u);
}

}  // namespace
}  // namespace millrace::sim
