#include "dataplane/proxy/lb/picker.h"

namespace millrace::proxy {
namespace {

void fill(EdfSchedule& schedule, const HostList& hosts, bool wanted, const config::Cluster& cluster, Rng& rng) {
  schedule.clear();
  if (!wanted) return;
  for (const std::uint32_t host : hosts.all()) schedule.add(host, cluster.endpoints[host].weight, rng);
}

}  // namespace

void HostList::assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster) {
  hosts_.assign(hosts.begin(), hosts.end());
  equal_weights_ = std::ranges::all_of(
      hosts, [&](std::uint32_t host) { return cluster.endpoints[host].weight == cluster.endpoints[hosts[0]].weight; });
}

void RoundRobin::reserve(std::size_t hosts) {
  hosts_.reserve(hosts);
  schedule_.reserve(hosts);
}

void RoundRobin::assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng& rng) {
  hosts_.assign(hosts, cluster);
  fill(schedule_, hosts_, slow_start_ || !hosts_.has_equal_weights(), cluster, rng);
  next_ = hosts_.empty() ? 0 : rng.below(static_cast<std::uint32_t>(hosts_.size()));
}

void LeastRequest::reserve(std::size_t hosts) {
  hosts_.reserve(hosts);
  schedule_.reserve(hosts);
}

void LeastRequest::assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng& rng) {
  hosts_.assign(hosts, cluster);
  fill(schedule_, hosts_, slow_start_ || !hosts_.has_equal_weights(), cluster, rng);
}

Picker::Policy Picker::make(const config::Cluster& cluster) {
  switch (cluster.load_balancing) {
    case config::LoadBalancing::kLeastRequest: return Policy(std::in_place_type<LeastRequest>, cluster);
    case config::LoadBalancing::kRoundRobin: return Policy(std::in_place_type<RoundRobin>, cluster);
    case config::LoadBalancing::kRandom:
    case config::LoadBalancing::kRingHash:  // a HashTable chooses; this is for those whom no slot of it leads to
    case config::LoadBalancing::kMaglev: break;
  }
  return Policy(std::in_place_type<RandomChoice>, cluster);
}

}  // namespace millrace::proxy
