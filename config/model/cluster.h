// Clusters and their endpoints. Source: envoy.config.cluster.v3.Cluster, envoy.config.endpoint.v3.ClusterLoadAssignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/model/circuit_breakers.h"
#include "config/model/health_check.h"
#include "config/model/load_balancing.h"
#include "config/model/outlier_detection.h"
#include "config/model/proxy_protocol.h"
#include "config/model/subsets.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/keep_alive.h"
#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"

namespace millrace::tls {
class ContextSlot;
}

namespace millrace::config {

/// How connections to an endpoint are protected: an UpstreamTlsContext, with what HttpProtocolOptions say of its names.
struct UpstreamTls {
  std::string name;                        ///< of the entry of transport_socket_matches; empty: the cluster's transport_socket
  std::shared_ptr<tls::ContextSlot> slot;  ///< never null
  bool auto_sni = false;                   ///< the request's host is the server's name, instead of the context's
  bool auto_san_validation = false;        ///< and has to be a name of its certificate
  std::string
      sni_header;  ///< override_auto_sni_header, in lower case: stands in for the host where a request has it; empty: none
};

/// What few endpoints have, or many in common: those of a cluster that say the same share one.
struct EndpointExtras {
  std::string hostname;  ///< empty: none
  /// What transport_socket_matches, or else transport_socket, chose for it; null: plain text.
  std::shared_ptr<const UpstreamTls> tls;
  std::shared_ptr<const HealthTarget> health_target;  ///< null: it is not probed
  /// Where connections to it are tried, one after another and then beside each other, its address among them; null: there alone.
  std::shared_ptr<const std::vector<SocketAddress>> attempts;
  /// What it is told of clients before all else; null: nothing. Chosen with `tls`.
  std::shared_ptr<const ProxyProtocolOut> proxy_protocol;
  std::string pipe;  ///< the path of a Unix socket, which the address stands for; empty: it is an IP address

  /// The same parts, not such as say the same.
  bool operator==(const EndpointExtras&) const = default;
};
inline const EndpointExtras kNoExtras{};

/// A large world has a hundred thousand of them: one cache line each.
struct Endpoint {
  SocketAddress address;
  bool healthy : 1 = true;    ///< the control plane's health_status: UNKNOWN, HEALTHY and DEGRADED count as healthy
  bool degraded : 1 = false;  ///< DEGRADED: healthy, but chosen only when others do not suffice
  bool draining : 1 = false;  ///< DRAINING: not healthy, and no part of the whole that health is measured by
  bool canary : 1 = false;    ///< by its metadata: envoy.lb, canary
  std::uint32_t weight = 1;   ///< 1 to 2^32-1, relative within the cluster
  std::uint32_t priority = 0;
  std::uint32_t locality = 0;                                ///< index into Cluster::localities
  std::shared_ptr<report::EndpointCell> cell;                ///< outlives this snapshot
  std::shared_ptr<const EndpointExtras> shared_extras = {};  ///< null: it has none

