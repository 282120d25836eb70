// Neighbour solicitations and advertisements (RFC 4861 4.3, 4.4, 7.1). Router discovery and redirects are not spoken here.
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

/// Both what is received and what is written.
struct NeighbourMessage {
  bool is_advertisement = false;
  bool router = false;  ///< advertisements only, like the next two
  bool solicited = false;
  bool override_ = false;
  IpAddress target = {};
  std::optional<MacAddress> link_address = {};  ///< source link-layer address of a solicitation, target's of an advertisement

  /// `message` is the whole ICMPv6 message, its checksum verified, of type 135 or 136.
  [[nodiscard]] static Result<NeighbourMessage, DropReason> parse(std::span<const std::uint8_t> message);
  [[nodiscard]] std::size_t size() const { return kNeighbourMessageBytes + (link_address ? kLinkAddressOptionBytes : 0); }
  /// Writes size() bytes; the checksum waits for write_icmp_checksum().
  void write(std::span<std::uint8_t> out) const;
};

/// ff02::1:ffxx:xxxx, the group in which the owner of `address` listens for solicitations (RFC 4291 2.7.1).
[[nodiscard]] IpAddress solicited_node_group(const IpAddress& address);
/// ff02::1
[[nodiscard]] IpAddress all_nodes_group();
/// 33:33:xx:xx:xx:xx (RFC 2464 7).
[[nodiscard]] MacAddress group_mac(const IpAddress& group);
/// fe80:: with the modified EUI-64 of `mac` (RFC 4291 appendix A).
[[nodiscard]] IpAddress link_local_address(const MacAddress& mac);

}  // namespace millrace::wire
