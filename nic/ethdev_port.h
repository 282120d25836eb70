// A Port over any DPDK ethdev: TAP, AF_XDP, memif, PCI NICs and other virtual devices take the same path. It claims only offloads
// that a device does in hardware; the layers above do the rest, and carry out the rules that the device does not take. It does
// not choose cores or resolve addresses.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "nic/devargs.h"
#include "nic/ethdev_rules.h"
#include "nic/mbuf_pool.h"
#include "nic/netns.h"
#include "nic/offload_report.h"
#include "nic/port.h"
#include "nic/port_config.h"

namespace millrace::nic {

/// What a buffer must hold for a frame of the port's MTU (1,500 where it names none), headroom included.
[[nodiscard]] std::size_t buffer_bytes_for(const PortConfig& config);

/// Made and destroyed on one thread (the agent's), with no worker inside receive() or transmit() at the time; destroyed before
/// its pools and the Eal. Destruction gives the device back: a TAP interface disappears.
class EthdevPort final : public Port {
 public:
  /// Probes, configures and starts the device with a queue pair for each worker, or as many as it has: info().queues. All receive
  /// into `pool`. `index` (below limits::kMaxPorts) marks received packets. Needs a running Eal; where the
  /// configuration names a network namespace, the calling thread is inside it meanwhile.
  /// The error names the port, what failed, why, and what to do.
  [[nodiscard]] static Result<std::unique_ptr<EthdevPort>, std::string> open(const PortConfig& config, MbufPool& pool,
                                                                             std::uint16_t workers, std::uint8_t index);
  ~EthdevPort() override;
  EthdevPort(const EthdevPort&) = delete;
  EthdevPort& operator=(const EthdevPort&) = delete;

  [[nodiscard]] const PortInfo& info() const override { return info_; }
  /// At most limits::kRxBurstPackets frames. A frame in several segments that does not fit its first one is dropped and counted.
  std::size_t receive(std::uint16_t queue, std::span<Packet> out) override;
  /// At most limits::kTxBurstPackets frames at a time, all from the port's pool.
  std::size_t transmit(std::uint16_t queue, std::span<Packet> frames) override;
  /// rx_errors include frames dropped because they came in segments; tx_errors of a TAP include refused frames that were
  /// sent later.
  [[nodiscard]] PortCounters counters() const override;
  /// Of the configured rules, in the device or left to whoever stands before this port.
  [[nodiscard]] std::vector<RuleUse> rules() const override;
  [[nodiscard]] bool link_up() const override { return link_up_.load(std::memory_order_relaxed); }
  void refresh_link() override;
  /// Only a TAP has one: readable exactly while frames wait, nothing to arm or to clear. Other devices' interrupts must be armed
  /// and cleared around each sleep, or do not exist.
  [[nodiscard]] int wait_descriptor(std::uint16_t queue) const override { return wait_descriptors_[queue]; }

 private:
  struct alignas(64) Queue {
    std::atomic<std::uint64_t> rx_segmented{0};  ///< dropped: several segments, too long for one
    std::atomic_flag transmitting;               ///< by one of several workers
  };

  EthdevPort(const PortConfig& config, std::uint16_t workers, std::uint8_t index);

  // The steps of open(), in ethdev_open.cc: each returns an error text without the port's name, or nothing.
  std::string check(const PortConfig& config, const MbufPool& pool) const;
  std::string probe(const PortConfig& config, const Devargs& devargs);
  std::string configure(const PortConfig& config);
  std::string set_up_queues(const PortConfig& config, MbufPool& pool);
  std::string set_mtu(const PortConfig& config);
  std::string start(const PortConfig& config);
  void place(const PortConfig& config);
  [[nodiscard]] std::optional<RssTable> read_rss() const;
  std::size_t transmit_alone(std::uint16_t queue, std::span<Packet> frames);

  PortInfo info_;
  OfferedOffloads offered_;
  std::vector<RuleUse> rules_;
  std::unique_ptr<EthdevRules> flow_table_;  ///< null without rules
  std::uint8_t index_;
  const std::uint16_t workers_;
  std::uint16_t ethdev_;  ///< DPDK's number of the device, kNoEthdev before probing
  bool started_ = false;
  std::atomic<bool> link_up_{true};
  NetworkNamespace netns_;
  std::vector<int> wait_descriptors_;
  std::unique_ptr<Queue[]> queues_;
};

}  // namespace millrace::nic
