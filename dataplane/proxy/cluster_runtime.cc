#include "dataplane/proxy/cluster_runtime.h"

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
      balancer_(*config_, runtime.context.rng) {
  follow_thresholds();
  follow_endpoints(now);
}

void ClusterRuntime::update(std::shared_ptr<const config::Cluster> config, Instant now) {
  config_ = std::move(config);
  balancer_ = LoadBalancer(*config_, runtime_.context.rng);
  outlier_watch_.update(config_, now);
  follow_thresholds();
  follow_endpoints(now);
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
    if (at == known.end() || !same_tls(at->second->tls(), endpoint.tls.get())) {
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
}

void ClusterRuntime::retire(Instant now) {
  outlier_watch_.retire();
  by_endpoint_.clear();
  for (const auto& pool : pools_) pool->retire(now);
}

bool ClusterRuntime::is_unused() const {
  if (pins_ > 0) return false;
  for (const auto& pool : pools_) {
    if (!pool->is_unused()) return false;
  }
  return true;
}

ConnectionPool* ClusterRuntime::choose() {
  const auto active = [this](std::size_t index) {
    return static_cast<std::size_t>(by_endpoint_[index]->endpoint_stats().rq_active.value());
  };
  const std::optional<std::size_t> index = balancer_.choose(runtime_.context.rng, active);
  return index && *index < by_endpoint_.size() ? by_endpoint_[*index] : nullptr;
}

}  // namespace millrace::proxy
