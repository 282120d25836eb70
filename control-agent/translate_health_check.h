// envoy.config.core.v3.HealthCheck -> config::HealthCheck, and what of each endpoint is probed.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/model/cluster.h"
#include "control-agent/translate.h"
#include "control-agent/translate_tls.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"

namespace millrace::agent {

/// Null without health_checks. `path` is the cluster's.
[[nodiscard]] std::shared_ptr<const config::HealthCheck> translate_health_check(
    const envoy::config::cluster::v3::Cluster& cluster, const std::string& path, TranslateContext& context);

/// Says where the endpoints of a cluster are probed, and as whom.
class HealthTargets {
 public:
  /// Nothing is probed.
  explicit HealthTargets(const UpstreamSockets& sockets) : sockets_(sockets) {}
  /// `sockets` outlives this object.
  HealthTargets(const envoy::config::cluster::v3::Cluster& cluster, const UpstreamSockets& sockets);

  [[nodiscard]] bool empty() const { return !check_; }
  /// Of the endpoint at `address` with `extras`, which `source` says; null: it is not probed. `path` is that of `source`.
  [[nodiscard]] std::shared_ptr<const config::HealthTarget> make(const envoy::config::endpoint::v3::Endpoint& source,
                                                                 const SocketAddress& address,
                                                                 const config::EndpointExtras& extras, const std::string& path,
                                                                 Diagnostics& diagnostics) const;

 private:
  std::optional<envoy::config::core::v3::HealthCheck> check_;
  std::string host_;
  const UpstreamSockets& sockets_;
};

}  // namespace millrace::agent
