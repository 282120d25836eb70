// A port of one queue for tests of what stands before a port: gives what it was given to give, keeps what is sent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "nic/heap_pool.h"
#include "nic/port.h"

namespace millrace::test {

/// Any thread: a lock is around everything.
class FakePort final : public nic::Port {
 public:
  explicit FakePort(nic::HeapPool& pool) : pool_(pool) {
    port_info.name = "fake";
    port_info.driver = "fake";
  }

  void arrive(std::vector<std::uint8_t> frame) {
    const std::lock_guard lock(mutex_);
    arriving_.push_back(std::move(frame));
  }
  /// All that was transmitted since the last call.
  [[nodiscard]] std::vector<std::vector<std::uint8_t>> sent() {
    const std::lock_guard lock(mutex_);
    return std::exchange(sent_, {});
  }

  [[nodiscard]] const nic::PortInfo& info() const override { return port_info; }
  std::size_t receive(std::uint16_t queue, std::span<nic::Packet> out) override {
    const std::lock_guard lock(mutex_);
    MR_ASSERT(queue == 0);
    std::size_t filled = 0;
    for (; filled < out.size() && !arriving_.empty(); arriving_.pop_front()) {
      out[filled] = pool_.copy_of(arriving_.front());
      if (out[filled]) ++filled;
    }
    return filled;
  }
  std::size_t transmit(std::uint16_t queue, std::span<nic::Packet> frames) override {
    const std::lock_guard lock(mutex_);
    MR_ASSERT(queue == 0);
    const std::size_t taken = std::min(frames.size(), transmit_limit);
    for (nic::Packet& packet : frames.first(taken)) {
      MR_ASSERT(packet.attached().empty() && packet.offload() == 0);
      sent_.emplace_back(packet.bytes().begin(), packet.bytes().end());
      packet = nic::Packet();
    }
    return taken;
  }
  [[nodiscard]] nic::PortCounters counters() const override { return port_counters; }
  [[nodiscard]] std::vector<nic::RuleUse> rules() const override { return rule_uses; }
  [[nodiscard]] int wait_descriptor(std::uint16_t) const override { return descriptor; }

  nic::PortInfo port_info;
  nic::PortCounters port_counters;
  std::vector<nic::RuleUse> rule_uses;
  std::size_t transmit_limit = SIZE_MAX;  ///< frames taken from one transmit()
  int descriptor = -1;

 private:
  std::mutex mutex_;
  nic::HeapPool& pool_;
  std::deque<std::vector<std::uint8_t>> arriving_;
  std::vector<std::vector<std::uint8_t>> sent_;
};

}  // namespace millrace::test
