#include "dataplane/proxy/connection_pool.h"

#include <algorithm>

#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

bool same_tls(const config::UpstreamTls* a, const config::UpstreamTls* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->slot == b->slot && a->auto_sni == b->auto_sni && a->auto_san_validation == b->auto_san_validation &&
         a->sni_header == b->sni_header;
}

ConnectionPool::ConnectionPool(Runtime& runtime, ClusterRuntime& cluster, const config::Endpoint& endpoint,
                               std::string_view server_name)
    : runtime_(runtime),
      cluster_(cluster),
      endpoint_(endpoint),
      address_(endpoint.address),
      tls_(endpoint.tls),
      server_name_(server_name),
      cell_(endpoint.cell),
      stats_(cell_->per_worker[runtime.worker()]) {}

ConnectionPool::~ConnectionPool() { MR_ASSERT(is_unused()); }

const config::Cluster& ConnectionPool::config() const { return cluster_.config(); }
report::ClusterStats& ConnectionPool::cluster_stats() const { return cluster_.stats(); }

bool ConnectionPool::is_unused() const {
  const auto unused = [](const auto& named) { return named.second->is_unused(); };
  return connections_ == 0 && pending_count_ == 0 && pins_ == 0 && std::ranges::all_of(by_name_, unused);
}

ConnectionPool* ConnectionPool::for_server_name(std::string_view name, Instant now) {
  if (const auto at = by_name_.find(name); at != by_name_.end()) return at->second.get();
  if (by_name_.size() >= kMostNames) {
    for (const auto& [known, pool] : by_name_) pool->close_idle(now);
    std::erase_if(by_name_, [](const auto& named) { return named.second->is_unused(); });
  }
  if (by_name_.size() >= kMostNames) return nullptr;
  auto made = std::make_unique<ConnectionPool>(runtime_, cluster_, endpoint_, name);
  made->retired_ = retired_;
  return by_name_.emplace(std::string(name), std::move(made)).first->second.get();
}

void ConnectionPool::revive(const config::Endpoint& endpoint) {
  endpoint_ = endpoint;
  retired_ = false;
  for (const auto& [name, pool] : by_name_) pool->revive(endpoint);
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
    connection->attach(request, now);
    return;
  }
  auto& stats = cluster_stats();
  if (cluster_.pending_requests() >= runtime_.context.limits.cluster_pending_requests) {
    stats.upstream_rq_pending_overflow.add();
    request.on_pool_failure(UpstreamFailure::kOverflow, {}, now);
    return;
  }
  pending_.push_back(request);
  ++pending_count_;
  cluster_.add_pending(1);
  stats.upstream_rq_pending_total.add();
  stats.upstream_rq_pending_active.add();
  open_connections(now);
}

void ConnectionPool::leave_queue(UpstreamRequest& request) {
  pending_.remove(request);
  --pending_count_;
  cluster_.add_pending(-1);
  cluster_stats().upstream_rq_pending_active.subtract();
}

void ConnectionPool::cancel(UpstreamRequest& request) { leave_queue(request); }

// One connection on its way for each waiting request. Beyond the cluster's limit requests wait for a connection of this endpoint
// to become free; an endpoint without any gets one all the same, or its requests would wait for nothing.
void ConnectionPool::open_connections(Instant now) {
  while (connecting_ < pending_count_) {
    if (connections_ > 0 && cluster_.connections() >= runtime_.context.limits.cluster_connections) {
      cluster_stats().upstream_cx_overflow.add();
      return;
    }
    UpstreamConnection* connection = runtime_.upstream_pool.make(runtime_, *this);
    if (connection == nullptr) {
      cluster_stats().upstream_cx_overflow.add();
      if (connections_ == 0) fail_pending(UpstreamFailure::kOverflow, {}, now);
      return;
    }
    ++connecting_;
    ++connections_;
    cluster_.add_connections(1);
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
  if (!pending_.empty()) {
    UpstreamRequest& request = pending_.front();
    leave_queue(request);
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
  cluster_.add_connections(-1);
  open_connections(now);
}

void ConnectionPool::close_idle(Instant now) {
  while (UpstreamConnection* connection = idle_.pop_front()) connection->close(now);
}

void ConnectionPool::retire(Instant now) {
  retired_ = true;
  close_idle(now);
  for (const auto& [name, pool] : by_name_) pool->retire(now);
}

}  // namespace millrace::proxy
