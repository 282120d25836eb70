#include "dataplane/proxy/lb/subset_choice.h"

#include <gtest/gtest.h>

#include <set>

#include "config/compile/subset_index.h"
#include "dataplane/proxy/lb/load_balancer.h"

namespace millrace::proxy {
namespace {

using config::MetadataMatch;
using config::SubsetFallback;

struct Idle {
  [[nodiscard]] std::size_t active_requests(std::uint32_t) const { return 0; }
  [[nodiscard]] double weight(std::uint32_t) const { return 1; }
  [[nodiscard]] bool some_are_new() const { return false; }
  [[nodiscard]] std::size_t all_active_requests() const { return 0; }
};

/// Endpoints 0 to 2 are of version 1, the first of them is canary; 3 and 4 are of version 2; 5 has no metadata.
struct Subsetted : ::testing::Test {
  Subsetted() {
    cluster.endpoints.resize(6);
    cluster.balancing.panic_threshold = 0;
    subsets.selectors = {{.keys = {"version"}}, {.keys = {"canary", "version"}}};
    subsets.default_subset.match = {{"version", "2"}};
  }
  /// All endpoints that requests for `match` meet; null: nothing is asked for.
  std::set<std::uint32_t> met(const MetadataMatch* match) {
    auto made = std::make_shared<config::Subsets>(subsets);
    const std::vector<config::EndpointMetadata> metadata = {{{"version", {"1"}}, {"canary", {"yes"}}},
                                                            {{"version", {"1"}}},
                                                            {{"version", {"1"}}},
                                                            {{"version", {"2"}}},
                                                            {{"version", {"2"}}},
                                                            {}};
    EXPECT_TRUE(config::index_subsets(metadata, *made));
    cluster.subsets = made;
    Rng rng(1);
    LoadBalancer balancer(cluster, rng);
    std::set<std::uint32_t> out;
    for (int i = 0; i < 60; ++i) {
      const HostChoice choice = balancer.choose({.metadata = match}, rng, Idle());
      outcome = choice.subset;
      if (choice.endpoint) out.insert(*choice.endpoint);
    }
    return out;
  }

  config::Cluster cluster;
  config::Subsets subsets;
  SubsetOutcome outcome = SubsetOutcome::kNone;
};

using Endpoints = std::set<std::uint32_t>;
const MetadataMatch kVersion1 = {{"version", "1"}};
const MetadataMatch kCanary2 = {{"canary", "yes"}, {"version", "2"}};
const MetadataMatch kUnknown = {{"stage", "dev"}};

TEST_F(Subsetted, ARequestMeetsItsSubsetOnly) {
  EXPECT_EQ(met(&kVersion1), Endpoints({0, 1, 2}));
  EXPECT_EQ(outcome, SubsetOutcome::kSelected);
  const MetadataMatch canary = {{"canary", "yes"}, {"version", "1"}};
  EXPECT_EQ(met(&canary), Endpoints({0}));
}

TEST_F(Subsetted, WithoutAnEndpointThatIsHealthyASubsetHasNone) {
  for (std::size_t i = 0; i < 3; ++i) cluster.endpoints[i].healthy = false;
  subsets.fallback = SubsetFallback::kAnyEndpoint;
  EXPECT_EQ(met(&kVersion1), Endpoints()) << "the subset is there: no fallback";
}

TEST_F(Subsetted, FallbackOfTheClusterCountsWhereNothingMatches) {
  EXPECT_EQ(met(&kUnknown), Endpoints());
  EXPECT_EQ(met(nullptr), Endpoints());
  subsets.fallback = SubsetFallback::kAnyEndpoint;
  EXPECT_EQ(met(&kUnknown).size(), 6u);
  EXPECT_EQ(outcome, SubsetOutcome::kFallback);
  EXPECT_EQ(met(nullptr).size(), 6u);
  subsets.fallback = SubsetFallback::kDefaultSubset;
  EXPECT_EQ(met(&kUnknown), Endpoints({3, 4}));
}

TEST_F(Subsetted, PanicModeAnyHelpsAnEmptyDefaultSubset) {
  subsets.fallback = SubsetFallback::kDefaultSubset;
  subsets.default_subset.match = {{"version", "9"}};
  EXPECT_EQ(met(&kUnknown), Endpoints());
  subsets.panic_mode_any = true;
  EXPECT_EQ(met(&kUnknown).size(), 6u);
  EXPECT_EQ(outcome, SubsetOutcome::kFallbackPanic);
}

TEST_F(Subsetted, ASelectorHasItsOwnFallback) {
  subsets.fallback = SubsetFallback::kAnyEndpoint;
  subsets.selectors[1].fallback = SubsetFallback::kNone;
  EXPECT_EQ(met(&kCanary2), Endpoints());
  subsets.selectors[1].fallback = SubsetFallback::kDefaultSubset;
  EXPECT_EQ(met(&kCanary2), Endpoints({3, 4}));
  subsets.selectors[1].fallback = SubsetFallback::kAnyEndpoint;
  subsets.fallback = SubsetFallback::kNone;
  EXPECT_EQ(met(&kCanary2).size(), 6u);
}

TEST_F(Subsetted, ASelectorMayDoWithSomeOfItsKeys) {
  subsets.selectors[1].fallback = SubsetFallback::kKeysSubset;
  subsets.selectors[1].fallback_keys = {"version"};
  EXPECT_EQ(met(&kCanary2), Endpoints({3, 4}));
  const MetadataMatch none = {{"canary", "yes"}, {"version", "9"}};
  EXPECT_EQ(met(&none), Endpoints()) << "and then has the cluster's fallback";
}

TEST_F(Subsetted, LocalitiesCountWhereSubsetsHeedThem) {
  cluster.balancing.locality_weighted = true;
  cluster.localities.resize(2);
  cluster.localities[0].weight = 1;  // the other has none, and gets nothing
  cluster.endpoints[2].locality = 1;
  EXPECT_EQ(met(&kVersion1), Endpoints({0, 1, 2}));
  subsets.locality_weight_aware = true;
  EXPECT_EQ(met(&kVersion1), Endpoints({0, 1}));
}

TEST_F(Subsetted, LocalityWeightsMayFollowTheSubset) {
  cluster.balancing.locality_weighted = subsets.locality_weight_aware = true;
  cluster.localities.resize(2);
  cluster.localities[0].weight = cluster.localities[1].weight = 10;
  for (const std::size_t i : {2u, 3u, 4u, 5u}) cluster.endpoints[i].locality = 1;  // of version 1 it has one of four
  const auto share_of_2 = [&] {
    static_cast<void>(met(&kVersion1));
    Rng rng(2);
    LoadBalancer balancer(cluster, rng);
    int count = 0;
    for (int i = 0; i < 10'000; ++i) count += *balancer.choose({.metadata = &kVersion1}, rng, Idle()).endpoint == 2 ? 1 : 0;
    return count;
  };
  EXPECT_NEAR(share_of_2(), 5'000, 50);
  subsets.scale_locality_weight = true;
  EXPECT_NEAR(share_of_2(), 2'000, 50);
}

}  // namespace
}  // namespace millrace::proxy
