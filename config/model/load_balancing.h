// How a cluster's requests are spread over its endpoints. Tables for consistent hashing are built by config/compile, once for all
// workers. Sources: envoy.config.cluster.v3.Cluster (lb_policy, *_lb_config, common_lb_config),
// envoy.extensions.load_balancing_policies, envoy.config.endpoint.v3.ClusterLoadAssignment.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/time.h"

namespace millrace::config {

enum class LoadBalancing : std::uint8_t { kRoundRobin, kLeastRequest, kRandom, kRingHash, kMaglev };

/// A new endpoint begins with a part of its weight that grows with its age.
struct SlowStart {
  Duration window;          ///< zero: none
  double aggression = 1;    ///< above 0; the part is (age / window) ^ (1 / aggression)
  double min_weight = 0.1;  ///< the least part, 0 to 1
  [[nodiscard]] bool is_enabled() const { return window > Duration(); }
};

/// Requests stay in the zone that the gateway is in, as far as that gives no endpoint more than its share. Only where there is a
/// local cluster (Snapshot::local_cluster) to compare with.
struct ZoneAware {
  std::uint32_t routing_enabled = 100;  ///< percent of the requests that it is considered for
  std::uint64_t min_cluster_size = 6;   ///< with fewer healthy endpoints zones do not count
};

/// What all policies have in common, and those of least request and of hashing.
struct LoadBalancingOptions {
  double active_request_bias = 1;  ///< of least request with unequal weights: divides by (active + 1) ^ bias
  bool full_scan = false;          ///< of least request with equal weights: looks at all endpoints
  SlowStart slow_start;            ///< of round robin and least request

  std::uint32_t panic_threshold = 50;  ///< percent: with fewer available endpoints health does not count; 0: never
  bool fail_traffic_on_panic = false;  ///< and no endpoint is chosen then
  bool locality_weighted = false;      ///< localities share by their weights
  ZoneAware zone_aware;                ///< of policies that do not hash, unless localities are weighted

  std::uint32_t overprovisioning_factor = 140;  ///< percent, of priorities and localities
  /// Of a million requests so many are answered with 503 instead, whatever the endpoints' health: drop_overloads.
  std::uint32_t drop_overload_per_million = 0;
  bool weighted_priority_health = false;  ///< a priority's health is counted in weights instead of endpoints

  std::uint32_t hash_balance_factor = 0;  ///< percent of the average load that hashing gives an endpoint at most; 0: no limit
};

/// Where something is: envoy.config.core.v3.Locality.
struct LocalityName {
  std::string region;
  std::string zone;
  std::string sub_zone;
  auto operator<=>(const LocalityName&) const = default;
};

/// The entries of ClusterLoadAssignment.endpoints with one name and priority.
struct Locality : LocalityName {
  std::uint32_t priority = 0;
  std::uint32_t weight = 0;  ///< 0: gets nothing where localities are weighted
};

/// A ketama ring or a Maglev table over the endpoints of one priority, those included that are not healthy: whoever looks
/// something up passes over them, so that a change of health builds no table and moves no keys but those of that endpoint.
struct HashTable {
  struct Host {
    std::uint32_t endpoint = 0;  ///< index into Cluster::endpoints
    double share = 0;            ///< of all requests, by weight; the sum is 1
  };
  std::vector<Host> hosts;
  std::vector<std::uint32_t> slots;   ///< endpoints
  std::vector<std::uint64_t> hashes;  ///< of the ring's slots, ascending; empty: a Maglev table
};

}  // namespace millrace::config
