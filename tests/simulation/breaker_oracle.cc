#include "tests/simulation/breaker_oracle.h"

#include <algorithm>
#include <string>

namespace millrace::sim {
namespace {

using report::BreakerResource;

std::string of_priority(std::size_t priority) { return priority == 0 ? "" : " of high priority"; }

}  // namespace

BreakerOracle::BreakerOracle(const config::Cluster& cluster, const config::CircuitBreakers& limits)
    : cell_(cluster.cell), endpoints_(cluster.endpoints), limits_(limits) {}

std::int64_t BreakerOracle::in_use(std::size_t priority, BreakerResource resource) const {
  std::int64_t sum = 0;
  for (const report::ClusterStats& worker : cell_->per_worker) sum += worker.breakers[priority].of(resource).value();
  return sum;
}

std::int64_t BreakerOracle::in_progress(std::size_t priority) const {
  return in_use(priority, BreakerResource::kRequests) + in_use(priority, BreakerResource::kPendingRequests);
}

// Requests that have ever waited, and those that have ever had a connection.
std::int64_t BreakerOracle::begun() const {
  std::uint64_t sum = 0;
  for (const report::ClusterStats& worker : cell_->per_worker)
    sum += worker.upstream_rq_total.value() + worker.upstream_rq_pending_total.value();
  return static_cast<std::int64_t>(sum);
}

void BreakerOracle::before_turn() {
  for (std::size_t priority = 0; priority < config::kRoutingPriorities; ++priority) {
    retries_[priority] = in_use(priority, BreakerResource::kRetries);
    in_progress_[priority] = in_progress(priority);
  }
  begun_ = begun();
}

void BreakerOracle::after_turn(Findings& findings) {
  for (std::size_t priority = 0; priority < config::kRoutingPriorities; ++priority) {
    audit_priority(priority, findings);
    audit_retries(priority, findings);
  }
  audit_endpoints(findings);
}

void BreakerOracle::audit_priority(std::size_t priority, Findings& findings) const {
  const config::BreakerThresholds& limits = limits_.thresholds[priority];
  const auto audit = [&](const char* what, BreakerResource resource, std::uint64_t limit) {
    const auto used = static_cast<std::uint64_t>(in_use(priority, resource));
    const std::uint64_t taken = cell_->breakers.peek()[priority].of(resource).taken.load();
    if (used <= limit && (used <= taken || limit == config::kUnlimited)) return;
    findings.add("gateway: " + std::to_string(used) + " " + what + of_priority(priority) + ", of " + std::to_string(taken) +
                 " that workers have taken and " + std::to_string(limit) + " that may be");
  };
  const std::uint64_t forced = cell_->per_worker.size() * endpoints_.size();
  audit("connections", BreakerResource::kConnections, limits.max_connections + forced);
  audit("waiting requests", BreakerResource::kPendingRequests, limits.max_pending_requests);
  audit("requests", BreakerResource::kRequests, limits.max_requests);
  audit("connection pools", BreakerResource::kConnectionPools, limits.max_connection_pools);
  if (!limits.retry_budget) audit("retries", BreakerResource::kRetries, limits.max_retries);
}

// A budget moves while the turn goes on, but what was in progress at any time of it was so before it, or has begun in it. What a
// smaller budget finds begun may go on.
void BreakerOracle::audit_retries(std::size_t priority, Findings& findings) const {
  const auto& budget = limits_.thresholds[priority].retry_budget;
  if (!budget) return;
  const std::int64_t retries = in_use(priority, BreakerResource::kRetries);
  const std::int64_t most_in_progress = in_progress_[priority] + begun() - begun_;
  const std::int64_t allowed = budget->allowed(most_in_progress);
  if (retries <= std::max(retries_[priority], allowed)) return;
  findings.add("gateway: " + std::to_string(retries) + " retries" + of_priority(priority) + ", while " +
               std::to_string(most_in_progress) + " requests allow " + std::to_string(allowed));
}

void BreakerOracle::audit_endpoints(Findings& findings) const {
  const std::uint32_t limit = std::ranges::max(limits_.max_connections_per_endpoint);
  if (limit == config::kUnlimited) return;
  const std::uint64_t most = limit + cell_->per_worker.size() * config::kRoutingPriorities;
  for (const config::Endpoint& endpoint : endpoints_) {
    const std::uint64_t taken = endpoint.cell->connections.peek().taken.load();
    if (taken > most)
      findings.add("gateway: " + std::to_string(taken) + " connections to " + endpoint.address.to_string() + ", and " +
                   std::to_string(limit) + " may be");
  }
}

}  // namespace millrace::sim
