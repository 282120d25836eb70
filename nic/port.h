// A port as the worker sees it: bursts of packets in and out, whatever moves them (an ethdev, a simulated link).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/flow_steering.h"
#include "nic/packet.h"

namespace millrace::nic {

/// Who carries something out.
enum class Place : std::uint8_t { kDevice, kModel, kSoftware };
[[nodiscard]] constexpr std::string_view to_text(Place place) {
  return place == Place::kDevice ? "device" : place == Place::kModel ? "model" : "software";
}

/// What has become of one thing that devices may do for us.
struct OffloadUse {
  std::string name;      ///< "tx_tcp_checksum", ...
  bool offered = false;  ///< the driver says that the device does it
  Place where = Place::kSoftware;
  std::string reason = {};  ///< why it is done in software; empty where it is not
  bool operator==(const OffloadUse&) const = default;
};

/// What has become of one rule at a port.
struct RuleUse {
  std::string name;
  Place where = Place::kSoftware;
  std::string reason = {};                 ///< why it is not in the device; empty where it is
  std::optional<std::uint64_t> hits = {};  ///< packets that it decided about; none: nobody counts them
  std::uint64_t dropped = 0;               ///< of these
  bool operator==(const RuleUse&) const = default;
};

/// What a port is and can do; what it cannot, the layers above do in software. Constant after start.
struct PortInfo {
  std::string name;    ///< the configured name
  std::string driver;  ///< "net_tap", "net_af_xdp", "simulated", ...
  MacAddress mac;
  std::uint16_t mtu = 1500;  ///< largest IP packet, bytes
  std::uint16_t queues = 1;  ///< receive and transmit queue pairs; may be fewer than workers
  int numa_node = -1;        ///< -1: unknown
  bool rx_ip_checksum = false;
  bool rx_l4_checksum = false;
  TxOffloads tx = {};
  /// By what the device chooses the queue of a TCP packet; none where it has one queue, or does not tell.
  std::optional<RssTable> rss = {};
  std::vector<OffloadUse> offloads = {};  ///< each that is known, for people to read
};

/// Counters of one port, as the device and the rim count them.
struct PortCounters {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t rx_missed = 0;  ///< the device had no descriptor
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_no_buffer = 0;  ///< the pool was exhausted
  std::uint64_t tx_errors = 0;
  std::uint64_t tx_dropped = 0;   ///< the transmit queue stayed full
  std::uint64_t rx_filtered = 0;  ///< dropped by rules, outside the device
};

/// What went through one queue.
struct QueueCounters {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_missed = 0;  ///< its ring was full
  std::uint64_t tx_packets = 0;
};

/// Virtual once a burst. A queue is received from by one worker. Where there are fewer queues than workers, several transmit on
/// one. counters() may be called from any thread.
class Port {
 public:
  virtual ~Port() = default;

  [[nodiscard]] virtual const PortInfo& info() const = 0;

  /// Fills `out` from the front with received frames; returns how many.
  virtual std::size_t receive(std::uint16_t queue, std::span<Packet> out) = 0;

  /// Takes frames from the front, in order; returns how many were taken (those are moved from, the rest is untouched): none while
  /// another worker is inside this call for the same queue.
  virtual std::size_t transmit(std::uint16_t queue, std::span<Packet> frames) = 0;

  [[nodiscard]] virtual PortCounters counters() const = 0;

  /// Of each queue, where they are counted: any thread.
  [[nodiscard]] virtual std::vector<QueueCounters> queue_counters() const { return {}; }

  /// What has become of each rule that holds here, in their order. May ask the device: any thread, not for workers.
  [[nodiscard]] virtual std::vector<RuleUse> rules() const { return {}; }

  /// The link was up when refresh_link() looked last: any thread. A device that does not know is up.
  [[nodiscard]] virtual bool link_up() const { return true; }
  /// Asks the device, which may take a system call: not for workers.
  virtual void refresh_link() {}

  /// A descriptor that becomes readable when frames wait in `queue`, or -1 where the device has none (memif, AF_XDP):
  /// what an idle worker may sleep on.
  [[nodiscard]] virtual int wait_descriptor(std::uint16_t queue) const = 0;
};

}  // namespace millrace::nic
