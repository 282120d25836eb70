// ICMP for IPv4 (RFC 792, RFC 1191) and IPv6 (RFC 4443): one header layout, two sets of types. Also the packet that an error
// quotes. Neighbour discovery is in neighbour_discovery.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::uint8_t kProtocolIcmpv4 = 1;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
inline constexpr std::size_t kIcmpHeaderBytes = 8;

struct Icmpv4Type {
  static constexpr std::uint8_t kEchoReply = 0;
  static constexpr std::uint8_t kUnreachable = 3;
  static constexpr std::uint8_t kEchoRequest = 8;
  static constexpr std::uint8_t kTimeExceeded = 11;
  static constexpr std::uint8_t kParameterProblem = 12;
};

struct Icmpv6Type {
  static constexpr std::uint8_t kUnreachable = 1;
  static constexpr std::uint8_t kPacketTooBig = 2;
  static constexpr std::uint8_t kTimeExceeded = 3;
  static constexpr std::uint8_t kParameterProblem = 4;
  static constexpr std::uint8_t kEchoRequest = 128;
  static constexpr std::uint8_t kEchoReply = 129;
  static constexpr std::uint8_t kListenerQuery = 130;
  static constexpr std::uint8_t kRouterSolicitation = 133;
  static constexpr std::uint8_t kRouterAdvertisement = 134;
  static constexpr std::uint8_t kNeighbourSolicitation = 135;
  static constexpr std::uint8_t kNeighbourAdvertisement = 136;
};

struct IcmpView {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< the header's second word: identifier and sequence, MTU, pointer, flags
  std::span<const std::uint8_t> body;

  /// `message` is the whole IP payload; its checksum is verified.
  [[nodiscard]] static Result<IcmpView, DropReason> parse_v4(std::span<const std::uint8_t> message);
  [[nodiscard]] static Result<IcmpView, DropReason> parse_v6(std::span<const std::uint8_t> message, const IpAddress& source,
                                                             const IpAddress& destination);
};

/// Fills in the checksum of a message whose addresses are given; the field's old content does not matter.
void write_icmp_checksum(std::span<std::uint8_t> message, const IpAddress& source, const IpAddress& destination);

/// Writes the first 8 bytes; the checksum waits for write_icmp_checksum().
void write_icmp_header(std::span<std::uint8_t> out, std::uint8_t type, std::uint8_t code, std::uint32_t rest);

/// The start of a packet of ours, as an ICMP error quotes it.
struct QuotedPacket {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::array<std::uint8_t, 8> transport{};  ///< first bytes of the transport header

  [[nodiscard]] static Result<QuotedPacket, DropReason> parse_v4(std::span<const std::uint8_t> quote);
  /// We send no extension headers: a quote that has one names that as its protocol.
  [[nodiscard]] static Result<QuotedPacket, DropReason> parse_v6(std::span<const std::uint8_t> quote);
};

}  // namespace millrace::wire
