#include "dataplane/proxy/lb/host_view.h"

#include <algorithm>
#include <map>

#include "dataplane/base/assert.h"

namespace millrace::proxy {
namespace {

// Those of `hosts` in each locality; none where localities share nothing by weight.
std::vector<LocalityHosts> localities_of(const config::Cluster& cluster, std::span<const std::uint32_t> hosts, LocalityUse use) {
  std::vector<LocalityHosts> out;
  if (!cluster.balancing.locality_weighted || use == LocalityUse::kNone) return out;
  std::vector<std::uint32_t> place(cluster.localities.size(), 0);  // in `out`, plus one
  for (const std::uint32_t host : hosts) {
    const std::uint32_t locality = cluster.endpoints[host].locality;
    MR_ASSERT(locality < place.size());
    if (place[locality] == 0) {
      out.push_back({.hosts = {}, .weight = static_cast<double>(cluster.localities[locality].weight)});
      place[locality] = static_cast<std::uint32_t>(out.size());
    }
    out[place[locality] - 1].hosts.push_back(host);
  }
  if (use != LocalityUse::kScaled) return out;
  std::vector<std::size_t> whole(cluster.localities.size(), 0);
  for (const config::Endpoint& endpoint : cluster.endpoints) ++whole[endpoint.locality];
  for (LocalityHosts& locality : out) {
    locality.weight *=
        static_cast<double>(locality.hosts.size()) / static_cast<double>(whole[cluster.endpoints[locality.hosts[0]].locality]);
  }
  return out;
}

// Those of `hosts`, which are of one priority, by zone: that of the gateway first, the others by name. They have no weights.
struct ByZone {
  std::vector<config::LocalityName> names;
  std::vector<LocalityHosts> hosts;
};
ByZone by_zone(const config::Cluster& cluster, std::span<const std::uint32_t> hosts, const config::LocalityName& own) {
  std::map<config::LocalityName, LocalityHosts> zones;
  for (const std::uint32_t host : hosts) zones[config::locality_of(cluster, cluster.endpoints[host])].hosts.push_back(host);
  ByZone out;
  const auto add = [&](auto zone) {
    out.names.push_back(zone.key());
    out.hosts.push_back(std::move(zone.mapped()));
  };
  if (zones.contains(own)) add(zones.extract(own));
  while (!zones.empty()) add(zones.extract(zones.begin()));
  return out;
}

}  // namespace

HostView::HostView(const config::Cluster& cluster, std::span<const std::uint32_t> hosts,
                   std::span<const std::shared_ptr<const config::HashTable>> tables, LocalityUse use, const ZoneContext& zones)
    : panic_threshold_(cluster.balancing.panic_threshold), fail_in_panic_(cluster.balancing.fail_traffic_on_panic) {
  std::vector<std::vector<std::uint32_t>> by_priority;
  for (const std::uint32_t host : hosts) {
    const std::size_t priority = cluster.endpoints[host].priority;
    MR_ASSERT(priority < kMaxPriorities);
    if (by_priority.size() <= priority) by_priority.resize(priority + 1);
    by_priority[priority].push_back(host);
  }
  sets_.reserve(by_priority.size());
  for (std::size_t i = 0; i < by_priority.size(); ++i) {
    auto localities = localities_of(cluster, by_priority[i], use);
    std::optional<ZoneRouting> routing;
    if (i == 0 && zones.local != nullptr && cluster.is_zone_aware()) {
      ByZone known = by_zone(cluster, by_priority[i], zones.local->own());
      localities = std::move(known.hosts);
      routing.emplace(cluster, zones, std::move(known.names));
    }
    sets_.emplace_back(cluster, std::move(by_priority[i]), std::move(localities), std::move(routing),
                       i < tables.size() ? tables[i].get() : nullptr);
  }
  loads_.resize(sets_.size());
  adjusted_.resize(sets_.size());
  counts_.resize(sets_.size());
}

void HostView::refresh(std::span<const HostHealth> health, Rng& rng) {
  simple_ = nullptr;
  if (sets_.empty()) return;
  for (std::size_t i = 0; i < sets_.size(); ++i) {
    sets_[i].refresh(health, rng);
    counts_[i] = sets_[i].counts();
  }
  share_load(counts_, panic_threshold_, loads_);
  // With one priority there is none to avoid either.
  if (sets_.size() == 1 && loads_[0].healthy == 100 && !loads_[0].panic) simple_ = sets_[0].simple_picker();
}

// With priorities to avoid, the share that the others then have.
std::span<const PriorityLoad> HostView::loads_for(const ChoiceContext& context) {
  if (context.avoid_priorities == nullptr || context.avoid_priorities->none()) return loads_;
  adjusted_ = loads_;
  return avoid_priorities(*context.avoid_priorities, adjusted_) ? std::span<const PriorityLoad>(adjusted_) : loads_;
}

}  // namespace millrace::proxy
