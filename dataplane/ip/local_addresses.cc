#include "dataplane/ip/local_addresses.h"

#include <algorithm>

#include "dataplane/wire/neighbour_discovery.h"

namespace millrace::ip {

LocalAddresses::LocalAddresses(std::span<const InterfaceConfig> interfaces) {
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    const auto interface = static_cast<std::uint8_t>(i);
    bool any_v6 = false;
    bool link_local = false;
    for (const IpPrefix& prefix : interfaces[i].addresses) {
      entries_.push_back({prefix, interface});
      any_v6 |= prefix.address.is_v6();
      link_local |= prefix.address.is_v6() && prefix.address.is_link_local();
    }
    if (any_v6 && !link_local) entries_.push_back({{wire::link_local_address(interfaces[i].mac), 64}, interface});
  }
  for (const Entry& entry : entries_) sorted_.push_back(entry.prefix.address);
  std::ranges::sort(sorted_);
}

bool LocalAddresses::is_local(const IpAddress& address) const { return std::ranges::binary_search(sorted_, address); }

bool LocalAddresses::is_local_on(const IpAddress& address, std::uint8_t interface) const {
  return std::ranges::any_of(entries_, [&](const Entry& e) { return e.interface == interface && e.prefix.address == address; });
}

bool LocalAddresses::is_broadcast(const IpAddress& address) const {
  if (address.is_v6()) return false;
  return address.is_broadcast() || std::ranges::any_of(entries_, [&](const Entry& e) { return e.prefix.broadcast() == address; });
}

bool LocalAddresses::on_link(const IpAddress& address, std::uint8_t interface) const {
  return std::ranges::any_of(entries_, [&](const Entry& e) { return e.interface == interface && e.prefix.contains(address); });
}

bool LocalAddresses::is_group_of(const IpAddress& group, std::uint8_t interface) const {
  if (group == wire::all_nodes_group()) return true;
  return std::ranges::any_of(entries_, [&](const Entry& e) {
    return e.interface == interface && e.prefix.address.is_v6() && wire::solicited_node_group(e.prefix.address) == group;
  });
}

std::optional<IpAddress> LocalAddresses::source_for(const IpAddress& next_hop, std::uint8_t interface) const {
  std::optional<IpAddress> fallback;
  for (const Entry& entry : entries_) {
    if (entry.interface != interface || entry.prefix.address.is_v4() != next_hop.is_v4()) continue;
    if (entry.prefix.contains(next_hop)) return entry.prefix.address;
    if (!fallback) fallback = entry.prefix.address;
  }
  return fallback;
}

bool is_martian_source(const IpAddress& address) {
  if (address.is_unspecified() || address.is_loopback() || address.is_multicast()) return true;
  return address.is_v4() && (address.v4_bytes()[0] == 0 || address.v4_bytes()[0] >= 240);
}

}  // namespace millrace::ip
