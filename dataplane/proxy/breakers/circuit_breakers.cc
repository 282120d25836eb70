#include "dataplane/proxy/breakers/circuit_breakers.h"

namespace millrace::proxy {

static_assert(report::kBreakerPriorities == config::kRoutingPriorities);

CircuitBreakers::CircuitBreakers(report::ClusterCell& cell, config::RoutingPriority priority, std::size_t worker)
    : cell_(cell),
      priority_(static_cast<std::size_t>(priority)),
      use_(cell.per_worker[worker].breakers[priority_]),
      leases_{Lease(cell.breakers.get()[priority_].counts[0]), Lease(cell.breakers.get()[priority_].counts[1]),
              Lease(cell.breakers.get()[priority_].counts[2]), Lease(cell.breakers.get()[priority_].counts[3]),
              Lease(cell.breakers.get()[priority_].counts[4])} {}

void CircuitBreakers::set_thresholds(const config::BreakerThresholds& thresholds) {
  const std::size_t workers = cell_.per_worker.size();
  lease(BreakerResource::kConnections).set_limit(thresholds.max_connections, workers);
  lease(BreakerResource::kPendingRequests).set_limit(thresholds.max_pending_requests, workers);
  lease(BreakerResource::kRequests).set_limit(thresholds.max_requests, workers);
  lease(BreakerResource::kConnectionPools).set_limit(thresholds.max_connection_pools, workers);
  // A budget moves with every request: its retries are counted one by one, and its limit asked for each time.
  retry_budget_ = thresholds.retry_budget;
  lease(BreakerResource::kRetries).set_limit(retry_budget_ ? 0 : thresholds.max_retries, workers);
}

bool CircuitBreakers::take_retry() {
  if (!retry_budget_) return take(BreakerResource::kRetries);
  if (!lease(BreakerResource::kRetries).take_below(retry_budget())) return false;
  use_.of(BreakerResource::kRetries).add();
  return true;
}

std::uint32_t CircuitBreakers::retry_budget() const {
  std::int64_t in_progress = 0;
  for (const report::ClusterStats& worker : cell_.per_worker) {
    const report::BreakerUse& use = worker.breakers[priority_];
    in_progress += use.of(BreakerResource::kRequests).value() + use.of(BreakerResource::kPendingRequests).value();
  }
  return retry_budget_->allowed(in_progress);
}

}  // namespace millrace::proxy
