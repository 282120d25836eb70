// Which zone requests go to, by what is healthy in each zone of a cluster and of the local cluster.
#include "dataplane/proxy/lb/zone_routing.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "dataplane/proxy/lb/load_balancer.h"
#include "tests/support/heap_trap.h"

namespace millrace::proxy {
namespace {

using config::LoadBalancing;
using Sizes = std::vector<std::pair<std::string, std::size_t>>;

config::LocalityName zone_named(const std::string& zone) { return {.region = "north", .zone = zone, .sub_zone = {}}; }

/// As many endpoints in each zone.
std::shared_ptr<config::Cluster> cluster_of(std::uint32_t id, const Sizes& zones) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->cell = std::make_shared<report::ClusterCell>(id, "cluster" + std::to_string(id), 1);
  for (const auto& [zone, size] : zones) {
    const auto locality = static_cast<std::uint32_t>(cluster->localities.size());
    cluster->localities.push_back({zone_named(zone), 0, 0});
    for (std::size_t i = 0; i < size; ++i) {
      const auto endpoint = static_cast<std::uint32_t>(cluster->endpoints.size());
      cluster->endpoints.push_back(
          {.address = {}, .locality = locality, .cell = std::make_shared<report::EndpointCell>(endpoint, 1)});
    }
  }
  return cluster;
}

struct Facts {
  [[nodiscard]] std::size_t active_requests(std::uint32_t) const { return 0; }
  [[nodiscard]] double weight(std::uint32_t) const { return 1; }
  [[nodiscard]] bool some_are_new() const { return false; }
  [[nodiscard]] std::size_t all_active_requests() const { return 0; }
};

/// A gateway in zone "a".
struct ZoneRoutingTest : ::testing::Test {
  void local(const Sizes& zones) {
    local_cluster = cluster_of(0, zones);
    local_zones.assign(local_cluster, zone_named("a"));
  }
  void upstream(const Sizes& zones) {
    cluster = cluster_of(1, zones);
    cluster->balancing.zone_aware.min_cluster_size = 1;
  }
  [[nodiscard]] report::ClusterStats& stats() { return cluster->cell->per_worker[0]; }
  [[nodiscard]] LoadBalancer balancer() { return {*cluster, rng, {.local = &local_zones, .stats = &stats()}}; }
  /// How many of so many requests go to each zone; "" is nobody.
  std::map<std::string, int> met(LoadBalancer& balancer, int requests = 100'000) {
    std::map<std::string, int> counts;
    for (int i = 0; i < requests; ++i) {
      const auto endpoint = balancer.choose({}, rng, Facts()).endpoint;
      ++counts[endpoint ? config::locality_of(*cluster, cluster->endpoints[*endpoint]).zone : ""];
    }
    return counts;
  }
  std::map<std::string, int> met() {
    LoadBalancer made = balancer();
    return met(made);
  }
  void fail(config::Cluster& of, std::size_t endpoint) {
    of.endpoints[endpoint].cell->set(report::EndpointFault::kEjected, true, *of.cell);
  }

