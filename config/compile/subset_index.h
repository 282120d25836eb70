// Which endpoints each subset of a cluster has, and how the subset of a request is found.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "config/model/subsets.h"

namespace millrace::config {

/// What one endpoint has under "envoy.lb". A key has several values where list_as_any takes a list apart.
using EndpointMetadata = std::map<std::string, std::vector<std::string>>;

/// A cluster may have that many; the rest is not made.
inline constexpr std::size_t kMostSubsets = 100'000;

/// Fills `subsets.subsets` and its index: for each selector, a subset for each combination of values that an endpoint has of its
/// keys. Likewise the endpoints of the default subset, whose match is set. False: there are more than kMostSubsets.
[[nodiscard]] bool index_subsets(std::span<const EndpointMetadata> endpoints, Subsets& subsets);

}  // namespace millrace::config
