#include "dataplane/proxy/lb/host_set.h"

#include <algorithm>

namespace millrace::proxy {

HostSet::HostSet(const config::Cluster& cluster, std::vector<std::uint32_t> hosts, std::vector<LocalityHosts> localities,
                 std::optional<ZoneRouting> zones, const config::HashTable* table)
    : cluster_(&cluster),
      hosts_(std::move(hosts)),
      localities_(std::move(localities)),
      all_(cluster),
      healthy_(cluster, hosts_.size(), localities_),
      degraded_(cluster, hosts_.size(), localities_),
      zones_(std::move(zones)) {
  all_.reserve(hosts_.size());
  if (table != nullptr) hash_.emplace(*table, cluster.balancing.hash_balance_factor);
}

void HostSet::refresh(std::span<const HostHealth> health, Rng& rng) {
  health_ = health;
  counts_ = {};
  counts_.overprovisioning_factor = cluster_->balancing.overprovisioning_factor;
  for (const std::uint32_t host : hosts_) {
    const std::uint64_t measure = cluster_->balancing.weighted_priority_health ? cluster_->endpoints[host].weight : 1;
    ++counts_.all;
    if (health[host] == HostHealth::kExcluded) {
      ++counts_.excluded;
      continue;
    }
    counts_.measured += measure;
    if (health[host] == HostHealth::kHealthy) {
      ++counts_.healthy;
      counts_.measured_healthy += measure;
    } else if (health[host] == HostHealth::kDegraded) {
      ++counts_.degraded;
      counts_.measured_degraded += measure;
    }
  }
  for (LocalityHosts& locality : localities_) {
    locality.counted = static_cast<std::size_t>(
        std::ranges::count_if(locality.hosts, [&](std::uint32_t host) { return health[host] != HostHealth::kExcluded; }));
  }
  all_.assign(hosts_, *cluster_, rng);
  healthy_.assign(*cluster_, hosts_, localities_, health, HostHealth::kHealthy, rng);
  degraded_.assign(*cluster_, hosts_, localities_, health, HostHealth::kDegraded, rng);
  if (zones_) zones_->recalculate(healthy_.sizes());
}

}  // namespace millrace::proxy
