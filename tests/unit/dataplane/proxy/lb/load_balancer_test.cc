#include "dataplane/proxy/lb/load_balancer.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "config/compile/hash_table.h"
#include "dataplane/base/hash.h"
#include "tests/support/heap_trap.h"

namespace millrace::proxy {
namespace {

using config::LoadBalancing;

/// Endpoints with their configured weights, as busy as the test says.
struct Facts {
  const config::Cluster& cluster;
  std::function<std::size_t(std::uint32_t)> active = [](std::uint32_t) { return std::size_t{0}; };
  std::function<double(std::uint32_t)> part = [](std::uint32_t) { return 1.0; };
  std::size_t all = 0;
  bool new_ones = false;

  [[nodiscard]] std::size_t active_requests(std::uint32_t host) const { return active(host); }
  [[nodiscard]] double weight(std::uint32_t host) const { return cluster.endpoints[host].weight * part(host); }
  [[nodiscard]] bool some_are_new() const { return new_ones; }
  [[nodiscard]] std::size_t all_active_requests() const { return all; }
};

config::Cluster cluster_of(LoadBalancing policy, std::initializer_list<std::uint32_t> weights) {
  config::Cluster cluster;
  cluster.load_balancing = policy;
  for (const std::uint32_t weight : weights) {
    cluster.endpoints.push_back({});
    cluster.endpoints.back().weight = weight;
  }
  return cluster;
}

config::Cluster equal_cluster(LoadBalancing policy, std::size_t size) {
  config::Cluster cluster;
  cluster.load_balancing = policy;
  cluster.endpoints.resize(size);
  return cluster;
}

/// With what the agent builds for such a policy.
void build_tables(config::Cluster& cluster) {
  std::vector<std::string> keys;
  std::vector<std::vector<std::uint32_t>> hosts;
  for (std::uint32_t i = 0; i < cluster.endpoints.size(); ++i) {
    keys.push_back("host" + std::to_string(i));
    hosts.resize(std::max<std::size_t>(hosts.size(), cluster.endpoints[i].priority + 1));
    hosts[cluster.endpoints[i].priority].push_back(i);
  }
  for (const auto& of_priority : hosts) {
    auto shares = config::host_shares(cluster, of_priority);
    cluster.hash_tables.push_back(std::make_shared<config::HashTable>(cluster.load_balancing == LoadBalancing::kMaglev
                                                                          ? config::build_maglev(std::move(shares), keys, 65'537)
                                                                          : config::build_ring(std::move(shares), keys, {})));
  }
}

using Counts = std::map<std::uint32_t, int>;

Counts count(LoadBalancer& balancer, Rng& rng, int times, const Facts& facts, const ChoiceContext& context = {}) {
  Counts counts;
  for (int i = 0; i < times; ++i) ++counts[balancer.choose(context, rng, facts).endpoint.value()];
  return counts;
}

constexpr LoadBalancing kUnhashed[] = {LoadBalancing::kRoundRobin, LoadBalancing::kLeastRequest, LoadBalancing::kRandom};
constexpr LoadBalancing kHashed[] = {LoadBalancing::kRingHash, LoadBalancing::kMaglev};

TEST(LoadBalancer, HasNothingToChooseWithoutAHealthyEndpoint) {
  Rng rng(1);
  for (const LoadBalancing policy : kUnhashed) {
    const config::Cluster nobody;
    LoadBalancer empty(nobody, rng);
    EXPECT_FALSE(empty.choose({}, rng, Facts{nobody}).endpoint.has_value());
    auto cluster = cluster_of(policy, {1, 2});
    cluster.balancing.panic_threshold = 0;
    for (config::Endpoint& endpoint : cluster.endpoints) endpoint.healthy = false;
    LoadBalancer sick(cluster, rng);
    EXPECT_FALSE(sick.choose({}, rng, Facts{cluster}).endpoint.has_value());
  }
}

TEST(LoadBalancer, ChoosesHealthyEndpointsOnly) {
  Rng rng(2);
  for (const LoadBalancing policy : kUnhashed) {
    for (const std::initializer_list<std::uint32_t> weights : {std::initializer_list<std::uint32_t>{1, 1, 1, 1}, {4, 3, 2, 1}}) {
      auto cluster = cluster_of(policy, weights);
      cluster.endpoints[0].healthy = cluster.endpoints[2].healthy = false;
      LoadBalancer balancer(cluster, rng);
      const Counts counts = count(balancer, rng, 1'000, Facts{cluster});
      EXPECT_EQ(counts.size(), 2u);
      EXPECT_TRUE(counts.contains(1) && counts.contains(3));
    }
  }
}

TEST(LoadBalancer, NeverAllocatesWhenChoosingOrFollowingHealth) {
  Rng rng(3);
  const auto check = [&](config::Cluster cluster) {
    for (config::Endpoint& endpoint : cluster.endpoints) endpoint.cell = std::make_shared<report::EndpointCell>(0, 1);
    report::ClusterCell cell(0, "c", 1);
    LoadBalancer balancer(cluster, rng);
    const Facts facts{cluster};
    PriorityMask avoided;
    avoided.set(1);
    test::heap_trap_allocations = 0;
    {
      const test::HeapTrap trap;
      for (int i = 0; i < 1'000; ++i) {
        if (i % 10 == 0) {
          cluster.endpoints[1].cell->set(report::EndpointFault::kEjected, i % 20 == 0, cell);
          balancer.refresh(rng);
        }
        static_cast<void>(balancer.choose({.hash = rng.next(), .avoid_priorities = &avoided}, rng, facts).endpoint.value());
      }
    }
    EXPECT_EQ(test::heap_trap_allocations, 0u);
  };
  for (const LoadBalancing policy : kUnhashed) {
    check(cluster_of(policy, {1, 1, 1}));
    auto several = cluster_of(policy, {1, 2, 3, 4});
    several.endpoints[2].priority = several.endpoints[3].priority = 1;
    several.balancing.locality_weighted = true;
    several.localities.resize(1);
    several.localities[0].weight = 1;
    check(several);
  }
  for (const LoadBalancing policy : kHashed) {
    auto hashed = cluster_of(policy, {1, 2, 3});
    hashed.balancing.hash_balance_factor = 100;
    build_tables(hashed);
    check(hashed);
  }
}

TEST(LoadBalancer, FollowsFaultsOfEndpoints) {
  Rng rng(20);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 3);
  for (config::Endpoint& endpoint : cluster.endpoints) endpoint.cell = std::make_shared<report::EndpointCell>(0, 1);
  report::ClusterCell cell(0, "c", 1);
  LoadBalancer balancer(cluster, rng);
  cluster.endpoints[1].cell->set(report::EndpointFault::kEjected, true, cell);
  balancer.refresh(rng);
  EXPECT_EQ(count(balancer, rng, 30, Facts{cluster}), (Counts{{0, 15}, {2, 15}}));
  cluster.endpoints[1].cell->set(report::EndpointFault::kEjected, false, cell);
  balancer.refresh(rng);
  EXPECT_EQ(count(balancer, rng, 30, Facts{cluster}), (Counts{{0, 10}, {1, 10}, {2, 10}}));
}

TEST(RoundRobin, TakesEqualEndpointsInTurn) {
  Rng rng(4);
  const auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 5);
  LoadBalancer balancer(cluster, rng);
  std::vector<std::uint32_t> first;
  for (int i = 0; i < 5; ++i) first.push_back(balancer.choose({}, rng, Facts{cluster}).endpoint.value());
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 5u);
  for (int i = 0; i < 1'000; ++i)
    ASSERT_EQ(balancer.choose({}, rng, Facts{cluster}).endpoint.value(), first[static_cast<std::size_t>(i % 5)]);
}

TEST(RoundRobin, GivesEachItsWeightInEveryRound) {
  Rng rng(5);
  const auto cluster = cluster_of(LoadBalancing::kRoundRobin, {5, 1, 2});
  LoadBalancer balancer(cluster, rng);
  for (int round = 0; round < 100; ++round) {
    Counts counts = count(balancer, rng, 8, Facts{cluster});
    EXPECT_NEAR(counts[0], 5, 1);
    EXPECT_NEAR(counts[1], 1, 1);
    EXPECT_NEAR(counts[2], 2, 1);
  }
  Counts counts = count(balancer, rng, 8'000, Facts{cluster});
  EXPECT_NEAR(counts[0], 5'000, 2);
  EXPECT_NEAR(counts[1], 1'000, 2);
  EXPECT_NEAR(counts[2], 2'000, 2);
}

TEST(RoundRobin, BearsTheLargestWeights) {
  Rng rng(6);
  const auto cluster = cluster_of(LoadBalancing::kRoundRobin, {0xffffffff, 1, 0xffffffff});
  LoadBalancer balancer(cluster, rng);
  Counts counts = count(balancer, rng, 10'000, Facts{cluster});
  EXPECT_NEAR(counts[0], 5'000, 2);
  EXPECT_LE(counts[1], 1);
}

TEST(RoundRobin, WorkersStartAtDifferentPlaces) {
  const auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 4);
  Counts first;
  for (std::uint64_t worker = 0; worker < 400; ++worker) {
    Rng rng(worker);
    LoadBalancer balancer(cluster, rng);
    ++first[balancer.choose({}, rng, Facts{cluster}).endpoint.value()];
  }
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_NEAR(first[i], 100, 40) << i;
}

TEST(RoundRobin, GivesNewEndpointsTheirPart) {
  Rng rng(11);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 2);
  cluster.balancing.slow_start.window = Duration::seconds(10);
  LoadBalancer balancer(cluster, rng);
  Counts counts = count(balancer, rng, 5'000,
                        {.cluster = cluster, .part = [](std::uint32_t i) { return i == 1 ? 0.25 : 1.0; }, .new_ones = true});
  EXPECT_NEAR(counts[1], 1'000, 3);
}

TEST(LeastRequest, AvoidsTheBusyAmongEqualEndpoints) {
  Rng rng(7);
  const auto cluster = equal_cluster(LoadBalancing::kLeastRequest, 4);
  LoadBalancer balancer(cluster, rng);
  Counts counts =
      count(balancer, rng, 16'000, {.cluster = cluster, .active = [](std::uint32_t i) { return i == 2 ? 100u : 1u; }});
  EXPECT_NEAR(counts[2], 1'000, 150) << "chosen only when drawn twice";
  EXPECT_NEAR(counts[0], 5'000, 300);
}

TEST(LeastRequest, ManyChoicesFindTheIdleOne) {
  Rng rng(8);
  auto cluster = equal_cluster(LoadBalancing::kLeastRequest, 4);
  cluster.least_request_choices = 32;
  LoadBalancer balancer(cluster, rng);
  const auto busy = [](std::uint32_t i) { return i == 3 ? 0u : 1u; };
  EXPECT_GT(count(balancer, rng, 1'000, {.cluster = cluster, .active = busy})[3], 990);
}

TEST(LeastRequest, FullScanTakesTheLeastAndSharesAmongEquals) {
  Rng rng(12);
  auto cluster = equal_cluster(LoadBalancing::kLeastRequest, 5);
  cluster.balancing.full_scan = true;
  LoadBalancer balancer(cluster, rng);
  const auto busy = [](std::uint32_t i) { return i < 2 ? 3u : 1u; };
  Counts counts = count(balancer, rng, 30'000, {.cluster = cluster, .active = busy});
  EXPECT_EQ(counts.size(), 3u);
  for (std::uint32_t i = 2; i < 5; ++i) EXPECT_NEAR(counts[i], 10'000, 300) << i;
}

TEST(LeastRequest, DividesUnequalWeightsByLoad) {
  Rng rng(9);
  const auto cluster = cluster_of(LoadBalancing::kLeastRequest, {2, 1});
  LoadBalancer balancer(cluster, rng);
  EXPECT_NEAR(count(balancer, rng, 9'000, Facts{cluster})[0], 6'000, 2);
  // Weight 2 with three requests counts as 1/2, against 1.
  const auto busy = [](std::uint32_t i) { return i == 0 ? 3u : 0u; };
  EXPECT_NEAR(count(balancer, rng, 9'000, {.cluster = cluster, .active = busy})[0], 3'000, 3);
}

TEST(LeastRequest, BiasSaysHowMuchLoadCounts) {
  Rng rng(13);
  auto cluster = cluster_of(LoadBalancing::kLeastRequest, {2, 1});
  const auto busy = [](std::uint32_t i) { return i == 0 ? 3u : 0u; };
  cluster.balancing.active_request_bias = 0;
  LoadBalancer blind(cluster, rng);
  EXPECT_NEAR(count(blind, rng, 9'000, {.cluster = cluster, .active = busy})[0], 6'000, 3);
  cluster.balancing.active_request_bias = 2;  // 2/16 against 1
  LoadBalancer timid(cluster, rng);
  EXPECT_NEAR(count(timid, rng, 9'000, {.cluster = cluster, .active = busy})[0], 1'000, 3);
}

TEST(RandomChoice, IsUniformWhateverTheWeights) {
  Rng rng(10);
  const auto cluster = cluster_of(LoadBalancing::kRandom, {1, 2, 3, 4});
  LoadBalancer balancer(cluster, rng);
  Counts counts = count(balancer, rng, 100'000, Facts{cluster});
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], 25'000, 500) << i;
}

TEST(Weights, AreWithinOnePercentAfterManyRequests) {
  for (const LoadBalancing policy : {LoadBalancing::kRoundRobin, LoadBalancing::kLeastRequest, LoadBalancing::kMaglev}) {
    SCOPED_TRACE(static_cast<int>(policy));
    Rng rng(14);
    auto cluster = cluster_of(policy, {1, 2, 3, 4});
    if (policy == LoadBalancing::kMaglev) build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    Counts counts = count(balancer, rng, 100'000, Facts{cluster});
    for (int i = 0; i < 4; ++i) {
      const int share = 10'000 * (i + 1);
      // A table's shares are exact, its keys come by chance: three times the largest standard deviation.
      EXPECT_NEAR(counts[static_cast<std::uint32_t>(i)], share, policy == LoadBalancing::kMaglev ? 465 : share / 100) << i;
    }
  }
}

TEST(Priorities, ShareByHealth) {
  Rng rng(15);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 8);
  for (std::uint32_t i = 4; i < 8; ++i) cluster.endpoints[i].priority = 1;
  LoadBalancer all(cluster, rng);
  EXPECT_EQ(count(all, rng, 100, Facts{cluster}).size(), 4u);
  cluster.endpoints[0].healthy = cluster.endpoints[1].healthy = false;  // half of priority 0: 70 percent
  LoadBalancer half(cluster, rng);
  Counts counts = count(half, rng, 100'000, Facts{cluster});
  EXPECT_NEAR(counts[2] + counts[3], 70'000, 1'000);
  EXPECT_NEAR(counts[4] + counts[5] + counts[6] + counts[7], 30'000, 1'000);
  PriorityMask tried;
  tried.set(0);
  counts = count(half, rng, 1'000, Facts{cluster}, {.avoid_priorities = &tried});
  EXPECT_EQ(counts[2] + counts[3], 0) << "previous_priorities";
}

TEST(Panic, ForgetsHealth) {
  Rng rng(16);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 4);
  for (std::uint32_t i = 1; i < 4; ++i) cluster.endpoints[i].healthy = false;
  LoadBalancer balancer(cluster, rng);
  EXPECT_EQ(count(balancer, rng, 100, Facts{cluster}).size(), 4u);
  EXPECT_TRUE(balancer.choose({}, rng, Facts{cluster}).in_panic);
  cluster.balancing.fail_traffic_on_panic = true;
  LoadBalancer failing(cluster, rng);
  const HostChoice none = failing.choose({}, rng, Facts{cluster});
  EXPECT_TRUE(!none.endpoint && none.in_panic);
  cluster.balancing.panic_threshold = 25;
  LoadBalancer calm(cluster, rng);
  EXPECT_EQ(count(calm, rng, 100, Facts{cluster}), (Counts{{0, 100}}));
}

TEST(Degraded, AreChosenForWhatTheHealthyCannotTake) {
  Rng rng(17);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 4);
  cluster.endpoints[3].degraded = true;
  LoadBalancer balancer(cluster, rng);
  EXPECT_FALSE(count(balancer, rng, 100, Facts{cluster}).contains(3)) << "three of four suffice";
  for (std::uint32_t i = 1; i < 4; ++i) cluster.endpoints[i].degraded = true;
  LoadBalancer strained(cluster, rng);
  EXPECT_NEAR(count(strained, rng, 100'000, Facts{cluster})[0], 35'000, 1'000) << "a quarter, with overprovisioning";
}

TEST(Draining, IsNoPartOfTheWhole) {
  Rng rng(18);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 4);
  for (std::uint32_t i = 1; i < 4; ++i) {
    cluster.endpoints[i].healthy = false;
    cluster.endpoints[i].draining = true;
  }
  LoadBalancer balancer(cluster, rng);
  EXPECT_EQ(count(balancer, rng, 100, Facts{cluster}), (Counts{{0, 100}})) << "no panic: the only one that counts is healthy";
}

TEST(Localities, ShareByWeightAndHealth) {
  Rng rng(19);
  auto cluster = equal_cluster(LoadBalancing::kRoundRobin, 12);
  cluster.balancing.locality_weighted = true;
  cluster.localities.resize(3);
  cluster.localities[0].weight = 1;
  cluster.localities[1].weight = 2;
  for (std::uint32_t i = 0; i < 12; ++i) cluster.endpoints[i].locality = i / 5;  // 0: five, 1: five, 2: two, without a weight
  const auto of_first = [](Counts counts) { return counts[0] + counts[1] + counts[2] + counts[3] + counts[4]; };
  LoadBalancer balancer(cluster, rng);
  Counts counts = count(balancer, rng, 99'999, Facts{cluster});
  EXPECT_NEAR(of_first(counts), 33'333, 333);
  EXPECT_EQ(counts[10] + counts[11], 0);
  // Envoy's table: with 140 percent, of a locality of which 60 percent are healthy counts 84 percent of its weight.
  cluster.endpoints[5].healthy = cluster.endpoints[6].healthy = false;
  LoadBalancer weak(cluster, rng);
  counts = count(weak, rng, 100'000, Facts{cluster});
  EXPECT_NEAR(of_first(counts), 100'000 / (1 + 2 * 0.84), 1'000);
}

TEST(Localities, CountInFullUntilOverprovisioningIsUsedUp) {
  EXPECT_DOUBLE_EQ(effective_locality_weight(10, 10, 10, 140), 10);
  EXPECT_DOUBLE_EQ(effective_locality_weight(10, 72, 100, 140), 10);
  EXPECT_DOUBLE_EQ(effective_locality_weight(10, 50, 100, 140), 7);
  EXPECT_DOUBLE_EQ(effective_locality_weight(10, 0, 100, 140), 0);
  EXPECT_DOUBLE_EQ(effective_locality_weight(10, 0, 0, 140), 0);
}

TEST(Hashing, KeepsAKeyAtItsEndpoint) {
  for (const LoadBalancing policy : kHashed) {
    Rng rng(21);
    auto cluster = equal_cluster(policy, 10);
    build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    std::set<std::uint32_t> met;
    for (std::uint64_t key = 0; key < 200; ++key) {
      const ChoiceContext context{.hash = xx_hash_64(std::to_string(key))};
      EXPECT_EQ(count(balancer, rng, 10, Facts{cluster}, context).size(), 1u);
      met.insert(*balancer.choose(context, rng, Facts{cluster}).endpoint);
    }
    EXPECT_EQ(met.size(), 10u);
    EXPECT_EQ(count(balancer, rng, 1'000, Facts{cluster}).size(), 10u) << "without a hash: random";
  }
}

TEST(Hashing, OnlyKeysOfTheUnhealthyMove) {
  for (const LoadBalancing policy : kHashed) {
    Rng rng(22);
    auto cluster = equal_cluster(policy, 100);
    for (config::Endpoint& endpoint : cluster.endpoints) endpoint.cell = std::make_shared<report::EndpointCell>(0, 1);
    report::ClusterCell cell(0, "c", 1);
    build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    const auto look_up = [&](std::uint64_t key) {
      return *balancer.choose({.hash = xx_hash_64(std::to_string(key))}, rng, Facts{cluster}).endpoint;
    };
    std::vector<std::uint32_t> before;
    for (std::uint64_t key = 0; key < 10'000; ++key) before.push_back(look_up(key));
    cluster.endpoints[42].cell->set(report::EndpointFault::kEjected, true, cell);
    balancer.refresh(rng);
    for (std::uint64_t key = 0; key < 10'000; ++key) {
      const std::uint32_t now = look_up(key);
      ASSERT_NE(now, 42u);
      if (before[key] != 42) {
        ASSERT_EQ(now, before[key]);
      }
    }
  }
}

TEST(Hashing, FindsTheLastHealthyOneAmongMany) {
  for (const LoadBalancing policy : kHashed) {
    Rng rng(23);
    auto cluster = equal_cluster(policy, 500);
    cluster.balancing.panic_threshold = 0;
    for (config::Endpoint& endpoint : cluster.endpoints) endpoint.healthy = false;
    cluster.endpoints[17].healthy = true;
    build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    EXPECT_EQ(count(balancer, rng, 1'000, Facts{cluster}), (Counts{{17, 1'000}}));
  }
}

TEST(Hashing, ARetryMayMeetAnother) {
  for (const LoadBalancing policy : kHashed) {
    Rng rng(24);
    auto cluster = equal_cluster(policy, 10);
    build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    std::set<std::uint32_t> met;
    for (std::uint32_t attempt = 0; attempt < 20; ++attempt)
      met.insert(*balancer.choose({.hash = 4711, .attempt = attempt}, rng, Facts{cluster}).endpoint);
    EXPECT_GT(met.size(), 4u);
  }
}

TEST(Hashing, PassesOverWhoIsOverloaded) {
  for (const LoadBalancing policy : kHashed) {
    Rng rng(25);
    auto cluster = equal_cluster(policy, 10);
    cluster.balancing.hash_balance_factor = 150;
    build_tables(cluster);
    LoadBalancer balancer(cluster, rng);
    const ChoiceContext context{.hash = 4711};
    const std::uint32_t first = *balancer.choose(context, rng, Facts{cluster}).endpoint;
    // Of 100 requests an endpoint may have 15.2, rounded up.
    const auto with = [&](std::size_t active) {
      return Facts{.cluster = cluster, .active = [=](std::uint32_t i) { return i == first ? active : 1; }, .all = 100};
    };
    EXPECT_EQ(*balancer.choose(context, rng, with(16)).endpoint, first);
    const std::uint32_t second = *balancer.choose(context, rng, with(17)).endpoint;
    EXPECT_NE(second, first);
    EXPECT_EQ(*balancer.choose(context, rng, with(17)).endpoint, second) << "always the same other one";
  }
}

}  // namespace
}  // namespace millrace::proxy
