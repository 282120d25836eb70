#include "dataplane/proxy/connection_pool.h"

#include <algorithm>

#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

// Behind a server's name, which holds no such bytes.
constexpr char kTunnel = '\1';
constexpr char kClient = '\0';

void append_client(const ProxiedClient& client, std::string& key) {
  key.push_back(kClient);
  for (const SocketAddress& address : {client.source, client.destination}) {
    for (const std::uint8_t byte : address.ip.bytes()) key.push_back(static_cast<char>(byte));
    key.push_back(static_cast<char>(address.port >> 8));
    key.push_back(static_cast<char>(address.port));
  }
  key += client.extensions;
}

}  // namespace

bool same_transport(const config::Endpoint& a, const config::Endpoint& b) {
  if (a.shared_extras == b.shared_extras) return true;
  const auto& header = a.extras().proxy_protocol;
  const auto& other = b.extras().proxy_protocol;
  const bool same_header = header == nullptr || other == nullptr ? header == other : *header == *other;
  return same_header && same_tls(a.extras().tls.get(), b.extras().tls.get());
}

bool same_tls(const config::UpstreamTls* a, const config::UpstreamTls* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->slot == b->slot && a->auto_sni == b->auto_sni && a->auto_san_validation == b->auto_san_validation &&
         a->sni_header == b->sni_header;
}

ConnectionPool::ConnectionPool(Runtime& runtime, ClusterRuntime& cluster, const config::Endpoint& endpoint)
    : runtime_(runtime),
      cluster_(cluster),
      endpoint_(endpoint),
      root_(*this),
      priority_(config::RoutingPriority::kDefault),
      breakers_(cluster.breakers(priority_)),
      outlier_watch_(cluster.outlier_watch()),
      tls_(endpoint.extras().tls),
      cell_(endpoint.cell),
      stats_(cell_->per_worker[runtime.worker()]),
      endpoint_connections_(cell_->connections.get()) {
  follow_limits();
}

ConnectionPool::ConnectionPool(ConnectionPool& root, config::RoutingPriority priority, const ConnectionUse& use)
    : runtime_(root.runtime_),
      cluster_(root.cluster_),
      endpoint_(root.endpoint_),
      root_(root),
      priority_(priority),
      breakers_(cluster_.breakers(priority_)),
      outlier_watch_(cluster_.outlier_watch()),
      tls_(root.tls_),
      server_name_(use.server_name),
      is_for_tunnels_(use.is_tunnel),
      cell_(root.cell_),
      stats_(root.stats_),
      endpoint_connections_(cell_->connections.get()),
      retired_(root.retired_) {
  if (use.client == nullptr) return;
  client_extensions_ = use.client->extensions;
  client_ = {use.client->source, use.client->destination, client_extensions_};
}

ConnectionPool::~ConnectionPool() { MR_ASSERT(is_unused()); }

const config::Cluster& ConnectionPool::config() const { return cluster_.config(); }
report::ClusterStats& ConnectionPool::cluster_stats() const { return cluster_.stats(); }

void ConnectionPool::on_going(Instant now) { cluster_.health_watch().fail_at_once(endpoint_, now); }

bool ConnectionPool::is_unused() const {
  const auto unused = [](const auto& named) { return named.second->is_unused(); };
  if (of_high_priority_ != nullptr && !of_high_priority_->is_unused()) return false;
  return connections_ == 0 && pending_count_ == 0 && pins_ == 0 && std::ranges::all_of(by_use_, unused);
}

