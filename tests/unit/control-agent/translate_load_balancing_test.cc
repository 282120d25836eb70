#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/hash_table.h"
#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::LoadBalancing;
using testing::ElementsAre;
using testing::HasSubstr;

/// The snapshot is kept: the cluster is part of it.
struct Translated {
  std::shared_ptr<const config::Snapshot> snapshot;
  const config::Cluster* operator->() const { return snapshot->find_cluster("origin"); }
};

Translated cluster_with(const std::string& fields, const std::string& endpoints = {}) {
  BootstrapText text;
  text.cluster = ", " + fields;
  if (!endpoints.empty()) text.endpoints = endpoints;
  return {snapshot_of(text)};
}

std::vector<std::string> refusals(const std::string& fields) {
  BootstrapText text;
  text.cluster = ", " + fields;
  return errors_of(text);
}

std::string extension(const std::string& name, const std::string& message, const std::string& fields = {}) {
  return "{typed_extension_config: {name: x, typed_config: {\"@type\": "
         "type.googleapis.com/envoy.extensions.load_balancing_policies." +
         name + ".v3." + message + (fields.empty() ? "" : ", " + fields) + "}}}";
}

std::string policies(const std::string& list) { return "load_balancing_policy: {policies: [" + list + "]}"; }

std::string endpoint(const std::string& address, const std::string& more = {}) {
  return "{endpoint: {hostname: h" + address + ", address: {socket_address: {address: " + address + ", port_value: 80}}}" + more +
         "}";
}

TEST(TranslateLoadBalancing, HasEnvoysDefaults) {
  const auto cluster = cluster_with("connect_timeout: 1s");
  EXPECT_EQ(cluster->load_balancing, LoadBalancing::kRoundRobin);
  EXPECT_EQ(cluster->balancing.panic_threshold, 50u);
  EXPECT_EQ(cluster->balancing.overprovisioning_factor, 140u);
  EXPECT_EQ(cluster->balancing.active_request_bias, 1);
  EXPECT_FALSE(cluster->balancing.slow_start.is_enabled());
  EXPECT_FALSE(cluster->balancing.locality_weighted || cluster->balancing.fail_traffic_on_panic);
  EXPECT_TRUE(cluster->hash_tables.empty());
}

TEST(TranslateLoadBalancing, LeastRequestWithAllItsFields) {
  const std::string fields =
      "choice_count: 5, active_request_bias: {default_value: 2.5, runtime_key: k}, slow_start_config: {slow_start_window: 30s, "
      "aggression: {default_value: 1.5, runtime_key: k}, min_weight_percent: {value: 20}}";
  for (const auto& cluster : {cluster_with("lb_policy: LEAST_REQUEST, least_request_lb_config: {" + fields + "}"),
                              cluster_with(policies(extension("least_request", "LeastRequest", fields)))}) {
    EXPECT_EQ(cluster->load_balancing, LoadBalancing::kLeastRequest);
    EXPECT_EQ(cluster->least_request_choices, 5u);
    EXPECT_EQ(cluster->balancing.active_request_bias, 2.5);
    EXPECT_EQ(cluster->balancing.slow_start.window, Duration::seconds(30));
    EXPECT_EQ(cluster->balancing.slow_start.aggression, 1.5);
    EXPECT_EQ(cluster->balancing.slow_start.min_weight, 0.2);
    EXPECT_FALSE(cluster->balancing.full_scan);
  }
  EXPECT_TRUE(
      cluster_with(policies(extension("least_request", "LeastRequest", "selection_method: FULL_SCAN")))->balancing.full_scan);
  EXPECT_TRUE(cluster_with(policies(extension("least_request", "LeastRequest", "enable_full_scan: true")))->balancing.full_scan);
}

