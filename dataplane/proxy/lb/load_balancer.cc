#include "dataplane/proxy/lb/load_balancer.h"

#include <algorithm>

namespace millrace::proxy {

RoundRobin::RoundRobin(const config::Cluster& cluster, Rng& rng) : schedule_(cluster, rng) {}

std::optional<std::size_t> RoundRobin::choose() {
  if (schedule_.empty()) return std::nullopt;
  const std::size_t slot = schedule_.front();
  const std::size_t endpoint = schedule_.endpoint(slot);
  schedule_.advance(schedule_.weight(slot));
  return endpoint;
}

LeastRequest::LeastRequest(const config::Cluster& cluster, Rng& rng)
    : schedule_(cluster, rng), choices_(std::max(cluster.least_request_choices, 1u)), equal_weights_(true) {
  std::uint32_t weight = 0;
  for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) {
    const config::Endpoint& endpoint = cluster.endpoints[i];
    if (!endpoint.healthy || endpoint.weight == 0) continue;
    if (weight == 0) weight = endpoint.weight;
    equal_weights_ = equal_weights_ && endpoint.weight == weight;
    healthy_.push_back(static_cast<std::uint32_t>(i));
  }
}

WeightedRandom::WeightedRandom(const config::Cluster& cluster) {
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) {
    const config::Endpoint& endpoint = cluster.endpoints[i];
    if (!endpoint.healthy || endpoint.weight == 0) continue;
    end += endpoint.weight;
    shares_.push_back({end, static_cast<std::uint32_t>(i)});
  }
}

std::optional<std::size_t> WeightedRandom::choose(Rng& rng) const {
  if (shares_.empty()) return std::nullopt;
  const std::uint64_t at = rng.next() % shares_.back().end;
  return std::ranges::upper_bound(shares_, at, {}, &Share::end)->endpoint;
}

LoadBalancer::Policy LoadBalancer::make(const config::Cluster& cluster, Rng& rng) {
  switch (cluster.load_balancing) {
    case config::LoadBalancing::kLeastRequest: return Policy(std::in_place_type<LeastRequest>, cluster, rng);
    case config::LoadBalancing::kRandom: return Policy(std::in_place_type<WeightedRandom>, cluster);
    case config::LoadBalancing::kRoundRobin: break;
  }
  return Policy(std::in_place_type<RoundRobin>, cluster, rng);
}

}  // namespace millrace::proxy
