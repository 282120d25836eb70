#include "dataplane/proxy/lb/load_balancer.h"

#include <algorithm>
#include <numeric>

namespace millrace::proxy {
namespace {

std::vector<std::uint32_t> all_of(const config::Cluster& cluster) {
  std::vector<std::uint32_t> hosts(cluster.endpoints.size());
  std::iota(hosts.begin(), hosts.end(), 0u);
  return hosts;
}

}  // namespace

LoadBalancer::LoadBalancer(const config::Cluster& cluster, Rng& rng, const ZoneContext& zones)
    : cluster_(&cluster),
      health_(cluster.endpoints.size()),
      all_(cluster, cluster.subsets ? std::vector<std::uint32_t>() : all_of(cluster), cluster.hash_tables,
           LocalityUse::kAsConfigured, zones) {
  if (cluster.subsets) subsets_.emplace(cluster, all_of(cluster), zones);
  refresh(rng);
}

void LoadBalancer::refresh(Rng& rng) {
  std::ranges::transform(cluster_->endpoints, health_.begin(), config::health_of);
  all_.refresh(health_, rng);
  if (subsets_) subsets_->refresh(health_, rng);
}

}  // namespace millrace::proxy