ConnectionPool* ConnectionPool::for_use(const ConnectionUse& use, Instant now) {
  std::string key(use.server_name);
  if (use.is_tunnel) key.push_back(kTunnel);
  if (use.client != nullptr) append_client(*use.client, key);
  if (const auto at = by_use_.find(key); at != by_use_.end()) return at->second.get();
  const std::size_t most = use.client != nullptr ? kMostClients : kMostNames;
  const auto unused = [](const auto& named) { return named.second->is_unused(); };
  if (by_use_.size() >= most) std::erase_if(by_use_, unused);
  if (by_use_.size() >= most) {
    for (const auto& [known, pool] : by_use_) pool->close_idle(now);
    std::erase_if(by_use_, unused);
  }
  if (by_use_.size() >= most) return nullptr;
  std::unique_ptr<ConnectionPool> made(new ConnectionPool(root_, priority_, use));
  return by_use_.emplace(std::move(key), std::move(made)).first->second.get();
}

ConnectionPool& ConnectionPool::of_another_priority(config::RoutingPriority priority) {
  if (of_high_priority_ == nullptr) of_high_priority_.reset(new ConnectionPool(*this, priority, {}));
  return *of_high_priority_;
}

// Each connection is counted by itself, as soon as any priority has a limit: they have different ones of the same count.
void ConnectionPool::follow_limits() {
  const auto& limits = config().breakers.max_connections_per_endpoint;
  const bool limited = std::ranges::any_of(limits, [](std::uint32_t limit) { return limit != config::kUnlimited; });
  endpoint_connections_.set_limit(limited ? 0 : config::kUnlimited, cell_->per_worker.size());
}

bool ConnectionPool::take_connection() {
  Lease& of_endpoint = root_.endpoint_connections_;
  if (!of_endpoint.take_below(config().breakers.connections_per_endpoint(priority_))) return false;
  if (breakers_.take(BreakerResource::kConnections)) return true;
  of_endpoint.release();
  return false;
}

void ConnectionPool::force_connection() {
  root_.endpoint_connections_.force();
  breakers_.force(BreakerResource::kConnections);
}

void ConnectionPool::release_connection() {
  root_.endpoint_connections_.release();
  breakers_.release(BreakerResource::kConnections);
}

bool ConnectionPool::find_place(Instant now) {
  has_place_ = breakers_.take(BreakerResource::kConnectionPools);
  if (has_place_) return true;
  // As in Envoy, one of the same endpoint that has nothing to do makes room.
  root_.close_idle_everywhere(now);
  has_place_ = breakers_.take(BreakerResource::kConnectionPools);
  return has_place_;
}

void ConnectionPool::leave_place_if_empty() {
  if (!has_place_ || connections_ > 0 || pending_count_ > 0) return;
  has_place_ = false;
  breakers_.release(BreakerResource::kConnectionPools);
}

void ConnectionPool::revive(const config::Endpoint& endpoint) {
  endpoint_ = endpoint;
  retired_ = false;
  if (&root_ == this) follow_limits();
  if (of_high_priority_ != nullptr) of_high_priority_->revive(endpoint);
  for (const auto& [name, pool] : by_use_) pool->revive(endpoint);
}

UpstreamConnection* ConnectionPool::take_idle() {
  for (UpstreamConnection& connection : idle_) {
    if (!connection.can_take_request()) continue;  // it has something to tell first
    idle_.remove(connection);
    return &connection;
  }
  return nullptr;
}

void ConnectionPool::request(UpstreamRequest& request, Instant now) {
  if (UpstreamConnection* connection = take_idle()) {
    if (admit(request, now)) {
      connection->attach(request, now);
    } else {
      idle_.push_front(*connection);
    }
    return;
  }
  auto& stats = cluster_stats();
  if (!breakers_.take(BreakerResource::kPendingRequests)) {
    stats.upstream_rq_pending_overflow.add();
    request.on_pool_failure(UpstreamFailure::kOverflow, {}, now);
    leave_place_if_empty();
    return;
  }
  pending_.push_back(request);
  ++pending_count_;
  stats.upstream_rq_pending_total.add();
  stats.upstream_rq_pending_active.add();
  open_connections(now);
  leave_place_if_empty();
}

// It has a connection: fails it when there are too many requests all the same.
bool ConnectionPool::admit(UpstreamRequest& request, Instant now) {
  if (breakers_.take(BreakerResource::kRequests)) return true;
  cluster_stats().upstream_rq_pending_overflow.add();
  request.on_pool_failure(UpstreamFailure::kOverflow, {}, now);
  return false;
}

