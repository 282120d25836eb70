// The IPv4 header (RFC 791, RFC 1122 3.2.1). Options are walked, only source routes are told; fragments
// are told, dataplane/ip/reassembly.h puts them together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::size_t kIpv4HeaderBytes = 20;

struct Ipv4View {
  IpAddress source;
  IpAddress destination;
  std::uint16_t total_length = 0;  ///< header and payload; at most the bytes that were parsed (the rest is padding)
  std::uint8_t header_size = 0;    ///< 20 to 60
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;  ///< DSCP and ECN
  std::uint8_t ttl = 0;
  bool is_fragment = false;  ///< any but a whole datagram
  bool is_source_routed = false;

  /// `checksum_verified`: the device has found the header checksum right.
  [[nodiscard]] static Result<Ipv4View, DropReason> parse(std::span<const std::uint8_t> packet, bool checksum_verified);
};

/// A header to write: no options, never fragmented (DF is set, so that the identification may be 0: RFC 6864).
struct Ipv4Fields {
  IpAddress source;
  IpAddress destination;
  std::uint16_t payload_length = 0;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t ttl = 64;
};

/// Writes kIpv4HeaderBytes; the checksum is 0 if the device is to fill it.
void write_ipv4_header(std::span<std::uint8_t> out, const Ipv4Fields& fields, bool device_fills_checksum = false);

}  // namespace millrace::wire
