// The connections of one worker to one endpoint, and the requests that wait for one.
//
// A request takes the idle connection that was used last (the others can age and close); if there is none it queues and, unless
// enough connections are on their way, opens one. A connection that becomes free serves the queue before it goes idle. A failed
// attempt to connect fails every request in the queue, as in Envoy: what waits there must not wait for ever.
// Circuit breakers limit all of it (breakers/): requests of each routing priority have a pool, and so connections, of their own.
// A connection that the origin closes while our request is on its way fails that request: whether it is tried again, its route's
// policy says. Idle connections are watched, and one with anything to read, an end included, is never handed out.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/model/cluster.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/proxy/breakers/circuit_breakers.h"
#include "dataplane/proxy/outlier_watch.h"
#include "dataplane/proxy/proxy_protocol_writer.h"
#include "dataplane/proxy/upstream_connection.h"
#include "dataplane/proxy/upstream_request.h"
#include "dataplane/secure/tls_layer.h"

namespace millrace::proxy {

class ClusterRuntime;

/// Whether a connection made by the one could have been made by the other. Null is plain text.
[[nodiscard]] bool same_tls(const config::UpstreamTls* a, const config::UpstreamTls* b);

/// The same, and whether both are told the same of clients.
[[nodiscard]] bool same_transport(const config::Endpoint& a, const config::Endpoint& b);

/// What sets connections to one endpoint apart from others to it.
struct ConnectionUse {
  std::string_view server_name = {};      ///< what they ask for in TLS (auto_sni); empty: what the configuration says
  const ProxiedClient* client = nullptr;  ///< whom they are for; null: anybody
  bool is_tunnel = false;                 ///< each carries the bytes of one CONNECT, and no HTTP
};

class ConnectionPool {
 public:
  /// Of requests of the default priority; of others: for_priority().
  ConnectionPool(Runtime& runtime, ClusterRuntime& cluster, const config::Endpoint& endpoint);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  /// Connects `request` now, queues it, or fails it. After take_place().
  void request(UpstreamRequest& request, Instant now);
  /// The server's name depends on the request (auto_sni): ask for_use().
  [[nodiscard]] bool wants_server_name() const { return tls_ != nullptr && (tls_->auto_sni || tls_->auto_san_validation); }
  /// What a connection says of the client that it is made for: ask for_use(). Null: nothing.
  [[nodiscard]] const config::ProxyProtocolOut* proxy_protocol() const { return endpoint_.extras().proxy_protocol.get(); }
  /// The connections to this endpoint for one use; others do not share them. When there are kMostNames, or kMostClients where
  /// clients are told, those without a request make room. Null: all have one.
  [[nodiscard]] ConnectionPool* for_use(const ConnectionUse& use, Instant now);
  /// The connections to this endpoint for requests of `priority`.
  [[nodiscard]] ConnectionPool& for_priority(config::RoutingPriority priority) {
    return priority == priority_ ? *this : of_another_priority(priority);
  }
  /// Counts it among the cluster's pools, until it has neither connection nor request. False: there are too many.
  [[nodiscard]] bool take_place(Instant now) { return has_place_ || find_place(now); }
  static constexpr std::size_t kMostNames = 1'024;
  static constexpr std::size_t kMostClients = 16'384;
  /// A queued request is given up.
  void cancel(UpstreamRequest& request);
  /// The endpoint is gone from the configuration: idle connections close, those in use do when they become free.
  void retire(Instant now);
  /// The endpoint is (again) as `endpoint` says, which is protected in the same way; where its name leads elsewhere now, the
  /// connections that there are stay.
  void revive(const config::Endpoint& endpoint);
  [[nodiscard]] bool is_retired() const { return retired_; }
  /// The endpoint's name; empty: it has none.
  [[nodiscard]] std::string_view hostname() const { return endpoint_.extras().hostname; }
  [[nodiscard]] bool is_canary() const { return endpoint_.canary; }
  [[nodiscard]] std::uint32_t priority() const { return endpoint_.priority; }
  /// By active health checks.
  [[nodiscard]] bool is_probed() const { return endpoint_.extras().health_target != nullptr; }
  /// No connection and no request: may be destroyed.
  [[nodiscard]] bool is_unused() const;
  // Connections that wait for burial and streams that chose the endpoint refer to it.
  void pin() { ++pins_; }
  void unpin() { --pins_; }

