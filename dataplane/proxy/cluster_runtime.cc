#include "dataplane/proxy/cluster_runtime.h"

#include <atomic>
#include <unordered_map>

#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

ClusterRuntime::ClusterRuntime(Runtime& runtime, std::shared_ptr<const config::Cluster> config, Instant now)
    : runtime_(runtime),
      config_(std::move(config)),
      cell_(config_->cell),
      stats_(cell_->per_worker[runtime.worker()]),
      breakers_{CircuitBreakers(*cell_, config::RoutingPriority::kDefault, runtime.worker()),
                CircuitBreakers(*cell_, config::RoutingPriority::kHigh, runtime.worker())},
      outlier_watch_(runtime, config_, now),
      health_watch_(runtime, &outlier_watch_, config_, now),
      health_version_(cell_->health_version.load(std::memory_order_acquire)),
      balancer_(*config_, runtime.context.rng, zones()) {
  follow_thresholds();
  follow_endpoints(now);
  follow_kind(now);
}

void ClusterRuntime::update(std::shared_ptr<const config::Cluster> config, Instant now) {
  config_ = std::move(config);
  outlier_watch_.update(config_, now);
  health_watch_.update(config_, now);
  health_version_ = cell_->health_version.load(std::memory_order_acquire);
  balancer_ = LoadBalancer(*config_, runtime_.context.rng, zones());
  ++balance_version_;
  follow_thresholds();
  follow_endpoints(now);
  follow_kind(now);
}

void ClusterRuntime::follow_kind(Instant now) {
  aggregate_.reset();
  if (config_->is_aggregate()) aggregate_.emplace(runtime_, *config_);
  if (config_->original_dst != nullptr && destinations_ == nullptr) {
    destinations_ = std::make_unique<OriginalDestinations>(runtime_, *this);
  } else if (config_->original_dst != nullptr) {
    destinations_->follow_cluster(now);
  } else if (destinations_ != nullptr) {
    destinations_->retire(now);
  }
}

void ClusterRuntime::assign_members(const std::vector<ClusterRuntime*>& members, Instant now) {
  aggregate_->assign(members, now);
}

void ClusterRuntime::follow_thresholds() {
  for (const auto priority : {config::RoutingPriority::kDefault, config::RoutingPriority::kHigh})
    breakers(priority).set_thresholds(config_->breakers.of(priority));
}

// Endpoints are told apart by the number of their cell, which an address keeps from one snapshot to the next. One that is reached
// by other means of protection now gets new connections.
void ClusterRuntime::follow_endpoints(Instant now) {
  std::unordered_map<const report::EndpointCell*, ConnectionPool*> known;
  for (const auto& pool : pools_) known.insert_or_assign(&pool->cell(), pool.get());  // the newest of an endpoint
  by_endpoint_.clear();
  for (const config::Endpoint& endpoint : config_->endpoints) {
    const auto at = known.find(endpoint.cell.get());
    if (at == known.end() || !same_transport(at->second->endpoint(), endpoint)) {
      pools_.push_back(std::make_unique<ConnectionPool>(runtime_, *this, endpoint));
      by_endpoint_.push_back(pools_.back().get());
    } else {
      at->second->revive(endpoint);
      by_endpoint_.push_back(at->second);
      known.erase(at);
    }
  }
  for (const auto& [cell, pool] : known) pool->retire(now);
  std::erase_if(pools_, [](const auto& pool) { return pool->is_retired() && pool->is_unused(); });
  ages_.follow_endpoints(*config_, now);
}

void ClusterRuntime::retire(Instant now) {
  outlier_watch_.retire();
  health_watch_.retire(now);
  by_endpoint_.clear();
  aggregate_.reset();
  if (destinations_ != nullptr) destinations_->retire(now);
  for (const auto& pool : pools_) pool->retire(now);
}

bool ClusterRuntime::is_unused() const {
  if (pins_ > 0 || (destinations_ != nullptr && !destinations_->is_unused())) return false;
  for (const auto& pool : pools_) {
    if (!pool->is_unused()) return false;
  }
  return true;
}

// What this worker knows of them: it balances what it sends itself.
struct ClusterRuntime::Facts {
  const ClusterRuntime& cluster;
  Instant now;

  [[nodiscard]] std::size_t active_requests(std::uint32_t endpoint) const {
    return static_cast<std::size_t>(cluster.by_endpoint_[endpoint]->endpoint_stats().rq_active.value());
  }
  [[nodiscard]] std::size_t all_active_requests() const {
    return static_cast<std::size_t>(cluster.stats_.upstream_rq_active.value());
  }
  [[nodiscard]] double weight(std::uint32_t endpoint) const {
    const double full = cluster.config_->endpoints[endpoint].weight;
    return cluster.ages_.is_enabled() ? full * cluster.ages_.part(endpoint, now) : full;
  }
  [[nodiscard]] bool some_are_new() const { return cluster.ages_.some_are_new(now); }
};

ConnectionPool* ClusterRuntime::choose(const ChoiceContext& context, Instant now) {
  if (aggregate_) [[unlikely]]
    return aggregate_->choose(context, now);
  if (config_->original_dst != nullptr) [[unlikely]]
    return context.info == nullptr ? nullptr : destinations_->choose(*context.info, now);
  follow_health(now);
  if (by_endpoint_.empty()) return nullptr;  // of a cluster that is gone there is nobody to ask
  const HostChoice choice = balancer_.choose(context, runtime_.context.rng, Facts{*this, now});
  if (choice.in_panic) stats_.lb_healthy_panic.add();
  if (choice.subset != SubsetOutcome::kNone) [[unlikely]]
    count(choice.subset);
  return choice.endpoint ? by_endpoint_[*choice.endpoint] : nullptr;
}

void ClusterRuntime::count(SubsetOutcome outcome) {
  switch (outcome) {
    case SubsetOutcome::kSelected: return stats_.lb_subsets_selected.add();
    case SubsetOutcome::kFallback: return stats_.lb_subsets_fallback.add();
    case SubsetOutcome::kFallbackPanic: return stats_.lb_subsets_fallback_panic.add();
    case SubsetOutcome::kNone: return;
  }
}

std::optional<std::size_t> ClusterRuntime::priority_of(const ConnectionPool& endpoint) const {
  if (aggregate_) return aggregate_->priority_of(endpoint);
  return endpoint.priority();
}

std::uint32_t ClusterRuntime::balance_version(Instant now) {
  follow_health(now);
  return balance_version_;
}

// From now on balancer_ knows them as they are.
ZoneContext ClusterRuntime::zones() {
  local_zones_ = runtime_.clusters.local_zones(*config_);
  if (local_zones_ == nullptr) return {};
  zones_version_ = local_zones_->follow();
  return {.local = local_zones_, .stats = &stats_};
}

void ClusterRuntime::follow_health(Instant now) {
  const std::uint32_t version = cell_->health_version.load(std::memory_order_relaxed);
  const std::uint32_t zones_version = local_zones_ == nullptr ? zones_version_ : local_zones_->follow();
  if (version == health_version_ && zones_version == zones_version_) [[likely]]
    return;
  std::atomic_thread_fence(std::memory_order_acquire);  // the faults are at least as new as their version
  health_version_ = version;
  zones_version_ = zones_version;
  ages_.follow_health(*config_, now);
  balancer_.refresh(runtime_.context.rng);
  ++balance_version_;
}

}  // namespace millrace::proxy
