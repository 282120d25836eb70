// Which addresses are ours, on which interface, and what may stand in the source of a packet. Of an IPv6 address that is still
// being checked, or that another host turned out to have, only the entry is there: it is none of ours (RFC 4862 5.4). Groups: we
// are in all-nodes and in the solicited-node groups of our IPv6 addresses. IPv4's 224.0.0.1 would bring nothing that we listen
// to.
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
  enum class Use : std::uint8_t {
    kUsable,
    kTentative,  ///< duplicate address detection is under way
    kDuplicate,  ///< another host has it
  };
  struct Entry {
    IpPrefix prefix;  ///< the address with its on-link network
    std::uint8_t interface = 0;
    Use use = Use::kUsable;
  };

  /// Adds the link-local address of each interface that has an IPv6 address and no link-local one.
  explicit LocalAddresses(std::span<const InterfaceConfig> interfaces);

  [[nodiscard]] bool is_local(const IpAddress& address) const;
  /// Another number, never 0, after each change of what is_local() says.
  [[nodiscard]] std::uint32_t version() const { return version_; }
  [[nodiscard]] bool is_local_on(const IpAddress& address, std::uint8_t interface) const;
  /// 255.255.255.255, or the directed broadcast address of a network of ours.
  [[nodiscard]] bool is_broadcast(const IpAddress& address) const;
  /// `address` lies on a network of `interface`.
  [[nodiscard]] bool on_link(const IpAddress& address, std::uint8_t interface) const;
  /// The solicited-node group of one of the interface's addresses, or all-nodes.
  [[nodiscard]] bool is_group_of(const IpAddress& group, std::uint8_t interface) const;
  /// The address to send from to `destination` on `interface`: one on its network, else one of its family there, of wider scope
  /// than the link if there is one (RFC 6724 5, rules 2 and 8 in their simplest form).
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& destination, std::uint8_t interface) const;
  [[nodiscard]] std::span<const Entry> entries() const { return entries_; }
  /// The entry of an address of the interface, usable or not; null when there is none.
  [[nodiscard]] const Entry* find(const IpAddress& address, std::uint8_t interface) const;
  /// `entry` is one of entries().
  void set_use(const Entry& entry, Use use);

 private:
  std::vector<Entry> entries_;         // in the order of the configuration
  std::vector<IpAddress> sorted_;      // the usable ones
  std::vector<IpAddress> broadcasts_;  // of our networks
  std::uint32_t version_ = 1;
};

/// Never a source of what we answer: multicast, broadcast, loopback, unspecified, 0.0.0.0/8, 240.0.0.0/4.
[[nodiscard]] bool is_martian_source(const IpAddress& address);

}  // namespace millrace::ip
