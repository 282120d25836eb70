// Which addresses are ours, on which interface, and what may stand in the source of a packet. Constant after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/interface.h"

namespace millrace::ip {

class LocalAddresses {
 public:
  struct Entry {
    IpPrefix prefix;  ///< the address with its on-link network
    std::uint8_t interface = 0;
  };

  /// Adds the link-local address of each interface that has an IPv6 address and no link-local one.
  explicit LocalAddresses(std::span<const InterfaceConfig> interfaces);

  [[nodiscard]] bool is_local(const IpAddress& address) const;
  [[nodiscard]] bool is_local_on(const IpAddress& address, std::uint8_t interface) const;
  /// 255.255.255.255, or the directed broadcast address of a network of ours.
  [[nodiscard]] bool is_broadcast(const IpAddress& address) const;
  /// `address` lies on a network of `interface`.
  [[nodiscard]] bool on_link(const IpAddress& address, std::uint8_t interface) const;
  /// The solicited-node group of one of the interface's addresses, or all-nodes.
  [[nodiscard]] bool is_group_of(const IpAddress& group, std::uint8_t interface) const;
  /// The address to send from to a next hop on `interface`: one on the hop's network, else one of its family there.
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& next_hop, std::uint8_t interface) const;
  [[nodiscard]] std::span<const Entry> entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;  // in the order of the configuration
  std::vector<IpAddress> sorted_;
};

/// Never a source of what we answer: multicast, broadcast, loopback, unspecified, 0.0.0.0/8, 240.0.0.0/4.
[[nodiscard]] bool is_martian_source(const IpAddress& address);

}  // namespace millrace::ip
