// A SmartNIC in software before any port: it spreads what arrives over queues by receive side scaling, drops and polices by a
// flow table, checks and fills in checksums, puts packets together and cuts bursts into segments, and counts. So that everything
// that a device may do for us runs on machines without such a device. It costs what it does: for tests, and for trying rules.
//
//   port, queue 0 --receive--> flow table -> checksums -> hash -> ring of each queue --receive(queue)--> worker
//   worker --transmit(queue)--> segments, checksums -> frames that wait --transmit--> port, queue 0
//
// The parts are pure (receive_engine.h, transmit_engine.h, rules/rule_table.h, flow_steering.h); here are only threads and
// queues.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/base/flow_steering.h"
#include "dataplane/base/spsc_ring.h"
#include "dataplane/base/time.h"
#include "nic/model/transmit_engine.h"
#include "nic/port.h"
#include "nic/rules/rule_table.h"

namespace millrace::nic {

struct SmartNicConfig {
  std::uint16_t workers = 1;
  std::uint16_t queues = 1;   ///< at most `workers`
  bool checksums = false;     ///< both ways
  bool segmentation = false;  ///< and scatter-gather; only together with `checksums`
  bool flow_table = false;    ///< carries out `rules`; else it reports them as left to software
  std::vector<FlowRule> rules = {};
};

/// Any number of workers, each on its queue. Who finds another inside the port behind does not wait: it comes again in its next
/// turn.
class SmartNic final : public Port {
 public:
  /// `port` is used on its queue 0, and through nothing but this from now on; frames for it are made in `pool`, which outlives
  /// this. `clock` is read once a burst when a rule polices: any thread.
  SmartNic(std::unique_ptr<Port> port, PacketPool& pool, SmartNicConfig config, std::function<Instant()> clock);

  [[nodiscard]] const PortInfo& info() const override { return info_; }
  std::size_t receive(std::uint16_t queue, std::span<Packet> out) override;
  /// A packet that was taken may wait here until the port behind takes it: in the next transmit() or receive() of any queue.
  std::size_t transmit(std::uint16_t queue, std::span<Packet> frames) override;
  [[nodiscard]] PortCounters counters() const override;
  [[nodiscard]] std::vector<QueueCounters> queue_counters() const override;
  [[nodiscard]] std::vector<RuleUse> rules() const override;
  [[nodiscard]] bool link_up() const override { return port_->link_up(); }
  void refresh_link() override { port_->refresh_link(); }
  /// That of the port behind, where there is one queue. With several, another worker may take what made it readable.
  [[nodiscard]] int wait_descriptor(std::uint16_t) const override { return config_.queues == 1 ? port_->wait_descriptor(0) : -1; }

 private:
  static constexpr std::size_t kRingPackets = 1'024;
  static constexpr std::size_t kMostWaiting = 256;  // frames, before packets are refused

  struct Queue {
    SpscRing<Packet> ring{kRingPackets};
    std::atomic<std::uint64_t> rx_packets{0};
    std::atomic<std::uint64_t> rx_missed{0};
    std::atomic<std::uint64_t> tx_packets{0};
  };

  void describe();
  static std::size_t pop(SpscRing<Packet>& ring, std::span<Packet> out);
  void poll();
  void take(Packet& packet);
  void flush();

  std::unique_ptr<Port> port_;
  PacketPool& pool_;
  const SmartNicConfig config_;
  const std::function<Instant()> clock_;
  PortInfo info_;
  FlowSteering steering_;
  RuleTable table_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::atomic<std::uint64_t> filtered_{0};
  std::atomic<std::uint64_t> tx_dropped_{0};  // no buffer for a segment

  std::atomic_flag polling_;  // receives from port_, pushes into rings

  std::atomic_flag sending_;  // guards what follows, and transmits on port_
  TransmitEngine engine_;
  std::vector<Packet> waiting_;
  std::atomic<bool> some_wait_{false};  // read without the guard
};

}  // namespace millrace::nic
