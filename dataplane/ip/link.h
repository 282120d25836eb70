// Frames on their way out, one bounded queue per interface, and the drop counters of the internet layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/interface.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::ip {

class Link {
 public:
  /// Frames that may wait on one interface.
  static constexpr std::size_t kQueueFrames = 2048;

  explicit Link(std::span<const InterfaceConfig> interfaces);

  [[nodiscard]] std::size_t interfaces() const { return ports_.size(); }
  [[nodiscard]] const InterfaceConfig& config(std::size_t interface) const { return ports_[interface].config; }
  /// Largest IPv6 packet: the port's MTU, or what a router advertised for the link, if that is less.
  [[nodiscard]] std::uint16_t ipv6_mtu(std::size_t interface) const { return ports_[interface].ipv6_mtu; }
  void set_ipv6_mtu(std::size_t interface, std::uint16_t mtu) { ports_[interface].ipv6_mtu = mtu; }
  /// Bytes of the Ethernet header that transmit() writes.
  [[nodiscard]] std::uint8_t header_size(std::size_t interface) const { return ports_[interface].header_size; }

  [[nodiscard]] bool is_up(std::size_t interface) const { return ports_[interface].up; }
  /// Down: what waits is dropped, as everything that would wait then. What was sent minutes ago would only confuse.
  void set_up(std::size_t interface, bool up);

  /// Prepends the Ethernet header and queues. False when the queue is full or the link down, which is counted.
  bool transmit(std::uint8_t interface, const MacAddress& destination, std::uint16_t type, nic::Packet packet);

  [[nodiscard]] std::span<nic::Packet> outgoing(std::size_t interface);
  void outgoing_taken(std::size_t interface, std::size_t count);

  void count(wire::DropReason reason) {
    if (!overhearing_) wire::count(drops_, reason);
  }
  /// What happens meanwhile is counted by the worker that received the frame.
  void set_overhearing(bool on) { overhearing_ = on; }
  [[nodiscard]] const wire::DropCounters& drops() const { return drops_; }

 private:
  struct Port {
    InterfaceConfig config;
    std::uint16_t ipv6_mtu = 0;
    std::uint8_t header_size = 0;
    bool up = true;
    std::vector<nic::Packet> frames;  // [taken, size) wait; room for kQueueFrames is reserved, it never grows
    std::size_t taken = 0;
  };
  std::vector<Port> ports_;
  wire::DropCounters drops_{};
  bool overhearing_ = false;
};

}  // namespace millrace::ip
