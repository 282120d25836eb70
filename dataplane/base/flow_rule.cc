#include "dataplane/base/flow_rule.h"

#include <algorithm>

namespace millrace {
namespace {

bool prefixes_disjoint(const std::optional<IpPrefix>& a, const std::optional<IpPrefix>& b) {
  if (!a || !b) return false;
  const IpPrefix& wide = a->length <= b->length ? *a : *b;
  const IpPrefix& narrow = a->length <= b->length ? *b : *a;
  return !wide.contains(narrow.address);
}

bool ports_disjoint(const std::optional<FlowPortRange>& a, const std::optional<FlowPortRange>& b) {
  return a && b && (a->last < b->first || b->last < a->first);
}

}  // namespace

bool FlowMatch::matches(const FlowKey& key) const {
  if (protocol && *protocol != key.protocol) {
    if (*protocol != kIcmp || key.protocol != kIcmpv6 || key.source.is_v4()) return false;
  }
  if (source && !source->contains(key.source)) return false;
  if (destination && !destination->contains(key.destination)) return false;
  if (!source_ports && !destination_ports) return true;
  if (!key.has_ports) return false;
  return (!source_ports || source_ports->contains(key.source_port)) &&
         (!destination_ports || destination_ports->contains(key.destination_port));
}

bool FlowMatch::covers_family(bool v4) const {
  return (!source || source->address.is_v4() == v4) && (!destination || destination->address.is_v4() == v4);
}

bool FlowMatch::disjoint(const FlowMatch& other) const {
  const auto no_common_family = [&](bool v4) { return !covers_family(v4) || !other.covers_family(v4); };
  if (no_common_family(true) && no_common_family(false)) return true;
  const auto is_icmp = [](std::uint8_t number) { return number == kIcmp || number == kIcmpv6; };
  if (protocol && other.protocol && *protocol != *other.protocol && !(is_icmp(*protocol) && is_icmp(*other.protocol)))
    return true;
  return prefixes_disjoint(source, other.source) || prefixes_disjoint(destination, other.destination) ||
         ports_disjoint(source_ports, other.source_ports) || ports_disjoint(destination_ports, other.destination_ports);
}

}  // namespace millrace
