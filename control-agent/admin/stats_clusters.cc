// Statistics of clusters: of their connections and requests, circuit breakers, ejections, health checks and members.
#include <algorithm>
#include <atomic>

#include "control-agent/admin/stat_collector.h"

namespace millrace::agent {
namespace {

#define MR_COLLECT_COUNTER(name) collector.counter(#name, sum(cell, &StatsType::name));
#define MR_COLLECT_GAUGE(name) collector.gauge(#name, sum(cell, &StatsType::name));
#define MR_COLLECT_HISTOGRAM(name) collector.histogram(#name, sum_histogram(cell, &StatsType::name));

void collect(const report::ClusterCell& cell, CellCollector collector) {
  using StatsType = report::ClusterStats;
  MR_CLUSTER_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
  collector.counter("membership_change", static_cast<std::int64_t>(cell.membership_change.value()));
}

#undef MR_COLLECT_COUNTER
#undef MR_COLLECT_GAUGE
#undef MR_COLLECT_HISTOGRAM

// One of the limits of a cluster and priority, as the gauges of Envoy's circuit breakers name it.
struct BreakerRow {
  std::string_view open;
  std::string_view remaining;
  report::BreakerResource resource;
  std::int64_t limit;
};

std::int64_t in_use(const report::ClusterCell& cell, std::size_t priority, report::BreakerResource resource) {
  std::int64_t total = 0;
  for (const report::ClusterStats& stats : cell.per_worker) total += stats.breakers[priority].of(resource).value();
  return total;
}

std::int64_t retry_limit(const report::ClusterCell& cell, std::size_t priority, const config::BreakerThresholds& thresholds) {
  if (!thresholds.retry_budget) return thresholds.max_retries;
  const std::int64_t in_progress = in_use(cell, priority, report::BreakerResource::kRequests) +
                                   in_use(cell, priority, report::BreakerResource::kPendingRequests);
  return thresholds.retry_budget->allowed(in_progress);
}

// Open: the workers have taken all there is. What one of them keeps unused counts as remaining all the same.
void collect_breakers(const config::Cluster& cluster, CellCollector& collector) {
  using enum report::BreakerResource;
  const report::ClusterCell& cell = *cluster.cell;
  for (std::size_t priority = 0; priority < config::kRoutingPriorities; ++priority) {
    const config::BreakerThresholds& thresholds = cluster.breakers.thresholds[priority];
    const std::string prefix = priority == 0 ? "circuit_breakers.default." : "circuit_breakers.high.";
    for (const BreakerRow& row :
         {BreakerRow{"cx_open", "remaining_cx", kConnections, thresholds.max_connections},
          BreakerRow{"cx_pool_open", "remaining_cx_pools", kConnectionPools, thresholds.max_connection_pools},
          BreakerRow{"rq_pending_open", "remaining_pending", kPendingRequests, thresholds.max_pending_requests},
          BreakerRow{"rq_open", "remaining_rq", kRequests, thresholds.max_requests},
          BreakerRow{"rq_retry_open", "remaining_retries", kRetries, retry_limit(cell, priority, thresholds)}}) {
      const std::int64_t taken = cell.breakers.peek()[priority].of(row.resource).taken.load(std::memory_order_relaxed);
      collector.gauge(prefix + std::string(row.open), taken >= row.limit ? 1 : 0);
      if (!thresholds.track_remaining) continue;
      // Of a budget nothing can be said to remain, as in Envoy: it moves with every request.
      const bool is_budget = row.resource == kRetries && thresholds.retry_budget.has_value();
      const std::int64_t remaining = std::max<std::int64_t>(row.limit - in_use(cell, priority, row.resource), 0);
      collector.gauge(prefix + std::string(row.remaining), is_budget ? 0 : remaining);
    }
  }
}

void collect_outlier_detection(const report::ClusterCell& cell, CellCollector& collector) {
#define MR_COLLECT_COUNTER(name)                                                     \
  {                                                                                  \
    std::uint64_t value = 0;                                                         \
    for (const auto& stats : cell.per_worker) value += stats.outlier.name.value();   \
    collector.counter("outlier_detection." #name, static_cast<std::int64_t>(value)); \
  }
  MR_OUTLIER_STATS(MR_COLLECT_COUNTER, , )
#undef MR_COLLECT_COUNTER
  collector.gauge("outlier_detection.ejections_active", cell.outlier.peek().ejected.load(std::memory_order_relaxed));
}

void collect_health_checks(const config::Cluster& cluster, CellCollector& collector) {
#define MR_COLLECT_COUNTER(name)                                                                 \
  {                                                                                              \
    std::uint64_t value = 0;                                                                     \
    for (const auto& stats : cluster.cell->per_worker) value += stats.health_check.name.value(); \
    collector.counter("health_check." #name, static_cast<std::int64_t>(value));                  \
  }
  MR_HEALTH_CHECK_STATS(MR_COLLECT_COUNTER, , )
#undef MR_COLLECT_COUNTER
  const auto count = [&](report::EndpointFault fault, bool present) {
    return std::ranges::count_if(cluster.endpoints, [&](const config::Endpoint& endpoint) {
      return endpoint.extras().health_target != nullptr && endpoint.cell->has(fault) == present;
    });
  };
  collector.gauge("health_check.healthy", count(report::EndpointFault::kFailedHealthCheck, false));
  collector.gauge("health_check.degraded", count(report::EndpointFault::kDegraded, true));
}

void collect_membership(const config::Cluster& cluster, CellCollector& collector) {
  const auto count = [&](config::EndpointHealth health) {
    return std::ranges::count(cluster.endpoints, health, config::health_of);
  };
  collector.gauge("membership_total", static_cast<std::int64_t>(cluster.endpoints.size()));
  collector.gauge("membership_healthy", count(config::EndpointHealth::kHealthy));
  collector.gauge("membership_degraded", count(config::EndpointHealth::kDegraded));
  collector.gauge("membership_excluded", count(config::EndpointHealth::kExcluded));
  if (cluster.subsets != nullptr) {
    collector.gauge("lb_subsets_active", static_cast<std::int64_t>(cluster.subsets->subsets.size()));
  }
}

}  // namespace

void collect_clusters(const config::Snapshot& snapshot, std::vector<Stat>& out) {
  for (const auto& [name, cluster] : snapshot.clusters) {
    const std::string& shown = cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name;
    CellCollector collector(out, "cluster." + shown + ".", "envoy_cluster_", {{"envoy_cluster_name", shown}});
    collect(*cluster->cell, collector);
    if (std::ranges::any_of(cluster->endpoints, [](const auto& endpoint) { return endpoint.extras().tls != nullptr; })) {
      collect_tls(*cluster->cell, collector);
    }
    collect_breakers(*cluster, collector);
    if (cluster->outlier_detection) collect_outlier_detection(*cluster->cell, collector);
    if (cluster->health_check != nullptr) collect_health_checks(*cluster, collector);
    collect_membership(*cluster, collector);
  }
}

}  // namespace millrace::agent