  [[nodiscard]] const config::Endpoint& endpoint() const { return endpoint_; }
  /// Where new connections go.
  [[nodiscard]] const SocketAddress& address() const { return endpoint_.address; }
  /// The path of a Unix socket, which address() stands for; empty: it is an IP address.
  [[nodiscard]] const std::string& pipe() const { return endpoint_.extras().pipe; }
  [[nodiscard]] const config::UpstreamTls* tls() const { return tls_.get(); }
  [[nodiscard]] const std::string& server_name() const { return server_name_; }
  /// Its connections carry the bytes of one CONNECT each.
  [[nodiscard]] bool is_for_tunnels() const { return is_for_tunnels_; }
  /// Null: its connections are for anybody.
  [[nodiscard]] const ProxiedClient* client() const { return client_ ? &*client_ : nullptr; }
  /// What its connections have to resume.
  [[nodiscard]] secure::SessionCache& sessions() { return sessions_; }
  [[nodiscard]] const report::EndpointCell& cell() const { return *cell_; }
  [[nodiscard]] ClusterRuntime& cluster() const { return cluster_; }
  [[nodiscard]] const config::Cluster& config() const;
  [[nodiscard]] report::ClusterStats& cluster_stats() const;
  [[nodiscard]] report::EndpointStats& endpoint_stats() const { return stats_; }

  // Circuit breakers.
  /// Counts one more connection to the endpoint; false when that would be too many, for it or for the cluster.
  [[nodiscard]] bool take_connection();
  void release_connection();
  /// A request of it has let go of its connection.
  void release_request() { breakers_.release(BreakerResource::kRequests); }

  // Outlier detection, where it is configured.
  void on_status(std::uint16_t status, Instant now) {
    if (OutlierDetector* detector = outlier_watch_.detector()) detector->on_status(*cell_, status, now);
  }
  void on_request_connected(Instant now) {
    if (OutlierDetector* detector = outlier_watch_.detector()) detector->on_connected(*cell_, now);
  }
  void on_passed_through(Instant now) {
    if (OutlierDetector* detector = outlier_watch_.detector()) detector->on_passed_through(*cell_, now);
  }
  void on_failure(LocalFailure failure, Instant now) {
    if (OutlierDetector* detector = outlier_watch_.detector()) detector->on_failure(*cell_, failure, now);
  }

  /// A response has x-envoy-immediate-health-check-fail.
  void on_going(Instant now);

  // From its connections.
  void on_connected(UpstreamConnection& connection, Instant now);
  void on_connect_failed(UpstreamConnection& connection, UpstreamFailure failure, std::string_view transport_failure,
                         Instant now);
  /// The connection could take a request (again).
  void on_available(UpstreamConnection& connection, Instant now);
  /// The connection is out of the pool: it closes.
  void on_leaving(UpstreamConnection& connection, Instant now);

 private:
  // One that shares the endpoint's limits with `root`.
  ConnectionPool(ConnectionPool& root, config::RoutingPriority priority, const ConnectionUse& use);

  [[nodiscard]] ConnectionPool& of_another_priority(config::RoutingPriority priority);
  [[nodiscard]] bool find_place(Instant now);
  void follow_limits();
  void force_connection();
  [[nodiscard]] bool admit(UpstreamRequest& request, Instant now);
  void close_idle_everywhere(Instant now);
  void leave_place_if_empty();
  UpstreamConnection* take_idle();
  void close_idle(Instant now);
  void open_connections(Instant now);
  void fail_pending(UpstreamFailure failure, std::string_view transport_failure, Instant now);
  void leave_queue(UpstreamRequest& request);

  Runtime& runtime_;
  ClusterRuntime& cluster_;
  config::Endpoint endpoint_;
  ConnectionPool& root_;  // maybe itself
  const config::RoutingPriority priority_;
  CircuitBreakers& breakers_;  // the cluster's for it
  OutlierWatch& outlier_watch_;
  const std::shared_ptr<const config::UpstreamTls> tls_;  // null: plain text
  const std::string server_name_;
  const bool is_for_tunnels_ = false;
  std::string client_extensions_;
  std::optional<ProxiedClient> client_;               // its extensions are the ones above
  std::unique_ptr<ConnectionPool> of_high_priority_;  // of the root
  std::map<std::string, std::unique_ptr<ConnectionPool>, std::less<>> by_use_;
  secure::SessionCache sessions_;
  std::shared_ptr<report::EndpointCell> cell_;
  report::EndpointStats& stats_;
  Lease endpoint_connections_;                       // the root's counts those of all
  IntrusiveList<UpstreamConnection, IdleTag> idle_;  // the last used first
  IntrusiveList<UpstreamRequest, PendingTag> pending_;
  std::size_t pending_count_ = 0;
  std::size_t connecting_ = 0;
  std::size_t connections_ = 0;  // connecting_ included
  std::size_t pins_ = 0;
  bool has_place_ = false;  // among the cluster's pools
  bool retired_ = false;
};

}  // namespace millrace::proxy
