#include "nic/rules/flow_compiler.h"

#include <algorithm>
#include <bit>

namespace millrace::nic {

// Takes from the front the largest block that is aligned and fits, as routers cut a range into prefixes.
std::vector<MaskedPort> masks_of(const FlowPortRange& range) {
  std::vector<MaskedPort> masks;
  for (std::uint32_t first = range.first; first <= range.last;) {
    const std::uint32_t left = range.last - first + 1u;
    const std::uint32_t aligned = first == 0 ? 0x1'0000u : first & (~first + 1);
    const std::uint32_t block = std::min(aligned, std::bit_floor(left));
    masks.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(~(block - 1))});
    first += block;
  }
  return masks;
}

Result<std::vector<DeviceRule>, std::string> compile_rule(const FlowRule& rule, std::uint16_t vlan) {
  if (std::holds_alternative<FlowRule::Police>(rule.action)) {
    return Error<std::string>("rates are kept in software: no meter of a device is used");
  }
  const FlowMatch& match = rule.match;
  const auto sources = masks_of(match.source_ports.value_or(FlowPortRange{}));
  const auto destinations = masks_of(match.destination_ports.value_or(FlowPortRange{}));
  std::vector<DeviceRule> out;
  for (const bool v4 : {true, false}) {
    if (!match.covers_family(v4)) continue;
    DeviceRule entry{
        .vlan = vlan, .v4 = v4, .source = match.source, .destination = match.destination, .protocol = match.protocol};
    if (!v4 && entry.protocol == FlowMatch::kIcmp) entry.protocol = FlowMatch::kIcmpv6;
    if (const auto* steer = std::get_if<FlowRule::Steer>(&rule.action)) entry.queue = steer->worker;
    for (const MaskedPort& source : sources) {
      for (const MaskedPort& destination : destinations) {
        entry.source_port = source;
        entry.destination_port = destination;
        out.push_back(entry);
      }
    }
  }
  if (out.size() > kMostDeviceRules) {
    return Error<std::string>("its port ranges take " + std::to_string(out.size()) + " entries of a flow table, more than " +
                              std::to_string(kMostDeviceRules));
  }
  return out;
}

}  // namespace millrace::nic
