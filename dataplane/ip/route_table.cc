#include "dataplane/ip/route_table.h"

#include <algorithm>

#include "dataplane/base/limits.h"

namespace millrace::ip {
namespace {

IpPrefix network_of(const IpPrefix& prefix) { return {prefix.address.masked(prefix.bits()), prefix.length}; }

// The interface on whose network the gateway lies; for a route without one, the first that has an address of the family.
std::optional<std::uint8_t> interface_of(const LocalAddresses& addresses, const RouteConfig& route) {
  for (const LocalAddresses::Entry& entry : addresses.entries()) {
    if (entry.prefix.address.is_v4() != route.to.address.is_v4()) continue;
    if (route.via.is_unspecified() || entry.prefix.contains(route.via)) return entry.interface;
  }
  return std::nullopt;
}

}  // namespace

RouteTable::RouteTable(const LocalAddresses& addresses, std::span<const RouteConfig> routes) {
  for (const RouteConfig& route : routes) {
    const auto interface = interface_of(addresses, route);
    if (!interface || addresses.is_local(route.via) || routes_.size() == limits::kMaxRoutes) {
      ++unusable_;
      continue;
    }
    routes_.push_back({network_of(route.to), route.via, route.via.is_unspecified(), *interface});
  }
  for (const LocalAddresses::Entry& entry : addresses.entries()) {
    routes_.push_back({network_of(entry.prefix), {}, true, entry.interface});
  }
  build_groups();
}

void RouteTable::build_groups() {
  std::ranges::stable_sort(routes_, [](const Route& a, const Route& b) {
    if (a.to.address.is_v4() != b.to.address.is_v4()) return a.to.address.is_v4();
    if (a.to.length != b.to.length) return a.to.length > b.to.length;
    return a.to.address < b.to.address;
  });
  const auto same = std::ranges::unique(routes_, [](const Route& a, const Route& b) { return a.to == b.to; });
  routes_.erase(same.begin(), same.end());
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const IpPrefix& to = routes_[i].to;
    if (groups_.empty() || groups_.back().v4 != to.address.is_v4() || groups_.back().bits != to.bits()) {
      groups_.push_back({to.address.is_v4(), to.bits(), i, i});
    }
    groups_.back().end = i + 1;
  }
}

std::optional<RouteTable::Hop> RouteTable::lookup(const IpAddress& destination) const {
  for (const Group& group : groups_) {
    if (group.v4 != destination.is_v4()) continue;
    const IpAddress network = destination.masked(group.bits);
    const auto candidates = std::span(routes_).subspan(group.begin, group.end - group.begin);
    const auto found = std::ranges::lower_bound(candidates, network, {}, [](const Route& route) { return route.to.address; });
    if (found == candidates.end() || found->to.address != network) continue;
    return Hop{found->on_link ? destination : found->via, found->interface};
  }
  return std::nullopt;
}

bool RouteTable::has_ipv6_default(std::uint8_t interface) const {
  return std::ranges::any_of(routes_, [&](const Route& route) {
    return route.to.length == 0 && route.to.address.is_v6() && route.interface == interface;
  });
}

}  // namespace millrace::ip
