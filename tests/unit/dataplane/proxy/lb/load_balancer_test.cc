#include "dataplane/proxy/lb/load_balancer.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/heap_trap.h"

namespace millrace::proxy {
namespace {

using config::LoadBalancing;
constexpr auto kIdle = [](std::size_t) { return 0u; };

config::Cluster cluster_of(LoadBalancing policy, std::initializer_list<std::uint32_t> weights) {
  config::Cluster cluster;
  cluster.load_balancing = policy;
  for (const std::uint32_t weight : weights) {
    cluster.endpoints.push_back({});
    cluster.endpoints.back().weight = weight;
  }
  return cluster;
}

using Counts = std::map<std::size_t, int>;

template <typename Active>
Counts count(LoadBalancer& balancer, Rng& rng, int times, const Active& active) {
  Counts counts;
  for (int i = 0; i < times; ++i) ++counts[balancer.choose(rng, active).value()];
  return counts;
}

constexpr LoadBalancing kPolicies[] = {LoadBalancing::kRoundRobin, LoadBalancing::kLeastRequest, LoadBalancing::kRandom};

TEST(LoadBalancer, HasNothingToChooseWithoutAHealthyEndpoint) {
  Rng rng(1);
  for (const LoadBalancing policy : kPolicies) {
    LoadBalancer empty(cluster_of(policy, {}), rng);
    EXPECT_FALSE(empty.choose(rng, kIdle).has_value());
    auto cluster = cluster_of(policy, {1, 2});
    for (config::Endpoint& endpoint : cluster.endpoints) endpoint.healthy = false;
    LoadBalancer sick(cluster, rng);
    EXPECT_FALSE(sick.choose(rng, kIdle).has_value());
  }
}

TEST(LoadBalancer, ChoosesHealthyEndpointsOnly) {
  Rng rng(2);
  for (const LoadBalancing policy : kPolicies) {
    for (const std::initializer_list<std::uint32_t> weights : {std::initializer_list<std::uint32_t>{1, 1, 1, 1}, {4, 3, 2, 1}}) {
      auto cluster = cluster_of(policy, weights);
      cluster.endpoints[0].healthy = cluster.endpoints[2].healthy = false;
      LoadBalancer balancer(cluster, rng);
      const Counts counts = count(balancer, rng, 1'000, kIdle);
      EXPECT_EQ(counts.size(), 2u);
      EXPECT_TRUE(counts.contains(1) && counts.contains(3));
    }
  }
}

TEST(LoadBalancer, NeverAllocatesWhenChoosing) {
  Rng rng(3);
  for (const LoadBalancing policy : kPolicies) {
    LoadBalancer equal(cluster_of(policy, {1, 1, 1}), rng);
    LoadBalancer weighted(cluster_of(policy, {1, 2, 3}), rng);
    test::heap_trap_allocations = 0;
    {
      const test::HeapTrap trap;
      for (int i = 0; i < 1'000; ++i) static_cast<void>(equal.choose(rng, kIdle).value() + weighted.choose(rng, kIdle).value());
    }
    EXPECT_EQ(test::heap_trap_allocations, 0u);
  }
}

TEST(RoundRobin, TakesEqualEndpointsInTurn) {
  Rng rng(4);
  LoadBalancer balancer(cluster_of(LoadBalancing::kRoundRobin, {1, 1, 1, 1, 1}), rng);
  std::vector<std::size_t> first;
  for (int i = 0; i < 5; ++i) first.push_back(balancer.choose(rng, kIdle).value());
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 5u);
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(balancer.choose(rng, kIdle).value(), first[static_cast<std::size_t>(i % 5)]);
}

TEST(RoundRobin, GivesEachItsWeightInEveryRound) {
  Rng rng(5);
  LoadBalancer balancer(cluster_of(LoadBalancing::kRoundRobin, {5, 1, 2}), rng);
  for (int round = 0; round < 100; ++round) {
    Counts counts = count(balancer, rng, 8, kIdle);
    EXPECT_NEAR(counts[0], 5, 1);
    EXPECT_NEAR(counts[1], 1, 1);
    EXPECT_NEAR(counts[2], 2, 1);
  }
  Counts counts = count(balancer, rng, 8'000, kIdle);
  EXPECT_NEAR(counts[0], 5'000, 2);
  EXPECT_NEAR(counts[1], 1'000, 2);
  EXPECT_NEAR(counts[2], 2'000, 2);
}

TEST(RoundRobin, BearsTheLargestWeights) {
  Rng rng(6);
  LoadBalancer balancer(cluster_of(LoadBalancing::kRoundRobin, {0xffffffff, 1, 0xffffffff}), rng);
  Counts counts = count(balancer, rng, 10'000, kIdle);
  EXPECT_NEAR(counts[0], 5'000, 2);
  EXPECT_LE(counts[1], 1);
}

TEST(RoundRobin, WorkersStartAtDifferentPlaces) {
  const auto cluster = cluster_of(LoadBalancing::kRoundRobin, {1, 1, 1, 1});
  Counts first;
  for (std::uint64_t worker = 0; worker < 400; ++worker) {
    Rng rng(worker);
    LoadBalancer balancer(cluster, rng);
    ++first[balancer.choose(rng, kIdle).value()];
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(first[i], 100, 40) << i;
}

TEST(LeastRequest, AvoidsTheBusyAmongEqualEndpoints) {
  Rng rng(7);
  LoadBalancer balancer(cluster_of(LoadBalancing::kLeastRequest, {1, 1, 1, 1}), rng);
  Counts counts = count(balancer, rng, 16'000, [](std::size_t i) { return i == 2 ? 100u : 1u; });
  EXPECT_NEAR(counts[2], 1'000, 150) << "chosen only when drawn twice";
  EXPECT_NEAR(counts[0], 5'000, 300);
}

TEST(LeastRequest, ManyChoicesFindTheIdleOne) {
  Rng rng(8);
  auto cluster = cluster_of(LoadBalancing::kLeastRequest, {1, 1, 1, 1});
  cluster.least_request_choices = 32;
  LoadBalancer balancer(cluster, rng);
  Counts counts = count(balancer, rng, 1'000, [](std::size_t i) { return i == 3 ? 0u : 1u; });
  EXPECT_GT(counts[3], 990);
}

TEST(LeastRequest, DividesUnequalWeightsByLoad) {
  Rng rng(9);
  LoadBalancer balancer(cluster_of(LoadBalancing::kLeastRequest, {2, 1}), rng);
  Counts idle = count(balancer, rng, 9'000, kIdle);
  EXPECT_NEAR(idle[0], 6'000, 2);
  // Weight 2 with three requests counts as 1/2, against 1.
  Counts busy = count(balancer, rng, 9'000, [](std::size_t i) { return i == 0 ? 3u : 0u; });
  EXPECT_NEAR(busy[0], 3'000, 3);
}

TEST(WeightedRandom, FollowsTheWeights) {
  Rng rng(10);
  LoadBalancer balancer(cluster_of(LoadBalancing::kRandom, {1, 2, 3, 4}), rng);
  constexpr int kTimes = 10'000;
  Counts counts = count(balancer, rng, kTimes, kIdle);
  double chi_square = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double expected = kTimes * static_cast<double>(i + 1) / 10;
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 16.3) << "three degrees of freedom, one in a thousand";
}

}  // namespace
}  // namespace millrace::proxy