TEST(TranslateLoadBalancing, RoundRobinAndRandom) {
  EXPECT_EQ(cluster_with("round_robin_lb_config: {slow_start_config: {slow_start_window: 9s}}")->balancing.slow_start.window,
            Duration::seconds(9));
  const auto extended = cluster_with(policies(extension(
      "round_robin", "RoundRobin",
      "slow_start_config: {slow_start_window: 9s}, locality_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 50}, "
      "min_cluster_size: 3, fail_traffic_on_panic: true}}")));
  EXPECT_EQ(extended->load_balancing, LoadBalancing::kRoundRobin);
  EXPECT_EQ(extended->balancing.slow_start.window, Duration::seconds(9));
  EXPECT_TRUE(extended->balancing.fail_traffic_on_panic);
  EXPECT_EQ(extended->balancing.zone_aware.routing_enabled, 50u);
  EXPECT_EQ(extended->balancing.zone_aware.min_cluster_size, 3u);
  EXPECT_EQ(cluster_with("lb_policy: RANDOM")->load_balancing, LoadBalancing::kRandom);
  const auto random =
      cluster_with(policies(extension("random", "Random", "locality_lb_config: {locality_weighted_lb_config: {}}")));
  EXPECT_EQ(random->load_balancing, LoadBalancing::kRandom);
  EXPECT_TRUE(random->balancing.locality_weighted);
}

TEST(TranslateLoadBalancing, RingHash) {
  const std::string endpoints = "[{lb_endpoints: [" + endpoint("10.0.0.1") + "]}]";
  const auto one = cluster_with("lb_policy: RING_HASH", endpoints);
  EXPECT_EQ(one->load_balancing, LoadBalancing::kRingHash);
  ASSERT_EQ(one->hash_tables.size(), 1u);
  EXPECT_EQ(one->hash_tables[0]->slots.size(), 1024u);

  const auto legacy = cluster_with(
      "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 20, hash_function: MURMUR_HASH_2}, "
      "common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 120}}",
      endpoints);
  const auto newer = cluster_with(
      policies(extension("ring_hash", "RingHash",
                         "minimum_ring_size: 10, maximum_ring_size: 20, hash_function: MURMUR_HASH_2, "
                         "consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 120}")),
      endpoints);
  const auto older =
      cluster_with(policies(extension("ring_hash", "RingHash",
                                      "minimum_ring_size: 10, maximum_ring_size: 20, hash_function: MURMUR_HASH_2, "
                                      "use_hostname_for_hashing: true, hash_balance_factor: 120, "
                                      "locality_weighted_lb_config: {}")),
                   "[{load_balancing_weight: 1, lb_endpoints: [" + endpoint("10.0.0.1") + "]}]");
  for (const auto* cluster : {&legacy, &newer, &older}) {
    ASSERT_EQ((*cluster)->hash_tables.size(), 1u);
    EXPECT_EQ((*cluster)->hash_tables[0]->hashes, config::build_ring({{0, 1}}, std::vector<std::string>{"h10.0.0.1"},
                                                                     {.minimum_size = 10, .maximum_size = 20, .murmur = true})
                                                      .hashes);
    EXPECT_EQ((*cluster)->balancing.hash_balance_factor, 120u);
  }
  EXPECT_TRUE(older->balancing.locality_weighted);
}

TEST(TranslateLoadBalancing, HashKeysOfMetadataComeFirst) {
  const auto cluster = cluster_with(
      "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 4}",
      "[{lb_endpoints: [" + endpoint("10.0.0.1", ", metadata: {filter_metadata: {envoy.lb: {hash_key: mine}}}") + "]}]");
  EXPECT_EQ(cluster->hash_tables.at(0)->hashes,
            config::build_ring({{0, 1}}, std::vector<std::string>{"mine"}, {.minimum_size = 4}).hashes);
}

