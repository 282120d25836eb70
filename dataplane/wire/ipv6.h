// The IPv6 header with its extension headers (RFC 8200, RFC 5095, RFC 6946), walked once up to the transport header.
// Real fragments are told, not reassembled (dataplane/ip/reassembly.h); AH and ESP are the caller's unknown protocols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::size_t kIpv6HeaderBytes = 40;
inline constexpr std::size_t kIpv6FragmentHeaderBytes = 8;
// RFC 8504 5.3 lets a host bound what it walks.
inline constexpr std::size_t kMaxIpv6ExtensionHeaders = 8;
inline constexpr std::size_t kMaxIpv6ExtensionBytes = 512;

/// Codes of ICMPv6 parameter problems (RFC 4443 3.4, RFC 7112 5).
struct ParameterProblem {
  static constexpr std::uint8_t kBadField = 0;
  static constexpr std::uint8_t kUnknownNextHeader = 1;
  static constexpr std::uint8_t kUnknownOption = 2;
  static constexpr std::uint8_t kIncompleteHeaderChain = 3;
};

/// Why a packet is refused, and whether its sender is to hear of it in a parameter problem.
struct Ipv6Fault {
  enum class Answer : std::uint8_t { kNone, kUnlessToGroup, kAlways };
  DropReason reason = DropReason::kIpv6Truncated;
  Answer answer = Answer::kNone;
  std::uint8_t code = 0;      ///< of ParameterProblem
  std::uint16_t pointer = 0;  ///< offset of what is wrong in the packet
};

struct Ipv6View {
  IpAddress source;
  IpAddress destination;
  std::uint16_t total_length = 0;  ///< fixed header, extension headers and payload; at most the bytes that were parsed
  std::uint16_t header_size = 0;   ///< fixed and extension headers
  std::uint16_t protocol_at = 6;   ///< offset of the field that names `protocol`: what a parameter problem points at
  std::uint8_t protocol = 0;       ///< behind the extension headers
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
  /// Any but a whole datagram: `protocol` and header_size describe the fragment's payload, the walk ends at its fragment header,
  /// which begins at protocol_at.
  bool is_fragment = false;
  std::uint16_t fragment_named_at = 0;  ///< offset of the field that names the fragment header; 0: there is none

  [[nodiscard]] static Result<Ipv6View, Ipv6Fault> parse(std::span<const std::uint8_t> packet);
};

/// The packet, perhaps cut short and its extension headers perhaps faulty, seems to carry an ICMPv6 error or a redirect: what no
/// error may be sent about (RFC 4443 2.4 e).
[[nodiscard]] bool carries_icmpv6_error(std::span<const std::uint8_t> packet);

/// All headers up to and with the transport's stand in `packet`: what a first fragment owes us (RFC 7112 5).
[[nodiscard]] bool has_whole_header_chain(std::span<const std::uint8_t> packet);

struct Ipv6Fields {
  IpAddress source;
  IpAddress destination;
  std::uint16_t payload_length = 0;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  std::uint32_t flow_label = 0;  ///< 20 bits
};

/// Writes kIpv6HeaderBytes.
void write_ipv6_header(std::span<std::uint8_t> out, const Ipv6Fields& fields);

}  // namespace millrace::wire
