// envoy.extensions.clusters.aggregate.v3.ClusterConfig -> the members of a config::Cluster. Whether there are such clusters only
// the whole configuration says (discovery/world.h).
#pragma once

#include <string>
#include <vector>

#include "control-agent/diagnostics.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace millrace::agent {

/// Where in a cluster its members are listed.
inline constexpr const char* kAggregateMembers = "cluster_type.typed_config.clusters";

/// Empty: `cluster` is none of cluster_type envoy.clusters.aggregate, or is wrong.
[[nodiscard]] std::vector<std::string> translate_aggregate(const envoy::config::cluster::v3::Cluster& cluster,
                                                           const std::string& path, Diagnostics& diagnostics);

}  // namespace millrace::agent
