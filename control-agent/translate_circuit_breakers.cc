#include "control-agent/translate_circuit_breakers.h"

#include <array>
#include <utility>

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using Thresholds = envoy::config::cluster::v3::CircuitBreakers::Thresholds;

namespace {

// Which of them has been seen, so that the first counts.
class FirstOfPriority {
 public:
  [[nodiscard]] bool take(config::RoutingPriority priority) {
    return !std::exchange(seen_[static_cast<std::size_t>(priority)], true);
  }

 private:
  std::array<bool, config::kRoutingPriorities> seen_{};
};

config::BreakerThresholds translate_thresholds(const Thresholds& source) {
  config::BreakerThresholds out;
  if (source.has_max_connections()) out.max_connections = source.max_connections().value();
  if (source.has_max_pending_requests()) out.max_pending_requests = source.max_pending_requests().value();
  if (source.has_max_requests()) out.max_requests = source.max_requests().value();
  if (source.has_max_retries()) out.max_retries = source.max_retries().value();
  if (source.has_max_connection_pools()) out.max_connection_pools = source.max_connection_pools().value();
  out.track_remaining = source.track_remaining();
  // An empty budget is none, as in Envoy.
  const Thresholds::RetryBudget& budget = source.retry_budget();
  if (budget.has_budget_percent() || budget.has_min_retry_concurrency()) {
    out.retry_budget.emplace();
    if (budget.has_budget_percent()) out.retry_budget->percent = budget.budget_percent().value();
    if (budget.has_min_retry_concurrency()) out.retry_budget->min_concurrency = budget.min_retry_concurrency().value();
  }
  return out;
}

// Envoy reads nothing else of them.
void refuse_others(const Thresholds& source, const std::string& path, Diagnostics& diagnostics) {
  const auto refuse = [&](bool is_set, std::string_view field) {
    if (is_set) diagnostics.error(join_path(path, field), "is not supported for single endpoints: only max_connections is");
  };
  refuse(source.has_max_pending_requests(), "max_pending_requests");
  refuse(source.has_max_requests(), "max_requests");
  refuse(source.has_max_retries(), "max_retries");
  refuse(source.has_retry_budget(), "retry_budget");
  refuse(source.track_remaining(), "track_remaining");
  refuse(source.has_max_connection_pools(), "max_connection_pools");
}

}  // namespace

config::RoutingPriority translate_priority(core::RoutingPriority priority) {
  return priority == core::HIGH ? config::RoutingPriority::kHigh : config::RoutingPriority::kDefault;
}

config::CircuitBreakers translate_circuit_breakers(const envoy::config::cluster::v3::CircuitBreakers& breakers,
                                                   const std::string& path, Diagnostics& diagnostics) {
  config::CircuitBreakers out;
  FirstOfPriority first;
  for (const Thresholds& source : breakers.thresholds()) {
    const config::RoutingPriority priority = translate_priority(source.priority());
    if (first.take(priority)) out.thresholds[static_cast<std::size_t>(priority)] = translate_thresholds(source);
  }
  FirstOfPriority first_per_host;
  for (int i = 0; i < breakers.per_host_thresholds_size(); ++i) {
    const Thresholds& source = breakers.per_host_thresholds(i);
    refuse_others(source, index_path(join_path(path, "per_host_thresholds"), static_cast<std::size_t>(i)), diagnostics);
    const config::RoutingPriority priority = translate_priority(source.priority());
    if (!first_per_host.take(priority) || !source.has_max_connections()) continue;
    out.max_connections_per_endpoint[static_cast<std::size_t>(priority)] = source.max_connections().value();
  }
  return out;
}

}  // namespace millrace::agent