  Rng rng{20};
  std::shared_ptr<config::Cluster> local_cluster;
  std::shared_ptr<config::Cluster> cluster;
  LocalZones local_zones;
};

using Met = std::map<std::string, int>;

TEST_F(ZoneRoutingTest, AllStayWhereTheZoneHasItsShare) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"b", 5}, {"a", 5}});
  for (const auto policy : {LoadBalancing::kRoundRobin, LoadBalancing::kLeastRequest, LoadBalancing::kRandom}) {
    cluster->load_balancing = policy;
    EXPECT_EQ(met(), (Met{{"a", 100'000}}));
  }
  EXPECT_EQ(stats().lb_zone_routing_all_directly.value(), 300'000u);
  EXPECT_EQ(stats().lb_recalculate_zone_structures.value(), 3u);
  EXPECT_EQ(stats().lb_zone_routing_cross_zone.value(), 0u);
}

// Half of the gateways here, a quarter of the endpoints: every second request stays.
TEST_F(ZoneRoutingTest, WhatTheZoneCannotTakeGoesToOthersByTheRoomTheyHave) {
  local({{"a", 4}, {"b", 4}});
  upstream({{"a", 5}, {"b", 12}, {"c", 3}});
  const auto counts = met();
  EXPECT_NEAR(counts.at("a"), 50'000, 500);
  EXPECT_NEAR(counts.at("b"), 50'000 * 10 / 25, 500) << "10 percent more than its own gateways need";
  EXPECT_NEAR(counts.at("c"), 50'000 * 15 / 25, 500) << "has no gateways";
  EXPECT_EQ(stats().lb_zone_routing_sampled.value(), static_cast<std::uint64_t>(counts.at("a")));
  EXPECT_EQ(stats().lb_zone_routing_cross_zone.value(), static_cast<std::uint64_t>(counts.at("b") + counts.at("c")));
}

TEST_F(ZoneRoutingTest, NothingStaysInAZoneWithoutHealthyEndpoints) {
  local({{"a", 2}, {"b", 2}});
  upstream({{"a", 1}, {"b", 4}, {"c", 4}});
  fail(*cluster, 0);
  const auto counts = met();
  EXPECT_FALSE(counts.contains("a"));
  EXPECT_NEAR(counts.at("c"), 100'000, 500) << "b is full with what its own gateways send";
  upstream({{"b", 3}, {"c", 9}});
  EXPECT_NEAR(met().at("c"), 100'000, 500) << "the same where the cluster does not have the zone at all";
}

TEST_F(ZoneRoutingTest, RoundingMayLeaveNoRoomAnywhere) {
  local({{"a", 19'999}, {"b", 1}});
  upstream({{"a", 19'998}, {"b", 1}, {"c", 1}});  // a sends 9999 of 10000 parts and takes as many; b and c can take 0
  cluster->endpoints[0].healthy = false;          // now it takes 9998
  const auto counts = met();
  EXPECT_EQ(stats().lb_zone_no_capacity_left.value(), stats().lb_zone_routing_cross_zone.value());
  EXPECT_GT(stats().lb_zone_no_capacity_left.value(), 0u);
  EXPECT_FALSE(counts.contains("")) << "whichever zone it is, somebody serves";
}

TEST_F(ZoneRoutingTest, SmallClustersAreOneZone) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"a", 3}, {"b", 3}});
  cluster->balancing.zone_aware.min_cluster_size = 6;
  EXPECT_EQ(met(), (Met{{"a", 100'000}}));
  fail(*cluster, 5);
  EXPECT_NEAR(met().at("a"), 60'000, 500);
  EXPECT_EQ(stats().lb_zone_cluster_too_small.value(), 1u);
}

TEST_F(ZoneRoutingTest, OneZoneOnEitherSideIsNoChoice) {
  local({{"a", 2}});
  upstream({{"a", 5}, {"b", 5}});
  EXPECT_NEAR(met().at("a"), 50'000, 500);
  local({{"a", 1}, {"b", 1}});
  upstream({{"b", 5}});
  EXPECT_EQ(met(), (Met{{"b", 100'000}}));
  EXPECT_EQ(stats().lb_recalculate_zone_structures.value(), 1u);
  EXPECT_EQ(stats().lb_local_cluster_not_ok.value(), 0u);
}

TEST_F(ZoneRoutingTest, TheLocalClusterHasToKnowThisZone) {
  local({{"b", 1}, {"c", 1}});
  upstream({{"a", 5}, {"b", 5}});
  EXPECT_NEAR(met().at("a"), 50'000, 500);
  EXPECT_EQ(stats().lb_local_cluster_not_ok.value(), 1u) << "once, when the cluster was looked at";
}

TEST_F(ZoneRoutingTest, AnUnhealthyLocalClusterSaysNothing) {
  local({{"a", 2}, {"b", 2}});
  for (std::size_t i = 1; i < 4; ++i) fail(*local_cluster, i);
  static_cast<void>(local_zones.follow());
  upstream({{"a", 5}, {"b", 5}});
  EXPECT_NEAR(met().at("a"), 50'000, 500);
  EXPECT_EQ(stats().lb_local_cluster_not_ok.value(), 100'000u);
  cluster->balancing.fail_traffic_on_panic = true;
  EXPECT_EQ(met(), (Met{{"", 100'000}}));
  cluster->balancing.panic_threshold = 25;
  EXPECT_NEAR(met().at("a"), 50'000, 500) << "all gateways that are left are here";
  EXPECT_NEAR(static_cast<double>(stats().lb_zone_routing_sampled.value()), 50'000, 500);
}

TEST_F(ZoneRoutingTest, APartOfTheRequestsMayBeLeftOut) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"a", 5}, {"b", 5}});
  cluster->balancing.zone_aware.routing_enabled = 30;
  EXPECT_NEAR(met().at("a"), 30'000 + 35'000, 500);
  cluster->balancing.zone_aware.routing_enabled = 0;
  EXPECT_NEAR(met().at("a"), 50'000, 500);
}

TEST_F(ZoneRoutingTest, FollowsHealthHereAndThereWithoutTheHeap) {
  local({{"a", 2}, {"b", 2}});
  upstream({{"a", 4}, {"b", 4}});
  LoadBalancer made = balancer();
  EXPECT_EQ(met(made), (Met{{"a", 100'000}}));
  const std::uint32_t before = local_zones.follow();
  EXPECT_EQ(local_zones.follow(), before);
  test::heap_trap_allocations = 0;
  {
    const test::HeapTrap trap;
    fail(*local_cluster, 3);  // two thirds of the gateways are here now
    EXPECT_NE(local_zones.follow(), before);
    made.refresh(rng);
    for (int i = 0; i < 1'000; ++i) static_cast<void>(made.choose({}, rng, Facts()));
  }
  EXPECT_EQ(test::heap_trap_allocations, 0u);
  EXPECT_NEAR(met(made).at("a"), 75'000, 500);
  fail(*cluster, 4);
  fail(*cluster, 5);
  made.refresh(rng);
  EXPECT_EQ(met(made), (Met{{"a", 100'000}})) << "two thirds of the endpoints, too";
}

TEST_F(ZoneRoutingTest, CountsForTheFirstPriorityOnly) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"a", 2}, {"b", 2}, {"a", 2}, {"b", 2}});
  for (std::uint32_t i = 4; i < 8; ++i) cluster->endpoints[i].priority = 1;
  for (std::uint32_t i = 0; i < 4; ++i) cluster->endpoints[i].healthy = false;
  EXPECT_NEAR(met().at("a"), 50'000, 500);
}

TEST_F(ZoneRoutingTest, HashesAndLocalityWeightsGoBeforeZones) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"a", 5}, {"b", 5}});
  cluster->balancing.locality_weighted = true;
  cluster->localities[0].weight = 1;
  cluster->localities[1].weight = 3;
  EXPECT_NEAR(met().at("a"), 25'000, 500);
  cluster->balancing.locality_weighted = false;
  cluster->load_balancing = LoadBalancing::kMaglev;
  EXPECT_NEAR(met().at("a"), 50'000, 500);
  EXPECT_EQ(stats().lb_recalculate_zone_structures.value(), 0u);
}

TEST_F(ZoneRoutingTest, SubsetsHaveZonesOfTheirOwn) {
  local({{"a", 1}, {"b", 1}});
  upstream({{"a", 4}, {"b", 4}});
  auto subsets = std::make_shared<config::Subsets>();
  subsets->fallback = config::SubsetFallback::kDefaultSubset;
  subsets->default_subset.endpoints = {0, 4, 5};
  cluster->subsets = subsets;
  EXPECT_NEAR(met().at("a"), 66'660, 500) << "a third of the endpoints for half of the requests";
  EXPECT_EQ(stats().lb_recalculate_zone_structures.value(), 2u) << "of all endpoints, and of the default subset";
}

TEST(LocalZones, ToldApartByTheirWholeName) {
  auto cluster = cluster_of(0, {{"a", 1}, {"a", 2}, {"b", 1}});
  cluster->localities[1].sub_zone = "x";
  LocalZones zones;
  zones.assign(cluster, zone_named("a"));
  EXPECT_EQ(zones.zones(), 3u);
  EXPECT_TRUE(zones.has_own());
  EXPECT_TRUE(zones.is(*cluster));
  EXPECT_EQ(zones.healthy_in(zone_named("a")), 1u);
  EXPECT_EQ(zones.healthy_in({.region = "north", .zone = "a", .sub_zone = "x"}), 2u);
  EXPECT_EQ(zones.healthy_in(zone_named("c")), 0u);
  EXPECT_EQ(zones.hosts().healthy, 4u);
  zones.assign(cluster, {});
  EXPECT_FALSE(zones.has_own());
}

TEST(LocalZones, CountsByHealth) {
  auto cluster = cluster_of(0, {{"a", 4}});
  cluster->endpoints[1].degraded = true;
  cluster->endpoints[2].draining = true;
  cluster->endpoints[3].healthy = false;
  LocalZones zones;
  zones.assign(cluster, zone_named("a"));
  EXPECT_EQ(zones.hosts().all, 4u);
  EXPECT_EQ(zones.hosts().healthy, 1u);
  EXPECT_EQ(zones.hosts().degraded, 1u);
  EXPECT_EQ(zones.hosts().excluded, 1u);
  zones.assign(nullptr, zone_named("a"));
  EXPECT_EQ(zones.hosts().all, 0u);
  EXPECT_EQ(zones.zones(), 0u);
}

}  // namespace
}  // namespace millrace::proxy
