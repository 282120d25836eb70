#include "config/compile/subset_index.h"

#include <algorithm>

#include "config/model/subset_lookup.h"

namespace millrace::config {
namespace {

// Calls `act` with each combination of the values that `endpoint` has of `keys`; none, where it lacks a key.
template <typename Act>
void for_each_match(const EndpointMetadata& endpoint, std::span<const std::string> keys, MetadataMatch& match, const Act& act) {
  if (match.size() == keys.size()) return act(match);
  const auto values = endpoint.find(keys[match.size()]);
  if (values == endpoint.end()) return;
  for (const std::string& value : values->second) {
    match.push_back({values->first, value});
    for_each_match(endpoint, keys, match, act);
    match.pop_back();
  }
}

bool has(const EndpointMetadata& endpoint, const MetadataEntry& entry) {
  const auto values = endpoint.find(entry.key);
  return values != endpoint.end() && std::ranges::find(values->second, entry.value) != values->second.end();
}

}  // namespace

bool index_subsets(std::span<const EndpointMetadata> endpoints, Subsets& subsets) {
  std::map<MetadataMatch, std::uint32_t> known;
  bool complete = true;
  for (const SubsetSelector& selector : subsets.selectors) {
    for (std::uint32_t i = 0; i < endpoints.size(); ++i) {
      MetadataMatch match;
      for_each_match(endpoints[i], selector.keys, match, [&](const MetadataMatch& found) {
        if (subsets.subsets.size() == kMostSubsets && !known.contains(found)) {
          complete = false;
          return;
        }
        const auto [at, is_new] = known.emplace(found, subsets.subsets.size());
        if (is_new) subsets.subsets.push_back({.match = found, .endpoints = {}, .hash_tables = {}});
        auto& members = subsets.subsets[at->second].endpoints;
        if (members.empty() || members.back() != i) members.push_back(i);
      });
    }
  }
  for (std::uint32_t i = 0; i < subsets.subsets.size(); ++i)
    subsets.by_hash.emplace(subset_hash(subsets.subsets[i].match, nullptr), i);
  for (std::uint32_t i = 0; i < endpoints.size(); ++i) {
    const auto is_there = [&](const MetadataEntry& entry) { return has(endpoints[i], entry); };
    if (std::ranges::all_of(subsets.default_subset.match, is_there)) subsets.default_subset.endpoints.push_back(i);
  }
  return complete;
}

}  // namespace millrace::config
