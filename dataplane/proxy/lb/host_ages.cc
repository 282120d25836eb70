#include "dataplane/proxy/lb/host_ages.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace millrace::proxy {
namespace {

Instant healthy_since(const report::EndpointCell& endpoint) {
  return Instant::from_nanoseconds(endpoint.health.peek().healthy_since.load(std::memory_order_relaxed));
}

}  // namespace

double slow_start_part(const config::SlowStart& slow_start, Duration age) {
  if (age >= slow_start.window) return 1;
  const double part = static_cast<double>(std::max(age, Duration::milliseconds(1)).to_nanoseconds()) /
                      static_cast<double>(slow_start.window.to_nanoseconds());
  return std::clamp(slow_start.aggression == 1 ? part : std::pow(part, 1 / slow_start.aggression), slow_start.min_weight, 1.0);
}

void HostAges::follow_endpoints(const config::Cluster& cluster, Instant now) {
  std::unordered_map<const report::EndpointCell*, Host> known;
  for (const Host& host : hosts_) known.emplace(host.cell, host);
  slow_start_ = cluster.balancing.slow_start;
  hosts_.clear();
  for (const config::Endpoint& endpoint : cluster.endpoints) {
    const auto at = known.find(endpoint.cell.get());
    if (at == known.end()) newest_ = now;
    hosts_.push_back(at != known.end() ? at->second : Host{.cell = endpoint.cell.get(), .since = now});
  }
  follow_health(cluster, now);
}

// A worker whose turn began later than this one's may have checked it.
void HostAges::follow_health(const config::Cluster& cluster, Instant now) {
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const report::EndpointCell* cell = cluster.endpoints[i].cell.get();
    if (cell == nullptr) continue;
    hosts_[i].since = std::max(hosts_[i].since, std::min(healthy_since(*cell), now));
    newest_ = std::max(newest_, hosts_[i].since);
  }
}

}  // namespace millrace::proxy