TEST(TranslateLoadBalancing, Maglev) {
  const std::string endpoints =
      "[{lb_endpoints: [" + endpoint("10.0.0.1") + "]}, {priority: 1, lb_endpoints: [" + endpoint("10.0.0.2") + "]}]";
  const auto cluster = cluster_with("lb_policy: MAGLEV, maglev_lb_config: {table_size: 101}", endpoints);
  EXPECT_EQ(cluster->load_balancing, LoadBalancing::kMaglev);
  ASSERT_EQ(cluster->hash_tables.size(), 2u) << "one for each priority";
  EXPECT_EQ(cluster->hash_tables[1]->slots, std::vector<std::uint32_t>(101, 1));
  const auto extended = cluster_with(
      policies(extension("maglev", "Maglev",
                         "consistent_hashing_lb_config: {hash_balance_factor: 150}, locality_weighted_lb_config: {}")),
      endpoints);
  EXPECT_EQ(extended->load_balancing, LoadBalancing::kMaglev);
  EXPECT_EQ(extended->balancing.hash_balance_factor, 150u);
  EXPECT_TRUE(extended->balancing.locality_weighted);
}

TEST(TranslateLoadBalancing, TheFirstPolicyThatIsKnownCounts) {
  const std::string unknown =
      "{typed_extension_config: {name: x, typed_config: {\"@type\": type.googleapis.com/a.B, value: {c: 1}}}}";
  EXPECT_EQ(cluster_with(policies(extension("client_side_weighted_round_robin", "ClientSideWeightedRoundRobin") + ", " +
                                  extension("maglev", "Maglev") + ", " + extension("random", "Random")))
                ->load_balancing,
            LoadBalancing::kMaglev);
  EXPECT_THAT(refusals(policies(extension("client_side_weighted_round_robin", "ClientSideWeightedRoundRobin"))),
              ElementsAre(HasSubstr("load_balancing_policy.policies: must hold a policy of a supported type, not only \"")));
  EXPECT_THAT(refusals(policies("")), ElementsAre(HasSubstr("must hold a policy of a supported type")));
  const auto nested = cluster_with(
      policies(extension("wrr_locality", "WrrLocality",
                         "endpoint_picking_policy: {policies: [" + extension("least_request", "LeastRequest") + "]}")));
  EXPECT_EQ(nested->load_balancing, LoadBalancing::kLeastRequest);
  EXPECT_TRUE(nested->balancing.locality_weighted);
}

TEST(TranslateLoadBalancing, PanicAndZones) {
  const auto cluster = cluster_with(
      "common_lb_config: {healthy_panic_threshold: {value: 0}, zone_aware_lb_config: {routing_enabled: {value: 50}, "
      "min_cluster_size: "
      "3, fail_traffic_on_panic: true}, update_merge_window: 2s}");
  EXPECT_EQ(cluster->balancing.panic_threshold, 0u);
  EXPECT_TRUE(cluster->balancing.fail_traffic_on_panic);
  EXPECT_EQ(cluster->balancing.zone_aware.routing_enabled, 50u);
  EXPECT_EQ(cluster->balancing.zone_aware.min_cluster_size, 3u);
  const auto silent = cluster_with("connect_timeout: 1s");
  EXPECT_EQ(silent->balancing.zone_aware.routing_enabled, 100u);
  EXPECT_EQ(silent->balancing.zone_aware.min_cluster_size, 6u);
  EXPECT_TRUE(cluster_with("common_lb_config: {locality_weighted_lb_config: {}}")->balancing.locality_weighted);
}