void ConnectionPool::leave_queue(UpstreamRequest& request) {
  pending_.remove(request);
  --pending_count_;
  breakers_.release(BreakerResource::kPendingRequests);
  cluster_stats().upstream_rq_pending_active.subtract();
}

void ConnectionPool::cancel(UpstreamRequest& request) { leave_queue(request); }

// One connection on its way for each waiting request. Beyond the limits requests wait for a connection of this pool to become
// free; a pool without any gets one all the same, as in Envoy, or its requests would wait for nothing.
void ConnectionPool::open_connections(Instant now) {
  while (connecting_ < pending_count_) {
    if (!take_connection()) {
      cluster_stats().upstream_cx_overflow.add();
      if (connections_ > 0) return;
      force_connection();
    }
    UpstreamConnection* connection = runtime_.upstream_pool.make(runtime_, *this);
    if (connection == nullptr) {
      release_connection();
      cluster_stats().upstream_cx_overflow.add();
      if (connections_ == 0) fail_pending(UpstreamFailure::kOverflow, {}, now);
      return;
    }
    ++connecting_;
    ++connections_;
    connection->connect(now);  // a failure comes back as on_connect_failed() in a later service
  }
}

void ConnectionPool::fail_pending(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  // Those in the queue now; a stream that fails may start another request, which belongs to a new attempt.
  for (std::size_t left = pending_count_; left > 0 && !pending_.empty(); --left) {
    UpstreamRequest& request = pending_.front();
    leave_queue(request);
    if (failure != UpstreamFailure::kOverflow) cluster_stats().upstream_rq_pending_failure_eject.add();
    request.on_pool_failure(failure, transport_failure, now);
  }
}

void ConnectionPool::on_connected(UpstreamConnection& connection, Instant now) {
  --connecting_;
  on_available(connection, now);
}

void ConnectionPool::on_connect_failed(UpstreamConnection& connection, UpstreamFailure failure,
                                       std::string_view transport_failure, Instant now) {
  --connecting_;
  stats_.cx_connect_fail.add();
  cluster_stats().upstream_cx_connect_fail.add();
  if (failure == UpstreamFailure::kConnectionTimeout) cluster_stats().upstream_cx_connect_timeout.add();
  fail_pending(failure, transport_failure, now);
  on_leaving(connection, now);
}

void ConnectionPool::on_available(UpstreamConnection& connection, Instant now) {
  if (!connection.can_take_request()) return;  // its next service closes it
  while (!pending_.empty()) {
    UpstreamRequest& request = pending_.front();
    leave_queue(request);
    if (!admit(request, now)) continue;
    connection.attach(request, now);
    return;
  }
  if (retired_) {
    connection.close(now);
    return;
  }
  idle_.push_front(connection);
  connection.become_idle(now);
}

void ConnectionPool::on_leaving(UpstreamConnection& connection, Instant now) {
  ListNode<IdleTag>& node = connection;
  node.unlink();
  --connections_;
  release_connection();
  open_connections(now);
  leave_place_if_empty();
}

void ConnectionPool::close_idle(Instant now) {
  while (UpstreamConnection* connection = idle_.pop_front()) connection->close(now);
}

// Of the endpoint: its names', its priorities', and its own.
void ConnectionPool::close_idle_everywhere(Instant now) {
  close_idle(now);
  if (of_high_priority_ != nullptr) of_high_priority_->close_idle_everywhere(now);
  for (const auto& [name, pool] : by_use_) pool->close_idle(now);
}

void ConnectionPool::retire(Instant now) {
  retired_ = true;
  close_idle(now);
  if (of_high_priority_ != nullptr) of_high_priority_->retire(now);
  for (const auto& [name, pool] : by_use_) pool->retire(now);
}

}  // namespace millrace::proxy
