// envoy.config.cluster.v3.Cluster -> config::Cluster, in two steps: the frame once for a message, then the endpoints as often as
// they change. What the steps share, TLS contexts above all, stays the same for all versions of the endpoints.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/model/cluster.h"
#include "control-agent/translate.h"
#include "control-agent/translate_dns.h"
#include "control-agent/translate_health_check.h"
#include "control-agent/translate_load_balancing.h"
#include "control-agent/translate_tls.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace millrace::agent {

/// A cluster without endpoints. Not copied: its parts refer to each other.
struct ClusterFrame {
  ClusterFrame(const envoy::config::cluster::v3::Cluster& source, const std::string& path, TranslateContext& context)
      : sockets(source, path, context), targets(source, sockets) {}
  ClusterFrame(const ClusterFrame&) = delete;
  ClusterFrame& operator=(const ClusterFrame&) = delete;

  config::Cluster cluster = {};
  BalancingPlan plan = {};
  UpstreamSockets sockets;
  HealthTargets targets;
  std::optional<DnsPlan> dns = {};  ///< of clusters whose endpoints are names
  bool is_discovered = false;       ///< type EDS: its endpoints are a resource of their own
};

[[nodiscard]] std::shared_ptr<const ClusterFrame> translate_cluster_frame(const envoy::config::cluster::v3::Cluster& cluster,
                                                                          const std::string& path, TranslateContext& context);

/// The frame with the endpoints of `assignment`, which stands at `path`; `names`: what those of the endpoints stand for, null as
/// long as nothing is known of them.
[[nodiscard]] std::shared_ptr<const config::Cluster> fill_cluster(
    const ClusterFrame& frame, const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment, const std::string& path,
    const ResolvedNames* names, TranslateContext& context);

}  // namespace millrace::agent
