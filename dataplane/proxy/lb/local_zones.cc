#include "dataplane/proxy/lb/local_zones.h"

#include <algorithm>
#include <atomic>

namespace millrace::proxy {

void LocalZones::assign(std::shared_ptr<const config::Cluster> cluster, const config::LocalityName& own) {
  if (cluster == cluster_ && own == own_) return;
  cluster_ = std::move(cluster);
  own_ = own;
  zones_.clear();
  by_endpoint_.clear();
  if (cluster_ != nullptr) {
    health_version_ = cluster_->cell->health_version.load(std::memory_order_acquire);
    for (const config::Endpoint& endpoint : cluster_->endpoints) {
      const config::LocalityName name = config::locality_of(*cluster_, endpoint);
      const auto at = std::ranges::find(zones_, name, &Zone::name);
      by_endpoint_.push_back(static_cast<std::size_t>(at - zones_.begin()));
      if (at == zones_.end()) zones_.push_back({.name = name});
    }
  }
  has_own_ = std::ranges::find(zones_, own_, &Zone::name) != zones_.end();
  count();
}

std::uint32_t LocalZones::follow() {
  if (cluster_ == nullptr) return version_;
  const std::uint32_t version = cluster_->cell->health_version.load(std::memory_order_relaxed);
  if (version == health_version_) [[likely]]
    return version_;
  std::atomic_thread_fence(std::memory_order_acquire);  // the faults are at least as new as their version
  health_version_ = version;
  count();
  return version_;
}

void LocalZones::count() {
  ++version_;
  hosts_ = {};
  for (Zone& zone : zones_) zone.healthy = 0;
  for (std::size_t i = 0; i < by_endpoint_.size(); ++i) {
    ++hosts_.all;
    switch (config::health_of(cluster_->endpoints[i])) {
      case config::EndpointHealth::kHealthy:
        ++hosts_.healthy;
        ++zones_[by_endpoint_[i]].healthy;
        break;
      case config::EndpointHealth::kDegraded: ++hosts_.degraded; break;
      case config::EndpointHealth::kExcluded: ++hosts_.excluded; break;
      case config::EndpointHealth::kUnhealthy: break;
    }
  }
}

std::size_t LocalZones::healthy_in(const config::LocalityName& zone) const {
  const auto at = std::ranges::find(zones_, zone, &Zone::name);
  return at == zones_.end() ? 0 : at->healthy;
}

}  // namespace millrace::proxy
