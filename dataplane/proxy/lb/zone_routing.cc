#include "dataplane/proxy/lb/zone_routing.h"

#include <algorithm>
#include <numeric>

namespace millrace::proxy {

ZoneRouting::ZoneRouting(const config::Cluster& cluster, const ZoneContext& context, std::vector<config::LocalityName> names)
    : options_(cluster.balancing.zone_aware),
      panic_threshold_(cluster.balancing.panic_threshold),
      fail_in_panic_(cluster.balancing.fail_traffic_on_panic),
      context_(context),
      names_(std::move(names)),
      has_own_(!names_.empty() && names_[0] == context_.local->own()),
      capacity_(names_.size()) {}

void ZoneRouting::recalculate(std::span<const std::size_t> healthy) {
  context_.stats->lb_recalculate_zone_structures.add();
  route_ = Route::kAmongAll;
  if (!may_route(healthy)) return;
  local_in_panic_ = is_in_panic(context_.local->hosts(), panic_threshold_);
  share(healthy);
}

bool ZoneRouting::may_route(std::span<const std::size_t> healthy) const {
  if (names_.size() < 2 || context_.local->zones() < 2) return false;
  if (!context_.local->has_own()) {
    context_.stats->lb_local_cluster_not_ok.add();
    return false;
  }
  if (std::accumulate(healthy.begin(), healthy.end(), std::size_t{0}) < options_.min_cluster_size) {
    context_.stats->lb_zone_cluster_too_small.add();
    return false;
  }
  return true;
}

// A zone's endpoints can take what is their part of all; its own gateways send what is their part of those. Where they send more,
// the rest goes to zones that can take more.
void ZoneRouting::share(std::span<const std::size_t> healthy) {
  const std::size_t all = std::accumulate(healthy.begin(), healthy.end(), std::size_t{0});
  const std::uint64_t local_all = context_.local->hosts().healthy;
  const auto part = [](std::uint64_t some, std::uint64_t whole) {
    return static_cast<std::uint32_t>(whole == 0 ? 0 : kWhole * some / whole);
  };
  own_share_ = 0;
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::uint32_t takes = part(healthy[i], all);
    const std::uint32_t sends = takes == 0 ? 0 : part(context_.local->healthy_in(names_[i]), local_all);
    if (i == 0 && has_own_) {
      if (takes > 0 && takes >= sends) {
        route_ = Route::kOwnZone;
        return;
      }
      own_share_ = sends == 0 ? 0 : part(takes, sends);
    } else if (takes > sends) {
      sum += takes - sends;
    }
    capacity_[i] = sum;
  }
  route_ = Route::kShared;
}

ZoneRouting::Choice ZoneRouting::choose(Rng& rng) const {
  if (route_ == Route::kAmongAll || rng.below(100) >= options_.routing_enabled) return {};
  report::ClusterStats& stats = *context_.stats;
  if (local_in_panic_) {
    stats.lb_local_cluster_not_ok.add();
    return {.target = fail_in_panic_ ? Target::kNobody : Target::kAll};
  }
  if (route_ == Route::kOwnZone) {
    stats.lb_zone_routing_all_directly.add();
    return {.target = Target::kZone, .zone = 0};
  }
  if (rng.below(kWhole) < own_share_) {
    stats.lb_zone_routing_sampled.add();
    return {.target = Target::kZone, .zone = 0};
  }
  stats.lb_zone_routing_cross_zone.add();
  if (capacity_.back() == 0) {  // by rounding only
    stats.lb_zone_no_capacity_left.add();
    return {.target = Target::kZone, .zone = rng.below(static_cast<std::uint32_t>(names_.size()))};
  }
  const auto at = std::ranges::upper_bound(capacity_, rng.below(capacity_.back()));
  return {.target = Target::kZone, .zone = static_cast<std::size_t>(at - capacity_.begin())};
}

}  // namespace millrace::proxy
