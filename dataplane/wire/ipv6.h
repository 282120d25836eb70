// The IPv6 header with its extension headers (RFC 8200, RFC 5095, RFC 6946), walked once up to the transport header.
// Real fragments are told, not reassembled; options that ask for an ICMP answer when unknown are dropped silently; AH and ESP
// are the caller's unknown protocols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::size_t kIpv6HeaderBytes = 40;
inline constexpr std::size_t kMaxIpv6ExtensionHeaders = 8;

struct Ipv6View {
  IpAddress source;
  IpAddress destination;
  std::uint16_t total_length = 0;  ///< fixed header, extension headers and payload; at most the bytes that were parsed
  std::uint16_t header_size = 0;   ///< fixed and extension headers
  std::uint16_t protocol_at = 6;   ///< offset of the field that names `protocol`: what a parameter problem points at
  std::uint8_t protocol = 0;       ///< behind the extension headers
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
  bool is_fragment = false;  ///< any but a whole datagram; then `protocol` and header_size describe the fragment's payload

  [[nodiscard]] static Result<Ipv6View, DropReason> parse(std::span<const std::uint8_t> packet);
};

struct Ipv6Fields {
  IpAddress source;
  IpAddress destination;
  std::uint16_t payload_length = 0;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
};

/// Writes kIpv6HeaderBytes; flow label 0.
void write_ipv6_header(std::span<std::uint8_t> out, const Ipv6Fields& fields);

}  // namespace millrace::wire
