#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/model/subset_lookup.h"
#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::SubsetFallback;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kEndpoints =
    "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}, metadata: {filter_metadata: "
    "{envoy.lb: {version: 1, tag: [a, b], deep: {x: true}}}}}, {endpoint: {address: {socket_address: {address: 10.0.0.2, "
    "port_value: 80}}}, metadata: {filter_metadata: {envoy.lb: {version: '1'}}}}]}]";

BootstrapText with(const std::string& config) {
  BootstrapText text;
  text.endpoints = kEndpoints;
  text.cluster = ", " + config;
  return text;
}

std::vector<std::string> refusals(const std::string& selector) {
  return errors_of(with("lb_subset_config: {subset_selectors: [" + selector + "]}"));
}

const std::string kAll =
    "fallback_policy: DEFAULT_SUBSET, default_subset: {version: 1}, subset_selectors: [{keys: [version, deep], fallback_policy: "
    "KEYS_SUBSET, fallback_keys_subset: [version]}, {keys: [tag], fallback_policy: NO_FALLBACK}, {keys: [version], "
    "fallback_policy: ANY_ENDPOINT}, {keys: [other], fallback_policy: DEFAULT_SUBSET}, {keys: [more]}], locality_weight_aware: "
    "true, scale_locality_weight: true, panic_mode_any: true, list_as_any: true";

TEST(TranslateSubsets, TakesAllFields) {
  const std::string extension =
      "load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.load_balancing_policies.subset.v3.Subset, " +
      kAll +
      ", subset_lb_policy: {policies: [{typed_extension_config: {name: y, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev}}}]}}}}]}";
  for (const std::string& form : {"lb_policy: MAGLEV, lb_subset_config: {" + kAll + "}", extension}) {
    const auto snapshot = snapshot_of(with(form));
    ASSERT_NE(snapshot, nullptr);
    const config::Cluster& cluster = *snapshot->find_cluster("origin");
    ASSERT_NE(cluster.subsets, nullptr);
    const config::Subsets& subsets = *cluster.subsets;
    EXPECT_EQ(cluster.load_balancing, config::LoadBalancing::kMaglev);
    EXPECT_EQ(subsets.fallback, SubsetFallback::kDefaultSubset);
    EXPECT_TRUE(subsets.panic_mode_any && subsets.locality_weight_aware && subsets.scale_locality_weight);
    ASSERT_EQ(subsets.selectors.size(), 5u);
    EXPECT_THAT(subsets.selectors[0].keys, ElementsAre("deep", "version"));
    EXPECT_THAT(subsets.selectors[0].fallback_keys, ElementsAre("version"));
    EXPECT_EQ(subsets.selectors[0].fallback, SubsetFallback::kKeysSubset);
    EXPECT_EQ(subsets.selectors[1].fallback, SubsetFallback::kNone);
    EXPECT_EQ(subsets.selectors[2].fallback, SubsetFallback::kAnyEndpoint);
    EXPECT_EQ(subsets.selectors[3].fallback, SubsetFallback::kDefaultSubset);
    EXPECT_EQ(subsets.selectors[4].fallback, std::nullopt);
    EXPECT_EQ(subsets.subsets.size(), 1u + 2u + 2u) << "deep; a and b; the number and the text";
    EXPECT_THAT(subsets.default_subset.endpoints, ElementsAre(0));
    ASSERT_EQ(subsets.default_subset.hash_tables.size(), 1u);
    EXPECT_EQ(subsets.subsets[0].hash_tables.at(0)->slots[0], 0u);
  }
}

TEST(TranslateSubsets, WithoutSelectorsThereAreNone) {
  EXPECT_EQ(snapshot_of(with("lb_subset_config: {fallback_policy: ANY_ENDPOINT}"))->find_cluster("origin")->subsets, nullptr);
}

TEST(TranslateSubsets, ARouteAsksForWhatItsClusterDoesNotReplace) {
  BootstrapText text = with("lb_subset_config: {subset_selectors: [{keys: [version]}]}");
  text.action =
      "route: {metadata_match: {filter_metadata: {envoy.lb: {version: 1, stage: prod}, other: {a: b}}}, weighted_clusters: "
      "{clusters: [{name: origin, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: '1'}}}}, {name: origin, "
      "weight: "
      "1}]}}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& clusters = std::get<config::ForwardAction>(route_of(snapshot).action).clusters;
  EXPECT_EQ(*clusters[0].metadata_match, (config::MetadataMatch{{"stage", "s4:prod"}, {"version", "s1:1"}}));
  EXPECT_EQ(*clusters[1].metadata_match, (config::MetadataMatch{{"stage", "s4:prod"}, {"version", "n1"}}));
  text.action = "route: {cluster: origin, metadata_match: {filter_metadata: {envoy.lb: {version: '1'}}}}";
  const auto single = snapshot_of(text);
  const auto& match = std::get<config::ForwardAction>(route_of(single).action).clusters[0].metadata_match;
  EXPECT_THAT(config::find_subset(*single->find_cluster("origin")->subsets, *match, nullptr)->endpoints, ElementsAre(1));
}

TEST(TranslateSubsets, RefusesWhatItCannotDo) {
  EXPECT_THAT(refusals("{keys: [a], fallback_policy: KEYS_SUBSET}"),
              ElementsAre(HasSubstr("fallback_keys_subset: must not be empty when")));
  EXPECT_THAT(refusals("{keys: [a], fallback_keys_subset: [a]}"), ElementsAre(HasSubstr("can be set only when")));
  EXPECT_THAT(refusals("{keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [b]}"),
              ElementsAre(HasSubstr("must name some of the selector's keys")));
  EXPECT_THAT(refusals("{keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a]}"),
              ElementsAre(HasSubstr("must not be all of the selector's keys")));
  EXPECT_THAT(refusals("{keys: [a], single_host_per_subset: true}"), ElementsAre(HasSubstr("single_host_per_subset: is not")));
  EXPECT_THAT(errors_of(with("lb_subset_config: {metadata_fallback_policy: FALLBACK_LIST}")),
              ElementsAre(HasSubstr("FALLBACK_LIST is not supported yet")));
}

}  // namespace
}  // namespace millrace::agent::test
