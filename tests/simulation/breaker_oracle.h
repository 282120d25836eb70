// No circuit breaker of a cluster lets more through than it may: looked at before and after each turn of a worker, since nothing
// else changes what is in progress. Envoy: "Circuit breaking", envoy.config.cluster.v3.CircuitBreakers.
//
// Beyond max_connections, and beyond per_host_thresholds, each pool may have one connection, or its requests would wait for
// nothing: a pool for each worker, endpoint and priority. Everything else is exact.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "config/model/cluster.h"
#include "tests/simulation/findings.h"

namespace millrace::sim {

class BreakerOracle {
 public:
  /// `limits` are those that it has to keep.
  BreakerOracle(const config::Cluster& cluster, const config::CircuitBreakers& limits);

  void before_turn();
  void after_turn(Findings& findings);

 private:
  [[nodiscard]] std::int64_t in_use(std::size_t priority, report::BreakerResource resource) const;
  [[nodiscard]] std::int64_t in_progress(std::size_t priority) const;
  [[nodiscard]] std::int64_t begun() const;
  void audit_priority(std::size_t priority, Findings& findings) const;
  void audit_retries(std::size_t priority, Findings& findings) const;
  void audit_endpoints(Findings& findings) const;

  const std::shared_ptr<report::ClusterCell> cell_;
  const std::vector<config::Endpoint> endpoints_;
  const config::CircuitBreakers limits_;
  // Before the turn; by priority.
  std::array<std::int64_t, config::kRoutingPriorities> retries_{};
  std::array<std::int64_t, config::kRoutingPriorities> in_progress_{};
  std::int64_t begun_ = 0;
};

}  // namespace millrace::sim