TEST(TranslateLoadBalancing, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusals("lb_policy: MAGLEV, maglev_lb_config: {table_size: 100}"),
              ElementsAre(HasSubstr("maglev_lb_config.table_size: must be a prime number, is 100")));
  EXPECT_THAT(refusals("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 5, maximum_ring_size: 4}"),
              ElementsAre(HasSubstr("minimum_ring_size (5) must not be greater than maximum_ring_size (4)")));
  EXPECT_THAT(refusals("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 0}"),
              ElementsAre(HasSubstr("minimum_ring_size: must be at least 1")));
  EXPECT_THAT(
      refusals("lb_policy: LEAST_REQUEST, least_request_lb_config: {active_request_bias: {default_value: -1, runtime_key: k}}"),
      ElementsAre(HasSubstr("active_request_bias.default_value: must be 0 or more")));
  EXPECT_THAT(refusals("round_robin_lb_config: {slow_start_config: {slow_start_window: 1s, aggression: {default_value: 0, "
                       "runtime_key: k}}}"),
              ElementsAre(HasSubstr("aggression.default_value: must be greater than 0")));
  EXPECT_THAT(refusals("lb_policy: LOAD_BALANCING_POLICY_CONFIG"), ElementsAre(HasSubstr("load_balancing_policy: must be set")));
}

TEST(TranslateAssignment, TakesPrioritiesLocalitiesAndHealth) {
  const std::string zone = "locality: {region: r, zone: z, sub_zone: s}";
  const auto cluster = cluster_with("connect_timeout: 1s", "[{" + zone + ", load_balancing_weight: 7, lb_endpoints: [" +
                                                               endpoint("10.0.0.1", ", health_status: DEGRADED") + "]}, {" +
                                                               zone + ", priority: 2, lb_endpoints: [" +
                                                               endpoint("10.0.0.2", ", health_status: DRAINING") + "]}, {" +
                                                               zone + ", lb_endpoints: [" + endpoint("10.0.0.3") + "]}]");
  ASSERT_EQ(cluster->localities.size(), 2u) << "entries of one locality and priority are one";
  EXPECT_EQ(cluster->localities[0].region + cluster->localities[0].zone + cluster->localities[0].sub_zone, "rzs");
  EXPECT_EQ(cluster->localities[0].weight, 7u);
  EXPECT_EQ(cluster->localities[1].weight, 0u);
  EXPECT_EQ(cluster->localities[1].priority, 2u);
  const auto& endpoints = cluster->endpoints;
  EXPECT_TRUE(endpoints[0].healthy && endpoints[0].degraded && !endpoints[0].draining);
  EXPECT_TRUE(!endpoints[1].healthy && !endpoints[1].degraded && endpoints[1].draining);
  EXPECT_EQ(endpoints[1].priority, 2u);
  EXPECT_EQ(endpoints[1].locality, 1u);
  EXPECT_EQ(endpoints[2].locality, 0u);
}

TEST(TranslateAssignment, TakesThePolicy) {
  const std::string endpoints = "[{lb_endpoints: [" + endpoint("10.0.0.1") + "]}], policy: ";
  const auto cluster =
      cluster_with("connect_timeout: 1s", endpoints + "{overprovisioning_factor: 200, weighted_priority_health: true}");
  EXPECT_EQ(cluster->balancing.overprovisioning_factor, 200u);
  EXPECT_TRUE(cluster->balancing.weighted_priority_health);
  BootstrapText text;
  text.endpoints = endpoints + "{overprovisioning_factor: 1000001}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("policy.overprovisioning_factor: must be at most 1000000, is 1000001")));
}

TEST(TranslateAssignment, TakesWhatIsDropped) {
  const std::string endpoints = "[{lb_endpoints: [" + endpoint("10.0.0.1") + "]}], policy: {drop_overloads: ";
  const std::string tenth = "{category: lb, drop_percentage: {numerator: 1000, denominator: TEN_THOUSAND}}";
  const auto cluster = cluster_with("connect_timeout: 1s", endpoints + "[" + tenth + "]}");
  EXPECT_EQ(cluster->balancing.drop_overload_per_million, 100'000u);
  BootstrapText text;
  text.endpoints = endpoints + "[" + tenth + ", " + tenth + "]}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("policy.drop_overloads: must hold one entry")));
  text.endpoints = endpoints + "[{category: lb, drop_percentage: {numerator: 101}}]}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("drop_percentage: must be at most the whole")));
}

}  // namespace
}  // namespace millrace::agent::test
