#include "dataplane/proxy/lb/host_ages.h"

#include <gtest/gtest.h>

namespace millrace::proxy {
namespace {

constexpr Instant at(std::int64_t seconds) { return Instant() + Duration::seconds(seconds); }

config::Cluster cluster_with(std::size_t endpoints) {
  config::Cluster cluster;
  cluster.balancing.slow_start.window = Duration::seconds(100);
  for (std::size_t i = 0; i < endpoints; ++i) {
    cluster.endpoints.push_back({});
    cluster.endpoints.back().cell = std::make_shared<report::EndpointCell>(0, 1);
  }
  return cluster;
}

TEST(SlowStart, GrowsWithAge) {
  config::SlowStart slow{.window = Duration::seconds(100), .aggression = 1, .min_weight = 0.1};
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration()), 0.1);
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(5)), 0.1);
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(50)), 0.5);
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(100)), 1);
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(1000)), 1);
  slow.aggression = 2;
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(25)), 0.5);
  slow.aggression = 0.5;
  EXPECT_DOUBLE_EQ(slow_start_part(slow, Duration::seconds(50)), 0.25);
}

TEST(HostAges, CountFromTheFirstTimeAnEndpointIsSeen) {
  HostAges ages;
  auto cluster = cluster_with(1);
  ages.follow_endpoints(cluster, at(1'000));
  EXPECT_TRUE(ages.some_are_new(at(1'099)));
  EXPECT_FALSE(ages.some_are_new(at(1'100)));
  const auto first = cluster.endpoints[0];
  cluster = cluster_with(1);
  cluster.endpoints.push_back(first);
  ages.follow_endpoints(cluster, at(2'000));
  EXPECT_DOUBLE_EQ(ages.part(0, at(2'050)), 0.5);
  EXPECT_DOUBLE_EQ(ages.part(1, at(2'050)), 1);
}

TEST(HostAges, BeginAgainWhenHealthChecksSucceedAgain) {
  HostAges ages;
  auto cluster = cluster_with(2);
  ages.follow_endpoints(cluster, at(0));
  ages.follow_health(cluster, at(500));
  EXPECT_FALSE(ages.some_are_new(at(500)));
  cluster.endpoints[0].cell->health.get().healthy_since = at(601).to_nanoseconds();
  ages.follow_health(cluster, at(600));  // whoever has checked it is a turn ahead
  EXPECT_TRUE(ages.some_are_new(at(699)));
  EXPECT_DOUBLE_EQ(ages.part(0, at(650)), 0.5);
  EXPECT_DOUBLE_EQ(ages.part(1, at(650)), 1);
  EXPECT_FALSE(ages.some_are_new(at(700)));
}

TEST(HostAges, AreThoseOfTheirHealthHoweverLateItIsNoticed) {
  HostAges ages;
  auto cluster = cluster_with(2);
  ages.follow_endpoints(cluster, at(0));
  cluster.endpoints[0].cell->health.get().healthy_since = at(200).to_nanoseconds();
  cluster.endpoints[1].cell->health.get().healthy_since = at(960).to_nanoseconds();
  ages.follow_health(cluster, at(1'000));
  EXPECT_DOUBLE_EQ(ages.part(0, at(1'000)), 1) << "no request has come since, but it has long been there";
  EXPECT_DOUBLE_EQ(ages.part(1, at(1'000)), 0.4);
  EXPECT_FALSE(ages.some_are_new(at(1'060)));
  cluster.endpoints[0].cell->health.get().healthy_since = at(2'000).to_nanoseconds();
  ages.follow_endpoints(cluster, at(2'010));
  EXPECT_DOUBLE_EQ(ages.part(0, at(2'030)), 0.3) << "nor whether an update comes before";
}

}  // namespace
}  // namespace millrace::proxy
