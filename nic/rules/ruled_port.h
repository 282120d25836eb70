// A port with rules: drops on receive what they say, as far as the device behind does not. Put before a port only where rules
// drop or police; without any, nothing stands between worker and port.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/base/time.h"
#include "nic/port.h"
#include "nic/rules/rule_table.h"

namespace millrace::nic {

/// Threads as for the port behind.
class RuledPort final : public Port {
 public:
  /// `rules` are those that hold at the port, in their order; which of them the device carries out, its rules() tell. Of the
  /// frames that come through, software looks at all when one rule that drops or polices is its own; else only at those that the
  /// device may not have understood (FrameKey::plain). `clock` is read once a burst when a rule polices: any thread.
  RuledPort(std::unique_ptr<Port> port, std::span<const FlowRule> rules, std::function<Instant()> clock);

  [[nodiscard]] const PortInfo& info() const override { return port_->info(); }
  std::size_t receive(std::uint16_t queue, std::span<Packet> out) override;
  std::size_t transmit(std::uint16_t queue, std::span<Packet> frames) override { return port_->transmit(queue, frames); }
  [[nodiscard]] PortCounters counters() const override;
  [[nodiscard]] std::vector<QueueCounters> queue_counters() const override { return port_->queue_counters(); }
  [[nodiscard]] std::vector<RuleUse> rules() const override;
  [[nodiscard]] bool link_up() const override { return port_->link_up(); }
  void refresh_link() override { port_->refresh_link(); }
  [[nodiscard]] int wait_descriptor(std::uint16_t queue) const override { return port_->wait_descriptor(queue); }

 private:
  [[nodiscard]] bool passes(const Packet& packet, Instant now);

  std::unique_ptr<Port> port_;
  const std::vector<FlowRule> rules_;
  RuleTable table_;
  const std::function<Instant()> clock_;
  bool device_does_all_ = false;
  std::atomic<std::uint64_t> filtered_{0};
};

}  // namespace millrace::nic
