// From rules to what a device's flow table takes: patterns of values under masks. Plain data, no DPDK type: nic/rte_rule.h writes
// it in DPDK's structures, and only the device knows whether it takes them (rule_placement.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/flow_rule.h"
#include "dataplane/base/result.h"

namespace millrace::nic {

/// A port number that equals `value` where `mask` has ones.
struct MaskedPort {
  std::uint16_t value = 0;
  std::uint16_t mask = 0;
  constexpr bool operator==(const MaskedPort&) const = default;
};

/// One entry of a flow table.
struct DeviceRule {
  std::uint32_t priority = 0;  ///< less goes first; among equals the order must not matter
  std::uint16_t vlan = 0;      ///< 0: frames without a tag
  bool v4 = true;              ///< else IPv6
  std::optional<IpPrefix> source = {};
  std::optional<IpPrefix> destination = {};
  std::optional<std::uint8_t> protocol = {};
  MaskedPort source_port = {};
  MaskedPort destination_port = {};
  std::optional<std::uint16_t> queue = {};  ///< none: drop
  bool operator==(const DeviceRule&) const = default;
};

/// The entries of one rule at the most: beyond, a table is filled for one range of ports.
inline constexpr std::size_t kMostDeviceRules = 64;

/// The fewest value-mask pairs that are exactly the range.
[[nodiscard]] std::vector<MaskedPort> masks_of(const FlowPortRange& range);

/// The entries that together do what `rule` says, on a port whose frames have the tag `vlan` (0: none): one for each family, and
/// for each part of its port ranges. All are of priority 0. The error says why there are none: the
/// rule polices, or takes too many.
[[nodiscard]] Result<std::vector<DeviceRule>, std::string> compile_rule(const FlowRule& rule, std::uint16_t vlan);

}  // namespace millrace::nic
