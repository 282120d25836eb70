#include "control-agent/translate_aggregate.h"

#include <unordered_set>

#include "config/model/cluster.h"
#include "control-agent/translate_common.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/clusters/aggregate/v3/cluster.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::Cluster;
using envoy::extensions::clusters::aggregate::v3::ClusterConfig;

namespace {

// What a cluster without endpoints of its own has no use for.
void refuse_what_is_of_endpoints(const Cluster& cluster, const std::string& path, Diagnostics& diagnostics) {
  const auto refuse = [&](bool is_set, std::string_view field) {
    if (is_set) diagnostics.error(join_path(path, field), "is not used by an aggregate cluster: say it in its members");
  };
  refuse(cluster.has_load_assignment(), "load_assignment");
  refuse(cluster.has_lb_subset_config(), "lb_subset_config");
  refuse(cluster.health_checks_size() > 0, "health_checks");
  refuse(cluster.has_outlier_detection(), "outlier_detection");
}

}  // namespace

std::vector<std::string> translate_aggregate(const Cluster& cluster, const std::string& path, Diagnostics& diagnostics) {
  if (cluster.cluster_discovery_type_case() != Cluster::kClusterType) return {};
  const auto config = unpack<ClusterConfig>(cluster.cluster_type().typed_config());
  if (!config) {
    diagnostics.error(join_path(path, "cluster_type.typed_config"),
                      "must be an envoy.extensions.clusters.aggregate.v3.ClusterConfig: there is no other cluster_type");
    return {};
  }
  refuse_what_is_of_endpoints(cluster, path, diagnostics);
  const std::string list = join_path(path, kAggregateMembers);
  const auto count = static_cast<std::size_t>(config->clusters_size());
  if (count > config::kMostAggregateMembers) {
    diagnostics.error(list,
                      "holds " + std::to_string(count) + " clusters, more than " + std::to_string(config::kMostAggregateMembers));
  }
  std::vector<std::string> out;
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& name = config->clusters(static_cast<int>(i));
    if (!seen.insert(name).second) diagnostics.error(index_path(list, i), "names \"" + name + "\" a second time");
    out.push_back(name);
  }
  return out;
}

}  // namespace millrace::agent
