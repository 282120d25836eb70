// A cluster as one worker runs it: the load balancer over the endpoints of the current configuration, a connection pool per
// endpoint, its circuit breakers, its outlier detection and its health checks. Lives as long as the cluster is configured and
// then as long as anything uses it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/aggregate_members.h"
#include "dataplane/proxy/breakers/circuit_breakers.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/health_watch.h"
#include "dataplane/proxy/lb/host_ages.h"
#include "dataplane/proxy/lb/load_balancer.h"
#include "dataplane/proxy/original_destinations.h"
#include "dataplane/proxy/outlier_watch.h"

namespace millrace::proxy {

struct Runtime;

class ClusterRuntime {
 public:
  ClusterRuntime(Runtime& runtime, std::shared_ptr<const config::Cluster> config, Instant now);
  ClusterRuntime(const ClusterRuntime&) = delete;
  ClusterRuntime& operator=(const ClusterRuntime&) = delete;

  /// Takes over a new version: pools of endpoints that stay keep their connections.
  void update(std::shared_ptr<const config::Cluster> config, Instant now);
  /// The cluster is gone from the configuration.
  void retire(Instant now);
  /// Of an aggregate: its members, the preferred one first. They stay until the next call, or retire().
  void assign_members(const std::vector<ClusterRuntime*>& members, Instant now);
  /// No connections, no requests: may be destroyed.
  [[nodiscard]] bool is_unused() const;

  /// The pool of the endpoint that a request goes to; null when nobody may have it. An aggregate's are those of its members.
  [[nodiscard]] ConnectionPool* choose(const ChoiceContext& context, Instant now);
  /// Where that endpoint stands among the priorities that choose() knows; nothing: it is no endpoint of this cluster any more.
  [[nodiscard]] std::optional<std::size_t> priority_of(const ConnectionPool& endpoint) const;
  /// What there is of each priority, and a number that changes whenever that may have.
  [[nodiscard]] std::span<const PriorityHosts> priorities() const { return balancer_.counts(); }
  [[nodiscard]] std::uint32_t balance_version(Instant now);

  [[nodiscard]] const config::Cluster& config() const { return *config_; }
  [[nodiscard]] bool is_current(const std::shared_ptr<const config::Cluster>& config) const { return config_ == config; }
  /// Lives as long as this object.
  [[nodiscard]] std::string_view name() const { return cell_->name; }
  [[nodiscard]] report::ClusterStats& stats() { return stats_; }

  [[nodiscard]] CircuitBreakers& breakers(config::RoutingPriority priority) {
    return breakers_[static_cast<std::size_t>(priority)];
  }
  [[nodiscard]] OutlierWatch& outlier_watch() { return outlier_watch_; }
  [[nodiscard]] HealthWatch& health_watch() { return health_watch_; }

  // Streams that refer to it.
  void pin() { ++pins_; }
  void unpin() { --pins_; }

 private:
  struct Facts;
  void follow_endpoints(Instant now);
  void follow_kind(Instant now);
  void follow_thresholds();
  void count(SubsetOutcome outcome);
  void follow_health(Instant now);
  [[nodiscard]] ZoneContext zones();

  Runtime& runtime_;
  std::shared_ptr<const config::Cluster> config_;
  std::shared_ptr<report::ClusterCell> cell_;
  report::ClusterStats& stats_;
  std::array<CircuitBreakers, config::kRoutingPriorities> breakers_;
  OutlierWatch outlier_watch_;
  HealthWatch health_watch_;                            // before what looks at health
  std::vector<std::unique_ptr<ConnectionPool>> pools_;  // those of endpoints that are gone included, until they are empty
  std::vector<ConnectionPool*> by_endpoint_;            // as config_->endpoints
  std::uint32_t health_version_;                        // of cell_, that balancer_ knows: read before the faults are
  LocalZones* local_zones_;                             // that balancer_ compares with; null: with none
  std::uint32_t zones_version_;                         // of local_zones_
  LoadBalancer balancer_;
  HostAges ages_;
  std::uint32_t balance_version_ = 0;                   // counts what balancer_ was told
  std::optional<AggregateMembers> aggregate_;           // of an aggregate, until it retires
  std::unique_ptr<OriginalDestinations> destinations_;  // of one that is or was of type ORIGINAL_DST
  std::size_t pins_ = 0;
};

}  // namespace millrace::proxy
