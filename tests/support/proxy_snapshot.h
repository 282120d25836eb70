// The simplest configuration of a gateway: one listener whose requests all go to the endpoints of one cluster, with an access
// log.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/compile/format_compiler.h"
#include "config/compile/route_table.h"
#include "config/model/snapshot.h"
#include "dataplane/base/assert.h"
#include "tls/context_slot.h"

namespace millrace::test {

struct ProxySnapshot {
  SocketAddress listener;
  std::vector<SocketAddress> endpoints;
  std::uint64_t version = 1;
  // The configuration's own defaults where not set.
  std::optional<Duration> route_timeout = {};
  std::optional<Duration> client_idle = {};
  std::optional<Duration> connect_timeout = {};
  std::optional<Duration> upstream_idle = {};
  std::shared_ptr<const config::RetryPolicy> retry = {};
  bool hedge_on_try_timeout = false;
  bool counts_attempts = false;  ///< x-envoy-attempt-count, towards endpoints and clients
  bool mirrored = false;         ///< to the cluster "shadow", which has the same endpoints
  bool high_priority = false;    ///< of requests to "/high"
  config::CircuitBreakers breakers = {};
  std::optional<config::OutlierDetection> outlier_detection = {};
  std::shared_ptr<const config::HealthCheck> health_check = {};
  std::size_t workers = 1;
  // TLS of the listener, and towards the endpoints; null: plain text.
  std::shared_ptr<tls::ContextSlot> listener_tls = {};
  std::shared_ptr<tls::ContextSlot> cluster_tls = {};
};

inline std::shared_ptr<config::Cluster> make_cluster(const ProxySnapshot& wanted, std::uint32_t id, const std::string& name) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = name;
  cluster->cell = std::make_shared<report::ClusterCell>(id, name, wanted.workers);
  if (wanted.connect_timeout) cluster->connect_timeout = *wanted.connect_timeout;
  if (wanted.upstream_idle) cluster->http.idle_timeout = *wanted.upstream_idle;
  cluster->breakers = wanted.breakers;
  cluster->outlier_detection = wanted.outlier_detection;
  cluster->health_check = wanted.health_check;
  std::shared_ptr<config::UpstreamTls> tls;
  if (wanted.cluster_tls != nullptr) {
    tls = std::make_shared<config::UpstreamTls>();
    tls->slot = wanted.cluster_tls;
  }
  for (const SocketAddress& endpoint : wanted.endpoints) {
    const auto endpoint_id = static_cast<std::uint32_t>(cluster->endpoints.size());
    cluster->endpoints.push_back(
        {.address = endpoint, .cell = std::make_shared<report::EndpointCell>(endpoint_id, wanted.workers)});
    if (tls != nullptr) cluster->endpoints.back().own_extras().tls = tls;
    if (wanted.health_check == nullptr) continue;
    cluster->endpoints.back().own_extras().health_target =
        std::make_shared<config::HealthTarget>(config::HealthTarget{.address = endpoint, .host = name, .tls = tls});
  }
  cluster->healthy_weight = wanted.endpoints.size();
  return cluster;
}

/// Its listener "edge" is the first; the cluster is "app". May be changed until it is published.
inline std::shared_ptr<config::Snapshot> make_snapshot(const ProxySnapshot& wanted) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = wanted.version;
  snapshot->log_sinks.push_back({"/dev/null"});

  auto routes = std::make_shared<config::RouteTable>();
  config::VirtualHost host;
  host.name = "all";
  host.domains = {"*"};
  host.include_request_attempt_count = host.include_attempt_count_in_response = wanted.counts_attempts;
  config::Route route;
  route.match.path.text = "/";
  config::ForwardAction forward;
  forward.clusters = {{.name = "app", .weight = 1, .headers = {}, .host_rewrite = {}}};
  forward.total_weight = 1;
  if (wanted.route_timeout) forward.timeout = *wanted.route_timeout;
  forward.retry = wanted.retry;
  forward.hedge_on_try_timeout = wanted.hedge_on_try_timeout;
  if (wanted.mirrored)
    forward.mirrors = std::make_shared<std::vector<config::MirrorPolicy>>(1, config::MirrorPolicy{.cluster = "shadow"});
  if (wanted.high_priority) {
    config::Route urgent = route;
    urgent.match.path.text = "/high";
    config::ForwardAction action = forward;
    action.priority = config::RoutingPriority::kHigh;
    urgent.action = std::move(action);
    host.routes.push_back(std::move(urgent));
  }
  route.action = std::move(forward);
  host.routes.push_back(std::move(route));
  routes->virtual_hosts.push_back(std::move(host));
  MR_ASSERT(config::index_domains(*routes).empty());

  auto listener = std::make_shared<config::Listener>();
  listener->name = "edge";
  listener->addresses = {wanted.listener};
  listener->cell = std::make_shared<report::ListenerCell>(0, "edge", wanted.workers);
  listener->chains.resize(1);
  listener->chains[0].tls = wanted.listener_tls;
  listener->table.fallback = 0;
  config::HttpConnectionManager& http = *listener->chains[0].http();
  http.stat_prefix = "edge";
  http.use_remote_address = true;
  if (wanted.client_idle) http.idle_timeout = *wanted.client_idle;
  http.routes = routes;
  http.cell = std::make_shared<report::HttpCell>(0, "edge", wanted.workers);
  http.access_logs = {{.sink = 0, .format = *config::compile_format(config::kDefaultAccessLogFormat)}};
  snapshot->listeners.push_back(listener);

  snapshot->clusters.set("app", make_cluster(wanted, 0, "app"));
  if (wanted.mirrored) {
    ProxySnapshot unchecked = wanted;
    unchecked.health_check = nullptr;
    snapshot->clusters.set("shadow", make_cluster(unchecked, 1, "shadow"));
  }
  return snapshot;
}

}  // namespace millrace::test
