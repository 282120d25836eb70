#include "config/compile/subset_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/model/subset_lookup.h"

namespace millrace::config {
namespace {

using ::testing::ElementsAre;

/// The example of Envoy's documentation on subsets, shortened.
const std::vector<EndpointMetadata> kEndpoints = {
    {{"stage", {"prod"}}, {"version", {"1.0"}}, {"type", {"std"}}, {"xlarge", {"true"}}},
    {{"stage", {"prod"}}, {"version", {"1.0"}}, {"type", {"std"}}},
    {{"stage", {"prod"}}, {"version", {"1.1"}}, {"type", {"std"}}},
    {{"stage", {"prod"}}, {"version", {"1.0"}}, {"type", {"bigmem"}}},
    {{"stage", {"dev"}}, {"version", {"1.2-pre"}}, {"type", {"std"}}},
};

Subsets indexed(std::vector<SubsetSelector> selectors, MetadataMatch default_match = {}) {
  Subsets subsets;
  subsets.selectors = std::move(selectors);
  subsets.default_subset.match = std::move(default_match);
  EXPECT_TRUE(index_subsets(kEndpoints, subsets));
  return subsets;
}

std::vector<std::uint32_t> found(const Subsets& subsets, const MetadataMatch& match, SubsetKeys keys = nullptr) {
  const Subset* subset = find_subset(subsets, match, keys);
  return subset == nullptr ? std::vector<std::uint32_t>() : subset->endpoints;
}

TEST(SubsetIndex, HasASubsetForEachCombinationOfValues) {
  const Subsets subsets = indexed({{.keys = {"stage", "type"}}, {.keys = {"stage", "version"}}, {.keys = {"xlarge"}}});
  EXPECT_EQ(subsets.subsets.size(), 3u + 3u + 1u);
  EXPECT_THAT(found(subsets, {{"stage", "prod"}, {"type", "std"}}), ElementsAre(0, 1, 2));
  EXPECT_THAT(found(subsets, {{"stage", "prod"}, {"type", "bigmem"}}), ElementsAre(3));
  EXPECT_THAT(found(subsets, {{"stage", "dev"}, {"type", "std"}}), ElementsAre(4));
  EXPECT_THAT(found(subsets, {{"stage", "prod"}, {"version", "1.0"}}), ElementsAre(0, 1, 3));
  EXPECT_THAT(found(subsets, {{"xlarge", "true"}}), ElementsAre(0));
}

TEST(SubsetIndex, FindsExactlyTheKeysThatAreAskedFor) {
  const Subsets subsets = indexed({{.keys = {"stage", "type"}}, {.keys = {"xlarge"}}});
  EXPECT_EQ(find_subset(subsets, {{"stage", "prod"}}, nullptr), nullptr);
  EXPECT_EQ(find_subset(subsets, {{"stage", "prod"}, {"type", "std"}, {"xlarge", "true"}}, nullptr), nullptr);
  EXPECT_EQ(find_subset(subsets, {{"stage", "prod"}, {"type", "huge"}}, nullptr), nullptr);
  EXPECT_EQ(find_subset(subsets, {}, nullptr), nullptr);
  const std::vector<std::string> some = {"xlarge"};
  EXPECT_THAT(found(subsets, {{"stage", "prod"}, {"xlarge", "true"}}, &some), ElementsAre(0));
}

TEST(SubsetIndex, FindsTheSelectorOfItsKeys) {
  const Subsets subsets = indexed({{.keys = {"stage", "type"}}, {.keys = {"xlarge"}}});
  EXPECT_EQ(find_selector(subsets, {{"stage", "any"}, {"type", "any"}}, nullptr), &subsets.selectors[0]);
  EXPECT_EQ(find_selector(subsets, {{"xlarge", "any"}}, nullptr), &subsets.selectors[1]);
  EXPECT_EQ(find_selector(subsets, {{"stage", "any"}}, nullptr), nullptr);
}

TEST(SubsetIndex, TakesListsApart) {
  Subsets subsets;
  subsets.selectors = {{.keys = {"version"}}};
  const std::vector<EndpointMetadata> endpoints = {{{"version", {"1", "2"}}}, {{"version", {"2"}}}};
  ASSERT_TRUE(index_subsets(endpoints, subsets));
  EXPECT_THAT(found(subsets, {{"version", "1"}}), ElementsAre(0));
  EXPECT_THAT(found(subsets, {{"version", "2"}}), ElementsAre(0, 1));
}

TEST(SubsetIndex, HasADefaultSubset) {
  EXPECT_THAT(indexed({}, {{"stage", "prod"}, {"version", "1.0"}}).default_subset.endpoints, ElementsAre(0, 1, 3));
  EXPECT_THAT(indexed({}, {{"stage", "none"}}).default_subset.endpoints, ElementsAre());
}

TEST(SubsetIndex, IsBounded) {
  std::vector<EndpointMetadata> endpoints(kMostSubsets + 1);
  for (std::size_t i = 0; i < endpoints.size(); ++i) endpoints[i]["id"] = {std::to_string(i)};
  Subsets subsets;
  subsets.selectors = {{.keys = {"id"}}};
  EXPECT_FALSE(index_subsets(endpoints, subsets));
  EXPECT_EQ(subsets.subsets.size(), kMostSubsets);
}

}  // namespace
}  // namespace millrace::config
