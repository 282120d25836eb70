#include "dataplane/proxy/connection_pool.h"

#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

ConnectionPool::ConnectionPool(Runtime& runtime, ClusterRuntime& cluster, const config::Endpoint& endpoint)
    : runtime_(runtime),
      cluster_(cluster),
      address_(endpoint.address),
      cell_(endpoint.cell),
      stats_(cell_->per_worker[runtime.worker()]) {}

ConnectionPool::~ConnectionPool() { MR_ASSERT(is_unused()); }

const config::Cluster& ConnectionPool::config() const { return cluster_.config(); }
report::ClusterStats& ConnectionPool::cluster_stats() const { return cluster_.stats(); }

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

void ConnectionPool::retire(Instant now) {
  retired_ = true;
  while (UpstreamConnection* connection = idle_.pop_front()) connection->close(now);
}

}  // namespace millrace::proxy
