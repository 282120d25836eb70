#include "dataplane/proxy/lb/aggregate_choice.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

#include "tests/support/heap_trap.h"

namespace millrace::proxy {
namespace {

/// So many endpoints, of which so many are healthy or degraded.
PriorityHosts hosts(std::uint64_t all, std::uint64_t healthy, std::uint64_t degraded = 0) {
  PriorityHosts out;
  out.all = out.measured = all;
  out.healthy = out.measured_healthy = healthy;
  out.degraded = out.measured_degraded = degraded;
  return out;
}

using Members = std::vector<std::vector<PriorityHosts>>;

void fill(AggregateChoice& choice, const Members& members) {
  choice.clear();
  for (std::size_t i = 0; i < members.size(); ++i) choice.add(i, members[i]);
  choice.share();
}

AggregateChoice choice_of(const Members& members, std::uint32_t panic_threshold = 50) {
  config::Cluster aggregate;
  aggregate.balancing.panic_threshold = panic_threshold;
  AggregateChoice choice(aggregate);
  fill(choice, members);
  return choice;
}

/// How many of a thousand requests each (member, priority) gets.
using Shares = std::map<std::pair<std::size_t, std::size_t>, int>;
Shares shares(AggregateChoice choice) {
  Rng rng(1);
  Shares out;
  for (int i = 0; i < 1'000; ++i) {
    const auto chosen = choice.choose(nullptr, rng);
    if (chosen) ++out[{chosen->member, chosen->at.priority}];
  }
  return out;
}

TEST(AggregateChoice, TakesTheFirstMemberWhileItIsHealthy) {
  EXPECT_EQ(shares(choice_of({{hosts(4, 4)}, {hosts(4, 4)}})), (Shares{{{0, 0}, 1'000}}));
}

TEST(AggregateChoice, GoesThroughThePrioritiesOfOneMemberBeforeTheNext) {
  const Members members = {{hosts(2, 0), hosts(2, 0), hosts(2, 2)}, {hosts(2, 2)}};
  EXPECT_EQ(shares(choice_of(members)), (Shares{{{0, 2}, 1'000}}));
  const Members lost = {{hosts(2, 0), hosts(2, 0), hosts(2, 0)}, {hosts(2, 0), hosts(2, 2)}};
  EXPECT_EQ(shares(choice_of(lost)), (Shares{{{1, 1}, 1'000}}));
}

TEST(AggregateChoice, PassesOnWhatAMemberCannotTake) {
  const Shares half = shares(choice_of({{hosts(4, 2)}, {hosts(4, 4)}}));  // 2 of 4, overprovisioned by 140 percent
  EXPECT_NEAR(half.at({0, 0}), 700, 50);
  EXPECT_NEAR(half.at({1, 0}), 300, 50);
}

TEST(AggregateChoice, OverprovisionsEachMemberByItsOwnFactor) {
  PriorityHosts first = hosts(4, 2);
  first.overprovisioning_factor = 200;
  EXPECT_EQ(shares(choice_of({{first}, {hosts(4, 4)}})), (Shares{{{0, 0}, 1'000}}));
}

TEST(AggregateChoice, PassesOverPrioritiesWithoutEndpoints) {
  EXPECT_EQ(shares(choice_of({{}, {hosts(0, 0), hosts(2, 2)}})), (Shares{{{1, 1}, 1'000}}));
  EXPECT_EQ(shares(choice_of({{}, {hosts(0, 0)}})), Shares());
}

TEST(AggregateChoice, SharesByNumberWhenAllPanic) {
  const Shares panic = shares(choice_of({{hosts(1, 0)}, {hosts(3, 0)}}));
  EXPECT_NEAR(panic.at({0, 0}), 250, 50);
  EXPECT_NEAR(panic.at({1, 0}), 750, 50);
  EXPECT_EQ(shares(choice_of({{hosts(1, 0)}, {hosts(3, 0)}}, 0)), (Shares{{{0, 0}, 1'000}}));
}

TEST(AggregateChoice, PrefersHealthyEndpointsOfAnyMemberToDegradedOnes) {
  AggregateChoice choice = choice_of({{hosts(2, 0, 2)}, {hosts(2, 1, 0)}});
  Rng rng(1);
  int degraded = 0;
  for (int i = 0; i < 1'000; ++i) {
    const auto chosen = choice.choose(nullptr, rng);
    ASSERT_TRUE(chosen);
    EXPECT_EQ(chosen->at.degraded, chosen->member == 0);
    degraded += chosen->at.degraded ? 1 : 0;
  }
  EXPECT_NEAR(degraded, 300, 50);  // the healthy half of the second takes 70 percent
}

TEST(AggregateChoice, AvoidsWhatARequestHasTried) {
  AggregateChoice choice = choice_of({{hosts(2, 2), hosts(2, 2)}, {hosts(2, 2)}});
  EXPECT_EQ(choice.place_of(1, 0), 2u);
  EXPECT_EQ(choice.place_of(1, 1), std::nullopt);
  Rng rng(1);
  PriorityMask tried;
  tried.set(0).set(1);
  const auto third = choice.choose(&tried, rng);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->member, 1u);
  tried.set(2);
  EXPECT_EQ(choice.choose(&tried, rng)->member, 0u);  // all were tried: from the beginning
  EXPECT_TRUE(tried.none());
}

TEST(AggregateChoice, AllocatesNothingWhenHealthChanges) {
  AggregateChoice choice = choice_of({{hosts(2, 2), hosts(2, 2)}, {hosts(2, 2)}});
  const Members worse = {{hosts(2, 0), hosts(2, 1)}, {hosts(2, 2), hosts(1, 1)}};
  Rng rng(1);
  PriorityMask tried;
  tried.set(0);
  const std::size_t before = test::heap_trap_allocations;
  {
    const test::HeapTrap trap;
    fill(choice, worse);
    EXPECT_TRUE(choice.choose(&tried, rng));
  }
  EXPECT_EQ(test::heap_trap_allocations, before);
}

TEST(AggregateChoice, CountsAsManyPrioritiesAsThereMayBe) {
  const std::vector<PriorityHosts> many(100, hosts(1, 1));
  AggregateChoice choice = choice_of({many, many});
  EXPECT_EQ(choice.place_of(1, 28), kMaxPriorities - 1);
  EXPECT_EQ(choice.place_of(1, 29), std::nullopt);
}

}  // namespace
}  // namespace millrace::proxy
