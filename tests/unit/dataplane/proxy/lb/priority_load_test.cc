#include "dataplane/proxy/lb/priority_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace millrace::proxy {
namespace {

using ::testing::ElementsAre;

/// Of a hundred endpoints.
PriorityHosts percent(std::uint64_t healthy, std::uint64_t degraded = 0) {
  return {.all = 100,
          .excluded = 0,
          .healthy = healthy,
          .degraded = degraded,
          .measured = 100,
          .measured_healthy = healthy,
          .measured_degraded = degraded,
          .overprovisioning_factor = 140};
}

struct Rules {
  std::uint32_t overprovisioning_factor = 140;
  std::uint32_t panic_threshold = 50;
};

std::vector<PriorityLoad> loads_of(std::vector<PriorityHosts> hosts, const Rules& rules = {}) {
  for (PriorityHosts& of_priority : hosts) of_priority.overprovisioning_factor = rules.overprovisioning_factor;
  std::vector<PriorityLoad> loads(hosts.size());
  share_load(hosts, rules.panic_threshold, loads);
  return loads;
}

std::vector<std::uint32_t> healthy(const std::vector<PriorityLoad>& loads) {
  std::vector<std::uint32_t> out;
  std::ranges::transform(loads, std::back_inserter(out), &PriorityLoad::healthy);
  return out;
}

std::vector<std::uint32_t> degraded(const std::vector<PriorityLoad>& loads) {
  std::vector<std::uint32_t> out;
  std::ranges::transform(loads, std::back_inserter(out), &PriorityLoad::degraded);
  return out;
}

std::vector<bool> panic(const std::vector<PriorityLoad>& loads) {
  std::vector<bool> out;
  for (const PriorityLoad& load : loads) out.push_back(load.panic);
  return out;
}

// The tables are those of Envoy's documentation, "Priority levels" and "Panic threshold".
TEST(PriorityLoad, SecondPriorityTakesWhatTheFirstCannot) {
  EXPECT_THAT(healthy(loads_of({percent(100), percent(100)})), ElementsAre(100, 0));
  EXPECT_THAT(healthy(loads_of({percent(72), percent(72)})), ElementsAre(100, 0));
  EXPECT_THAT(healthy(loads_of({percent(71), percent(71)})), ElementsAre(99, 1));
  EXPECT_THAT(healthy(loads_of({percent(50), percent(50)})), ElementsAre(70, 30));
  EXPECT_THAT(healthy(loads_of({percent(25), percent(100)})), ElementsAre(35, 65));
  EXPECT_THAT(healthy(loads_of({percent(25), percent(25)})), ElementsAre(50, 50));
  EXPECT_THAT(healthy(loads_of({percent(0), percent(100)})), ElementsAre(0, 100));
}

TEST(PriorityLoad, ThreePriorities) {
  EXPECT_THAT(healthy(loads_of({percent(100), percent(100), percent(100)})), ElementsAre(100, 0, 0));
  EXPECT_THAT(healthy(loads_of({percent(50), percent(60), percent(0)})), ElementsAre(70, 30, 0));
  EXPECT_THAT(healthy(loads_of({percent(25), percent(25), percent(100)})), ElementsAre(35, 35, 30));
}

TEST(PriorityLoad, NeedsNoPanicWhileAllTogetherSuffice) {
  const auto loads = loads_of({percent(25), percent(100)});
  EXPECT_THAT(panic(loads), ElementsAre(false, false));
}

TEST(PriorityLoad, PanicsByPriority) {
  EXPECT_THAT(panic(loads_of({percent(72), percent(72)})), ElementsAre(false, false));
  auto loads = loads_of({percent(25), percent(40)});  // 35 + 56 of 100: each is below one half
  EXPECT_THAT(panic(loads), ElementsAre(true, true));
  loads = loads_of({percent(5), percent(65)});  // 7 + 91
  EXPECT_THAT(panic(loads), ElementsAre(true, false));
  EXPECT_THAT(healthy(loads), ElementsAre(8, 92)) << "what rounding leaves is for the first";
}

TEST(PriorityLoad, TotalPanicSharesBySize) {
  PriorityHosts small = percent(0);
  small.all = 50;
  const auto loads = loads_of({percent(10), small});
  EXPECT_THAT(panic(loads), ElementsAre(true, true));
  EXPECT_THAT(healthy(loads), ElementsAre(67, 33));
}

TEST(PriorityLoad, WithoutThresholdNobodyPanics) {
  const auto loads = loads_of({percent(0), percent(0)}, {.overprovisioning_factor = 140, .panic_threshold = 0});
  EXPECT_THAT(panic(loads), ElementsAre(false, false));
  EXPECT_THAT(healthy(loads), ElementsAre(100, 0));
}

TEST(PriorityLoad, DegradedOnesComeAfterAllHealthyOnes) {
  const auto loads =
      loads_of({percent(10, 20), percent(20, 10), percent(10, 0)}, {.overprovisioning_factor = 100, .panic_threshold = 0});
  EXPECT_THAT(healthy(loads), ElementsAre(16, 28, 14));
  EXPECT_THAT(degraded(loads), ElementsAre(28, 14, 0));
}

TEST(PriorityLoad, ExcludedOnesAreNoPartOfTheWhole) {
  PriorityHosts half = percent(50);
  half.excluded = 50;
  half.measured = 50;
  const auto loads = loads_of({half, percent(100)});
  EXPECT_THAT(healthy(loads), ElementsAre(100, 0));
  EXPECT_THAT(panic(loads), ElementsAre(false, false));
}

TEST(PriorityLoad, OverprovisioningFactorSaysHowManyMayFail) {
  EXPECT_THAT(healthy(loads_of({percent(50), percent(100)}, {.overprovisioning_factor = 200, .panic_threshold = 50})),
              ElementsAre(100, 0));
  EXPECT_THAT(healthy(loads_of({percent(99), percent(100)}, {.overprovisioning_factor = 100, .panic_threshold = 50})),
              ElementsAre(99, 1));
}

TEST(PriorityLoad, RetriesAvoidWhereTheyHaveBeen) {
  auto loads = loads_of({percent(100), percent(100)});
  PriorityMask tried;
  tried.set(0);
  ASSERT_TRUE(avoid_priorities(tried, loads));
  EXPECT_THAT(healthy(loads), ElementsAre(0, 100));
  tried.set(1);
  loads = loads_of({percent(100), percent(100)});
  ASSERT_TRUE(avoid_priorities(tried, loads));
  EXPECT_TRUE(tried.none()) << "nobody is left: from the beginning";
  EXPECT_THAT(healthy(loads), ElementsAre(100, 0));
}

TEST(PriorityLoad, RetriesKeepTheLoadWhenNobodyIsAvailable) {
  auto loads = loads_of({percent(0), percent(0)});
  const auto before = healthy(loads);
  PriorityMask tried;
  tried.set(0);
  EXPECT_FALSE(avoid_priorities(tried, loads));
  EXPECT_EQ(healthy(loads), before);
}

TEST(PriorityLoad, EveryHashHasItsPriority) {
  std::vector<PriorityLoad> loads(2);
  loads[0].healthy = 35;
  loads[1].healthy = 25;
  loads[1].degraded = 40;
  std::vector<int> counts(3, 0);
  for (std::uint64_t hash = 0; hash < 100; ++hash) {
    const PriorityChoice choice = choose_priority(loads, hash);
    ++counts[choice.degraded ? 2 : choice.priority];
    EXPECT_TRUE(!choice.degraded || choice.priority == 1);
  }
  EXPECT_THAT(counts, ElementsAre(35, 25, 40));
}

TEST(PriorityLoad, AlwaysAddsUpToTheWhole) {
  for (std::uint64_t a = 0; a <= 100; a += 7) {
    for (std::uint64_t b = 0; b <= 100; b += 9) {
      for (std::uint64_t c = 0; b + c <= 100; c += 11) {
        const auto loads = loads_of({percent(a), percent(b, c), percent(c)});
        std::uint32_t sum = 0;
        for (const PriorityLoad& load : loads) sum += load.healthy + load.degraded;
        ASSERT_EQ(sum, 100u) << a << " " << b << " " << c;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::proxy
