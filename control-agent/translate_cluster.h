// envoy.config.cluster.v3.Cluster -> config::Cluster, in two steps: the frame once for a message, then the endpoints as often as
// they change. What the steps share, TLS contexts above all, stays the same for all versions of the endpoints.
#pragma once

#include <memory>
#include <optional>
#include <set>
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

/// What endpoints are made with. Not copied: its parts refer to each other.
struct ClusterFrame {
  ClusterFrame(const envoy::config::cluster::v3::Cluster& source, const std::string& path, TranslateContext& context)
      : sockets(source, path, context), targets(source, sockets) {}
  ClusterFrame() : targets(sockets) {}
  ClusterFrame(const ClusterFrame&) = delete;
  ClusterFrame& operator=(const ClusterFrame&) = delete;

  BalancingPlan plan = {};
  UpstreamSockets sockets;
  HealthTargets targets;
  std::optional<DnsPlan> dns = {};    ///< of clusters whose endpoints are names
  std::set<SecretName> secrets = {};  ///< of control planes, that its endpoints' TLS is made of

  /// Endpoints are plain addresses, as those of most clusters: all that are so can have the same frame.
  [[nodiscard]] bool is_plain() const {
    return plan == BalancingPlan() && sockets.empty() && targets.empty() && !dns && secrets.empty();
  }
};

struct TranslatedCluster {
  std::shared_ptr<const ClusterFrame> frame;
  std::shared_ptr<const config::Cluster> cluster;  ///< without endpoints
};
[[nodiscard]] TranslatedCluster translate_cluster(const envoy::config::cluster::v3::Cluster& cluster, const std::string& path,
                                                  TranslateContext& context);

/// `cluster` with the endpoints of `assignment`, which stands at `path`, instead of its own; `names`: what those of the endpoints
/// stand for, null as long as nothing is known of them.
[[nodiscard]] std::shared_ptr<const config::Cluster> fill_cluster(
    const ClusterFrame& frame, const config::Cluster& cluster,
    const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment, const std::string& path, const ResolvedNames* names,
    TranslateContext& context);

}  // namespace millrace::agent
