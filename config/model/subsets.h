// Subsets of a cluster's endpoints by their metadata, and what of a route chooses one. config/compile fills the index.
// Sources: envoy.config.cluster.v3.Cluster.LbSubsetConfig, envoy.config.route.v3.RouteAction.metadata_match.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/model/load_balancing.h"

namespace millrace::config {

/// A key of the metadata "envoy.lb" and its value, as text that is the same for equal values only.
struct MetadataEntry {
  std::string key;
  std::string value;
  auto operator<=>(const MetadataEntry&) const = default;
};
/// Sorted by key; a key stands there once.
using MetadataMatch = std::vector<MetadataEntry>;

enum class SubsetFallback : std::uint8_t {
  kNone,           ///< no endpoint
  kAnyEndpoint,    ///< one of all
  kDefaultSubset,  ///< one of the default subset
  kKeysSubset,     ///< the same search with some of the keys; of selectors only
};

struct SubsetSelector {
  std::vector<std::string> keys;                ///< sorted
  std::optional<SubsetFallback> fallback = {};  ///< nothing: the cluster's
  std::vector<std::string> fallback_keys = {};  ///< of kKeysSubset: sorted, some of `keys` but not all
};

struct Subset {
  MetadataMatch match;
  std::vector<std::uint32_t> endpoints;                       ///< ascending
  std::vector<std::shared_ptr<const HashTable>> hash_tables;  ///< as Cluster::hash_tables
};

struct Subsets {
  std::vector<SubsetSelector> selectors;
  SubsetFallback fallback = SubsetFallback::kNone;
  bool panic_mode_any = false;         ///< when that finds nobody, one of all
  bool locality_weight_aware = false;  ///< localities share by their weights in subsets too
  bool scale_locality_weight = false;  ///< and these count in proportion to the endpoints that are in the subset
  std::vector<Subset> subsets;         ///< none is empty
  Subset default_subset;               ///< may be empty
  /// From subset_hash() to indices of `subsets`; what has the hash need not be what is looked for.
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash;
};

}  // namespace millrace::config
