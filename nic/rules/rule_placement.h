// Which rules a device carries out, and why the others are left to software. A device sees a packet before software does, so that
// a rule goes into the device only where that changes nothing: every earlier rule of its kind that software keeps is disjoint
// from it, or decides the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/flow_rule.h"
#include "dataplane/base/result.h"
#include "nic/port.h"
#include "nic/rules/flow_compiler.h"

namespace millrace::nic {

/// A device's flow table, as far as placing needs it.
class FlowTable {
 public:
  virtual ~FlowTable() = default;
  /// Puts in the entries of rules[rule], all or none. The error is the device's reason.
  [[nodiscard]] virtual Result<void, std::string> install(std::size_t rule, std::span<const DeviceRule> entries) = 0;
};

/// What placing needs to know of the port.
struct RulePort {
  std::uint16_t vlan = 0;
  std::uint16_t queues = 1;
  std::uint16_t workers = 1;
};

/// Installs what can be, in order; returns for each rule where it is (kDevice or kSoftware) and why. Hits are not set.
[[nodiscard]] std::vector<RuleUse> place_rules(std::span<const FlowRule> rules, const RulePort& port, FlowTable& table);

}  // namespace millrace::nic