  [[nodiscard]] const EndpointExtras& extras() const { return shared_extras != nullptr ? *shared_extras : kNoExtras; }
  /// A copy for this endpoint alone, to be changed.
  [[nodiscard]] EndpointExtras& own_extras() {
    auto own = std::make_shared<EndpointExtras>(extras());
    shared_extras = own;
    return *own;
  }
  /// As Envoy writes it: "198.18.0.2:80", or a path.
  [[nodiscard]] std::string address_text() const { return extras().pipe.empty() ? address.to_string() : extras().pipe; }
};
static_assert(sizeof(Endpoint) == 64);

/// How an endpoint stands in the choice of load balancing.
enum class EndpointHealth : std::uint8_t {
  kHealthy,
  kDegraded,   ///< chosen only when the healthy do not suffice
  kUnhealthy,  ///< chosen only in panic
  kExcluded,   ///< the same, and health is measured as if it were not there
};

/// By what the control plane says and what has been found here.
[[nodiscard]] inline EndpointHealth health_of(const Endpoint& endpoint) {
  using enum report::EndpointFault;
  const auto has = [&](report::EndpointFault fault) { return endpoint.cell != nullptr && endpoint.cell->has(fault); };
  if (endpoint.draining || has(kAwaitsHealthCheck) || has(kFailedAtOnce)) return EndpointHealth::kExcluded;
  if (!endpoint.healthy || has(kFailedHealthCheck) || has(kEjected)) return EndpointHealth::kUnhealthy;
  return endpoint.degraded || has(kDegraded) ? EndpointHealth::kDegraded : EndpointHealth::kHealthy;
}

/// envoy.extensions.upstreams.http.v3.HttpProtocolOptions and the fields of Cluster that it replaced.
struct UpstreamHttpOptions {
  Duration idle_timeout = Duration::seconds(3600);  ///< of a pooled connection; zero: none
  std::uint32_t max_requests_per_connection = 0;    ///< 0: no limit
  std::uint32_t max_response_headers_bytes = 60 * 1024;
  std::uint32_t max_headers_count = 100;
  Duration max_connection_duration = Duration::infinite();
  Duration max_stream_duration = {};  ///< of each try, from when it has a connection; zero: none
};

/// Of a cluster of type ORIGINAL_DST: where requests and connections go is where they were meant to go. Source:
/// envoy.config.cluster.v3.Cluster.OriginalDstLbConfig.
struct OriginalDst {
  std::string http_header;      ///< whose first value overrides it, in lower case; empty: none
  std::string metadata_filter;  ///< whose metadata does, with the text at `metadata_path`; empty: none
  std::vector<std::string> metadata_path = {};
  std::optional<std::uint16_t> port_override = {};   ///< of all of them
  Duration cleanup_interval = Duration::seconds(5);  ///< after which an endpoint goes that nobody has used
  Endpoint endpoint = {};                            ///< what each has; where it is made it gets its address and its cell
};

/// Each has at least one priority, and load balancing knows as many.
inline constexpr std::size_t kMostAggregateMembers = 129;

/// That an endpoint may have.
inline constexpr std::size_t kMostAddresses = 8;

/// In which order addresses of both families are tried (RFC 8305 4): so many of the first, one of the other, and again.
struct HappyEyeballs {
  enum class First : std::uint8_t { kAsGiven, kV4, kV6 };
  First first = First::kAsGiven;  ///< kAsGiven: the family of the first address
  std::uint32_t first_count = 1;  ///< at least 1
};

struct Cluster {
  std::string name;
  std::string alt_stat_name;   ///< empty: the name
  bool added_via_api = false;  ///< not of the bootstrap
  /// Of an aggregate: the clusters whose endpoints it has, the preferred one first; it has none of its own.
  std::vector<std::string> members;
  std::shared_ptr<const OriginalDst> original_dst;  ///< null: it is of another type
  Duration connect_timeout = Duration::seconds(5);
  std::optional<KeepAlive> keep_alive;  ///< of connections to its endpoints; nothing: as the dataplane's
  HappyEyeballs happy_eyeballs;
  LoadBalancing load_balancing = LoadBalancing::kRoundRobin;
  std::uint32_t least_request_choices = 2;
  LoadBalancingOptions balancing;
  std::uint32_t buffer_limit_bytes = 1024 * 1024;  ///< per_connection_buffer_limit_bytes
  UpstreamHttpOptions http;
  CircuitBreakers breakers;
  std::optional<OutlierDetection> outlier_detection;
  std::shared_ptr<const HealthCheck> health_check;  ///< null: endpoints are not probed
  std::vector<Endpoint> endpoints;
  std::vector<Locality> localities;                           ///< empty: all endpoints are of one
  std::vector<std::shared_ptr<const HashTable>> hash_tables;  ///< by priority; of kRingHash and kMaglev
  std::shared_ptr<const Subsets> subsets;                     ///< null: requests may go to all
  std::uint64_t healthy_weight = 0;                           ///< sum over the healthy endpoints
  std::shared_ptr<report::ClusterCell> cell;

  [[nodiscard]] bool is_aggregate() const { return !members.empty(); }
  /// Zones of its endpoints matter, if there is a local cluster.
  [[nodiscard]] bool is_zone_aware() const {
    return !balancing.locality_weighted && load_balancing != LoadBalancing::kRingHash && load_balancing != LoadBalancing::kMaglev;
  }
};

/// Where an endpoint of that cluster is; without a name where the cluster has no localities.
[[nodiscard]] inline const Locality& locality_of(const Cluster& cluster, const Endpoint& endpoint) {
  static const Locality kNone;
  return endpoint.locality < cluster.localities.size() ? cluster.localities[endpoint.locality] : kNone;
}

}  // namespace millrace::config
