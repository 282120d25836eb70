// What the internet layer is configured with, as plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/base/addresses.h"
#include "nic/packet.h"

namespace millrace::ip {

inline constexpr std::uint8_t kProtocolTcp = 6;

/// One port with its addresses. The index in IpLayer's list is the port's index in Packet::port().
struct InterfaceConfig {
  MacAddress mac = {};
  std::uint16_t mtu = 1500;
  std::vector<IpPrefix> addresses = {};  ///< the gateway's own, each with its on-link network
  std::uint16_t vlan = 0;                ///< 802.1Q VLAN, 1 to 4094, of all frames in and out; 0: untagged
  bool reassemble = true;                ///< put fragments together; else they are dropped
  /// Times that the link is asked, a second apart, whether somebody has our IPv6 addresses, before they are used (RFC 4862 5.4).
  /// 0: they are used at once.
  std::uint8_t duplicate_probes = 0;
  nic::TxOffloads tx = {};
  /// Another worker speaks for these addresses: answers who asks for them, announces them, probes for duplicates, reports groups
  /// and looks for routers. This one asks for its own neighbours, and learns from what it hears.
  bool silent = false;
  /// Of duplicate detection's probes, 48 bits: the same for all workers, so that none takes another's probe, sent back by the
  /// link, for a duplicate's. 0: by chance.
  std::uint64_t probe_nonce = 0;
};

/// Longest prefix wins. `via` unspecified: on link.
struct RouteConfig {
  IpPrefix to = {};
  IpAddress via = {};
};

}  // namespace millrace::ip
