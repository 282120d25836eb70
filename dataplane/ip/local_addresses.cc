#include "dataplane/ip/local_addresses.h"

#include <algorithm>

#include "dataplane/wire/neighbour_discovery.h"

namespace millrace::ip {

LocalAddresses::LocalAddresses(std::span<const InterfaceConfig> interfaces) {
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    const auto interface = static_cast<std::uint8_t>(i);
    const Use v6_use = interfaces[i].duplicate_probes > 0 ? Use::kTentative : Use::kUsable;
    bool any_v6 = false;
    bool link_local = false;
    for (const IpPrefix& prefix : interfaces[i].addresses) {
      entries_.push_back({prefix, interface, prefix.address.is_v6() ? v6_use : Use::kUsable});
      any_v6 |= prefix.address.is_v6();
      link_local |= prefix.address.is_v6() && prefix.address.is_link_local();
    }
    if (any_v6 && !link_local) entries_.push_back({{wire::link_local_address(interfaces[i].mac), 64}, interface, v6_use});
  }
  sorted_.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    if (entry.use == Use::kUsable) sorted_.push_back(entry.prefix.address);
    if (const auto broadcast = entry.prefix.broadcast()) broadcasts_.push_back(*broadcast);
  }
  std::ranges::sort(sorted_);
}

const LocalAddresses::Entry* LocalAddresses::find(const IpAddress& address, std::uint8_t interface) const {
  const auto found =
      std::ranges::find_if(entries_, [&](const Entry& e) { return e.interface == interface && e.prefix.address == address; });
  return found == entries_.end() ? nullptr : &*found;
}

// The same address may be usable on one interface and a duplicate on another: the list of usable ones is made anew.
void LocalAddresses::set_use(const Entry& entry, Use use) {
  entries_[static_cast<std::size_t>(&entry - entries_.data())].use = use;
  if (++version_ == 0) ++version_;
  sorted_.clear();
  for (const Entry& each : entries_) {
    if (each.use == Use::kUsable) sorted_.push_back(each.prefix.address);
  }
  std::ranges::sort(sorted_);
}

bool LocalAddresses::is_local(const IpAddress& address) const {
  constexpr std::size_t kFew = 16;  // compared one by one they are found sooner
  return sorted_.size() <= kFew ? std::ranges::find(sorted_, address) != sorted_.end()
                                : std::ranges::binary_search(sorted_, address);
}

bool LocalAddresses::is_local_on(const IpAddress& address, std::uint8_t interface) const {
  const Entry* entry = find(address, interface);
  return entry != nullptr && entry->use == Use::kUsable;
}

bool LocalAddresses::is_broadcast(const IpAddress& address) const {
  if (address.is_v6()) return false;
  return address.is_broadcast() || std::ranges::find(broadcasts_, address) != broadcasts_.end();
}

bool LocalAddresses::on_link(const IpAddress& address, std::uint8_t interface) const {
  return std::ranges::any_of(entries_, [&](const Entry& e) { return e.interface == interface && e.prefix.contains(address); });
}

bool LocalAddresses::is_group_of(const IpAddress& group, std::uint8_t interface) const {
  if (group == wire::all_nodes_group()) return true;
  return std::ranges::any_of(entries_, [&](const Entry& e) {
    return e.interface == interface && e.use != Use::kDuplicate && e.prefix.address.is_v6() &&
           wire::solicited_node_group(e.prefix.address) == group;
  });
}

std::optional<IpAddress> LocalAddresses::source_for(const IpAddress& destination, std::uint8_t interface) const {
  std::optional<IpAddress> fallback;
  for (const Entry& entry : entries_) {
    const IpAddress& ours = entry.prefix.address;
    if (entry.interface != interface || entry.use != Use::kUsable || ours.is_v4() != destination.is_v4()) continue;
    if (entry.prefix.contains(destination)) return ours;
    if (!fallback || (fallback->is_link_local() && !ours.is_link_local())) fallback = ours;
  }
  return fallback;
}

bool is_martian_source(const IpAddress& address) {
  if (address.is_unspecified() || address.is_loopback() || address.is_multicast()) return true;
  return address.is_v4() && (address.v4_bytes()[0] == 0 || address.v4_bytes()[0] >= 240);
}

}  // namespace millrace::ip
