// Finds the subset, and the selector, of what a route asks for. Allocates nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "config/model/subsets.h"
#include "dataplane/base/hash.h"

namespace millrace::config {

/// The keys of a match that count; null: all.
using SubsetKeys = const std::vector<std::string>*;

/// Calls `act` with the entries of `match` whose keys count.
template <typename Act>
void for_each_entry(const MetadataMatch& match, SubsetKeys keys, const Act& act) {
  for (const MetadataEntry& entry : match) {
    if (keys == nullptr || std::ranges::binary_search(*keys, entry.key)) act(entry);
  }
}

[[nodiscard]] inline std::uint64_t subset_hash(const MetadataMatch& match, SubsetKeys keys) {
  std::uint64_t hash = 0;
  for_each_entry(match, keys, [&](const MetadataEntry& entry) { hash = xx_hash_64(entry.value, xx_hash_64(entry.key, hash)); });
  return hash;
}

/// Null: none has these keys and values, no less and no more.
[[nodiscard]] inline const Subset* find_subset(const Subsets& subsets, const MetadataMatch& match, SubsetKeys keys) {
  const auto [begin, end] = subsets.by_hash.equal_range(subset_hash(match, keys));
  for (auto at = begin; at != end; ++at) {
    const Subset& subset = subsets.subsets[at->second];
    auto expected = subset.match.begin();
    bool same = true;
    for_each_entry(match, keys, [&](const MetadataEntry& entry) {
      same = same && expected != subset.match.end() && *expected == entry;
      if (same) ++expected;
    });
    if (same && expected == subset.match.end()) return &subset;
  }
  return nullptr;
}

/// The selector of exactly these keys; null: none.
[[nodiscard]] inline const SubsetSelector* find_selector(const Subsets& subsets, const MetadataMatch& match, SubsetKeys keys) {
  for (const SubsetSelector& selector : subsets.selectors) {
    auto expected = selector.keys.begin();
    bool same = true;
    for_each_entry(match, keys, [&](const MetadataEntry& entry) {
      same = same && expected != selector.keys.end() && *expected == entry.key;
      if (same) ++expected;
    });
    if (same && expected == selector.keys.end()) return &selector;
  }
  return nullptr;
}

}  // namespace millrace::config
