// Bursts, counters and closing of a port; see ethdev_port.h. How it is opened is in ethdev_open.cc.
#include "nic/ethdev_port.h"

#include <algorithm>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "nic/mbuf_packet.h"
#include "nic/mbuf_pool.h"

namespace millrace::nic {
namespace {

constexpr std::uint16_t kNoEthdev = RTE_MAX_ETHPORTS;

}  // namespace

EthdevPort::EthdevPort(const PortConfig& config, std::uint16_t workers, std::uint8_t index)
    : index_(index),
      workers_(workers),
      ethdev_(kNoEthdev),
      wait_descriptors_(workers, -1),
      queues_(std::make_unique<Queue[]>(workers)) {
  info_.name = config.name;
  info_.queues = workers;
}

EthdevPort::~EthdevPort() {
  if (ethdev_ == kNoEthdev) return;
  // AF_XDP takes its program off the interface by name: that must happen in the interface's namespace.
  const auto inside = netns_.enter();
  flow_table_.reset();
  rte_eth_dev_info device{};
  const bool known = rte_eth_dev_info_get(ethdev_, &device) == 0;
  if (started_) rte_eth_dev_stop(ethdev_);
  rte_eth_dev_close(ethdev_);
  if (known && device.device != nullptr) rte_dev_remove(device.device);
}

std::size_t EthdevPort::receive(std::uint16_t queue, std::span<Packet> out) {
  rte_mbuf* mbufs[limits::kRxBurstPackets];
  const auto wanted = static_cast<std::uint16_t>(std::min(out.size(), limits::kRxBurstPackets));
  const std::uint16_t received = rte_eth_rx_burst(ethdev_, queue, mbufs, wanted);
  std::size_t filled = 0;
  for (std::uint16_t i = 0; i < received; ++i) {
    rte_mbuf& mbuf = *mbufs[i];
    if (i + 1 < received) rte_prefetch0(mbufs[i + 1]);
    if (mbuf.nb_segs != 1 && rte_pktmbuf_linearize(&mbuf) != 0) [[unlikely]] {
      rte_pktmbuf_free(&mbuf);
      queues_[queue].rx_segmented.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    out[filled++] = packet_of(mbuf, index_);
  }
  return filled;
}

// Who finds another worker inside comes again in the next turn: nobody waits for a thread that may have lost its core.
std::size_t EthdevPort::transmit(std::uint16_t queue, std::span<Packet> frames) {
  if (info_.queues == workers_) return transmit_alone(queue, frames);
  std::atomic_flag& busy = queues_[queue].transmitting;
  if (busy.test_and_set(std::memory_order_acquire)) return 0;
  const std::size_t taken = transmit_alone(queue, frames);
  busy.clear(std::memory_order_release);
  return taken;
}

std::size_t EthdevPort::transmit_alone(std::uint16_t queue, std::span<Packet> frames) {
  rte_mbuf* mbufs[limits::kTxBurstPackets];
  std::uint16_t offered = 0;
  for (Packet& frame : frames.first(std::min(frames.size(), limits::kTxBurstPackets))) {
    if (!frame.attached().empty() && !MbufPool::chain_attached(frame)) break;  // as if the queue were full: it is, of references
    mbufs[offered++] = &mbuf_for_transmit(frame);
  }
  const std::uint16_t taken = rte_eth_tx_burst(ethdev_, queue, mbufs, offered);
  // The device owns these mbufs now and may have freed them: forget them without a look.
  for (std::uint16_t i = 0; i < taken; ++i) static_cast<void>(frames[i].release());
  return taken;
}

PortCounters EthdevPort::counters() const {
  rte_eth_stats stats{};
  PortCounters counters;
  if (rte_eth_stats_get(ethdev_, &stats) == 0) {
    counters = {.rx_packets = stats.ipackets,
                .rx_bytes = stats.ibytes,
                .tx_packets = stats.opackets,
                .tx_bytes = stats.obytes,
                .rx_missed = stats.imissed,
                .rx_errors = stats.ierrors,
                .rx_no_buffer = stats.rx_nombuf,
                .tx_errors = stats.oerrors};
  }
  for (std::uint16_t queue = 0; queue < info_.queues; ++queue) {
    counters.rx_errors += queues_[queue].rx_segmented.load(std::memory_order_relaxed);
  }
  return counters;
}

std::vector<RuleUse> EthdevPort::rules() const {
  std::vector<RuleUse> uses = rules_;
  for (std::size_t i = 0; i < uses.size(); ++i) {
    if (uses[i].where == Place::kDevice) uses[i].hits = flow_table_->hits(i);
  }
  return uses;
}

void EthdevPort::refresh_link() {
  rte_eth_link link{};
  const bool known = rte_eth_link_get_nowait(ethdev_, &link) == 0;
  link_up_.store(!known || link.link_status == RTE_ETH_LINK_UP, std::memory_order_relaxed);
}

}  // namespace millrace::nic
