// How a cluster balances: lb_policy with its *_lb_config, or load_balancing_policy, and common_lb_config ->
// config::LoadBalancing, config::LoadBalancingOptions and what the tables of consistent hashing and subsets are made by.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/compile/hash_table.h"
#include "config/model/cluster.h"
#include "control-agent/diagnostics.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace millrace::agent {

/// What can be made only of the endpoints: how the tables of RING_HASH and MAGLEV are built, and subsets.
struct BalancingPlan {
  config::RingOptions ring;
  std::uint64_t maglev_size = config::kDefaultMaglevSize;
  bool by_hostname = false;                       ///< use_hostname_for_hashing
  std::shared_ptr<config::Subsets> subsets = {};  ///< without endpoints; null: none
  bool list_as_any = false;                       ///< of subsets
  bool operator==(const BalancingPlan&) const = default;
};

/// Fills what of `out` says how it balances; its endpoints need not be there yet.
[[nodiscard]] BalancingPlan translate_load_balancing(const envoy::config::cluster::v3::Cluster& cluster, const std::string& path,
                                                     config::Cluster& out, Diagnostics& diagnostics);

}  // namespace millrace::agent
