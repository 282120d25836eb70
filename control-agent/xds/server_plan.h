// Which management servers there are, and how they are spoken to: envoy.config.core.v3.ApiConfigSource with the clusters of the
// bootstrap that it names.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/diagnostics.h"
#include "control-agent/xds/xds_message.h"
#include "dataplane/base/time.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace millrace::agent {

/// A gRPC channel and what is said on it.
struct XdsServer {
  std::string name;    ///< of the cluster, or the target's URI: for the log and for identifiers
  std::string target;  ///< of gRPC: "unix:/run/xds", "ipv4:10.0.0.1:15010", "dns:///istiod:15012"
  std::string authority;
  struct Tls {
    std::string trusted_ca;         ///< PEM; empty: those of the system
    std::string certificate_chain;  ///< PEM; empty: without a client's certificate
    std::string private_key;
    std::string server_name;  ///< expected instead of the target's; empty: the target's
    bool operator==(const Tls&) const = default;
  };
  std::optional<Tls> tls;                                     ///< without: plain text
  std::vector<std::pair<std::string, std::string>> metadata;  ///< with each stream
  Duration keepalive_interval = Duration::infinite();
  Duration keepalive_timeout = Duration::seconds(20);
  Duration connect_timeout = Duration::seconds(5);

  bool operator==(const XdsServer&) const = default;
};

/// RateLimitSettings: requests on one stream.
struct XdsRateLimit {
  double max_tokens = 100;
  double fill_rate = 10;  ///< a second
};

/// A set of servers that hold the same, and the manner of asking them.
struct XdsServerGroup {
  std::vector<XdsServer> servers;  ///< at least one: each stands in for those before it
  XdsProtocol protocol = XdsProtocol::kStateOfTheWorld;
  bool node_on_first_message_only = false;
  std::optional<XdsRateLimit> rate_limit;
  Duration retry_base = Duration::milliseconds(500);
  Duration retry_max = Duration::seconds(30);
};

/// The static clusters that speak HTTP/2 and are named by the bootstrap's own sources, or have Unix sockets: management servers,
/// which the agent alone speaks with.
[[nodiscard]] std::set<std::string> management_clusters(const envoy::config::bootstrap::v3::Bootstrap& bootstrap);

/// What control planes are told about us: the node of the bootstrap, the names that were given instead of its own, what we are.
[[nodiscard]] envoy::config::core::v3::Node make_node(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                      const std::string& service_node, const std::string& service_cluster);

/// What api_config_source and ads_config mean. Names of clusters are looked for among `bootstrap`'s static ones. Nothing after an
/// error, which goes to `diagnostics` at `path`.
[[nodiscard]] std::optional<XdsServerGroup> plan_servers(const envoy::config::core::v3::ApiConfigSource& source,
                                                         const std::string& path,
                                                         const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                         Diagnostics& diagnostics);

/// Whether `source`, a control plane, can be asked: otherwise an error at `path`. Files can always. `bootstrap`: null, there is
/// no control plane.
bool check_config_source(const envoy::config::core::v3::ConfigSource& source, const std::string& path,
                         const envoy::config::bootstrap::v3::Bootstrap* bootstrap, Diagnostics& diagnostics);

/// "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters".
[[nodiscard]] std::string discovery_method(ResourceType type, XdsProtocol protocol);
[[nodiscard]] std::string aggregated_method(XdsProtocol protocol);

}  // namespace millrace::agent
