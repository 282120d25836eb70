// Neighbour discovery messages: solicitations and advertisements of neighbours (RFC 4861 4.3, 4.4, 7.1; the nonce of RFC 7527)
// and of routers (4.1, 4.2, 6.1). Of a router advertisement only what we act on is read: lifetime, link address, MTU. No
// redirects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::uint8_t kNdHopLimit = 255;           ///< proves that no router forwarded the message
inline constexpr std::size_t kNeighbourMessageBytes = 24;  ///< without options
inline constexpr std::size_t kLinkAddressOptionBytes = 8;
inline constexpr std::size_t kNonceOptionBytes = 8;
inline constexpr std::size_t kRouterSolicitationBytes = 8;  ///< without options

/// Both what is received and what is written.
struct NeighbourMessage {
  bool is_advertisement = false;
  bool router = false;  ///< advertisements only, like the next two
  bool solicited = false;
  bool override_ = false;
  IpAddress target = {};
  std::optional<MacAddress> link_address = {};  ///< source link-layer address of a solicitation, target's of an advertisement
  std::optional<std::uint64_t> nonce = {};      ///< 48 bits: by it a probe that a looped link sends back is known (RFC 7527)

  /// `message` is the whole ICMPv6 message, its checksum verified, of type 135 or 136.
  [[nodiscard]] static Result<NeighbourMessage, DropReason> parse(std::span<const std::uint8_t> message);
  [[nodiscard]] std::size_t size() const {
    return kNeighbourMessageBytes + (link_address ? kLinkAddressOptionBytes : 0) + (nonce ? kNonceOptionBytes : 0);
  }
  /// Writes size() bytes; the checksum waits for write_icmp_checksum().
  void write(std::span<std::uint8_t> out) const;
};

/// What a router says of itself and of the link.
struct RouterAdvertisement {
  std::uint16_t lifetime_seconds = 0;           ///< as a default router; 0: it is none
  std::optional<MacAddress> link_address = {};  ///< the router's
  std::uint32_t mtu = 0;                        ///< of the link, for IPv6; 0: not said

  /// `message` is the whole ICMPv6 message, its checksum verified, of type 134.
  [[nodiscard]] static Result<RouterAdvertisement, DropReason> parse(std::span<const std::uint8_t> message);
};

/// Writes a router solicitation of kRouterSolicitationBytes, with `link_address` kLinkAddressOptionBytes more; without checksum.
void write_router_solicitation(std::span<std::uint8_t> out, const std::optional<MacAddress>& link_address);

/// ff02::1:ffxx:xxxx, the group in which the owner of `address` listens for solicitations (RFC 4291 2.7.1).
[[nodiscard]] IpAddress solicited_node_group(const IpAddress& address);
/// ff02::1
[[nodiscard]] IpAddress all_nodes_group();
/// ff02::2
[[nodiscard]] IpAddress all_routers_group();
/// 33:33:xx:xx:xx:xx (RFC 2464 7).
[[nodiscard]] MacAddress group_mac(const IpAddress& group);
/// fe80:: with the modified EUI-64 of `mac` (RFC 4291 appendix A).
[[nodiscard]] IpAddress link_local_address(const MacAddress& mac);

}  // namespace millrace::wire
