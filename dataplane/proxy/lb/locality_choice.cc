#include "dataplane/proxy/lb/locality_choice.h"

#include <algorithm>

namespace millrace::proxy {

double effective_locality_weight(double weight, std::size_t available, std::size_t counted,
                                 std::uint32_t overprovisioning_factor) {
  if (counted == 0) return 0;
  const double part = static_cast<double>(available) / static_cast<double>(counted);
  return weight * std::min(1.0, part * overprovisioning_factor / 100.0);
}

LocalityChoice::LocalityChoice(const config::Cluster& cluster, std::size_t hosts, std::span<const LocalityHosts> localities)
    : picker_(cluster) {
  hosts_.reserve(hosts);
  picker_.reserve(hosts);
  parts_.reserve(localities.size());
  sizes_.resize(localities.size());
  schedule_.reserve(localities.size());
  std::size_t most = 0;
  for (const LocalityHosts& locality : localities) {
    parts_.push_back({.picker = Picker(cluster)});
    parts_.back().picker.reserve(locality.hosts.size());
    most = std::max(most, locality.hosts.size());
  }
  scratch_.reserve(most);
}

void LocalityChoice::assign(const config::Cluster& cluster, std::span<const std::uint32_t> hosts,
                            std::span<const LocalityHosts> localities, std::span<const HostHealth> health, HostHealth wanted,
                            Rng& rng) {
  const auto is_wanted = [&](std::uint32_t host) { return health[host] == wanted; };
  hosts_.clear();
  std::ranges::copy_if(hosts, std::back_inserter(hosts_), is_wanted);
  picker_.assign(hosts_, cluster, rng);
  schedule_.clear();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    scratch_.clear();
    std::ranges::copy_if(localities[i].hosts, std::back_inserter(scratch_), is_wanted);
    sizes_[i] = scratch_.size();
    parts_[i].picker.assign(scratch_, cluster, rng);
    parts_[i].weight = effective_locality_weight(localities[i].weight, scratch_.size(), localities[i].counted,
                                                 cluster.balancing.overprovisioning_factor);
    if (parts_[i].weight > 0) schedule_.add(static_cast<std::uint32_t>(i), parts_[i].weight, rng);
  }
}

}  // namespace millrace::proxy
