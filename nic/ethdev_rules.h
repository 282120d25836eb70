// The flow table of an ethdev: asks the driver about each entry before it is made, counts hits where the device does, and takes
// everything out again at the end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nic/rules/rule_placement.h"

namespace millrace::nic {

/// Lives between the device's start and its stop. install() and the destructor on one thread; hits() on any.
class EthdevRules final : public FlowTable {
 public:
  explicit EthdevRules(std::uint16_t ethdev);
  ~EthdevRules() override;

  /// First with a counter; where the device takes none, without.
  [[nodiscard]] Result<void, std::string> install(std::size_t rule, std::span<const DeviceRule> entries) override;
  /// Packets that rules[rule] has met; none where the device does not count. Asks the device.
  [[nodiscard]] std::optional<std::uint64_t> hits(std::size_t rule) const;

 private:
  struct Entries;

  std::string try_install(std::size_t rule, std::span<const DeviceRule> entries, bool counted);

  const std::uint16_t ethdev_;
  std::vector<std::unique_ptr<Entries>> installed_;  // by rule; null: not here
};

}  // namespace millrace::nic
