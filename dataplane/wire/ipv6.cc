#include "dataplane/wire/ipv6.h"

#include <algorithm>
#include <optional>

#include "dataplane/base/assert.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::wire {
namespace {

using Answer = Ipv6Fault::Answer;

enum NextHeader : std::uint8_t { kHopByHop = 0, kRouting = 43, kFragment = 44, kNoNextHeader = 59, kDestinationOptions = 60 };

Ipv6Fault silent(DropReason reason) { return {.reason = reason}; }

// The options of a hop-by-hop or destination options header at [at, end) of the packet. RFC 8200 4.2: the two highest bits of an
// unknown option's type say what becomes of the packet.
std::optional<Ipv6Fault> walk_options(std::span<const std::uint8_t> packet, std::size_t at, std::size_t end) {
  constexpr std::uint8_t kPad1 = 0;
  constexpr std::uint8_t kPadN = 1;
  while (at < end) {
    const std::uint8_t type = packet[at];
    if (type == kPad1) {
      ++at;
      continue;
    }
    if (end - at < 2 || packet[at + 1] + 2u > end - at) return silent(DropReason::kIpv6BadExtension);
    const int action = type >> 6;
    if (type != kPadN && action != 0) {
      return Ipv6Fault{.reason = DropReason::kIpv6UnknownOption,
                       .answer = action == 1   ? Answer::kNone
                                 : action == 2 ? Answer::kAlways
                                               : Answer::kUnlessToGroup,
                       .code = ParameterProblem::kUnknownOption,
                       .pointer = static_cast<std::uint16_t>(at)};
    }
    at += packet[at + 1] + 2u;
  }
  return std::nullopt;
}

// RFC 8200 4.4: no type of routing header is for us. One with nothing left to visit is passed over, type 0 too (RFC 5095 3).
std::optional<Ipv6Fault> check_routing(std::span<const std::uint8_t> packet, std::size_t at) {
  if (packet[at + 3] == 0) return std::nullopt;
  return Ipv6Fault{.reason = DropReason::kIpv6RoutingHeader,
                   .answer = Answer::kUnlessToGroup,
                   .code = ParameterProblem::kBadField,
                   .pointer = static_cast<std::uint16_t>(at + 2)};
}

// Steps over the extension header that view.protocol names, at view.header_size of `packet`.
std::optional<Ipv6Fault> step(std::span<const std::uint8_t> packet, Ipv6View& view) {
  const std::size_t at = view.header_size;
  const auto rest = packet.subspan(at);
  if (rest.size() < 8) return silent(DropReason::kIpv6BadExtension);
  const std::size_t size = view.protocol == kFragment ? kIpv6FragmentHeaderBytes : (rest[1] + 1u) * 8;
  if (size > rest.size()) return silent(DropReason::kIpv6BadExtension);
  if (at + size > kIpv6HeaderBytes + kMaxIpv6ExtensionBytes) return silent(DropReason::kIpv6TooManyExtensions);
  std::optional<Ipv6Fault> wrong;
  if (view.protocol == kFragment) {
    if (view.fragment_named_at != 0) return silent(DropReason::kIpv6BadFragment);
    view.is_fragment = (load_be16(rest.data() + 2) & 0xfff9) != 0;  // RFC 6946: offset 0 and no more to come is a whole datagram
    view.fragment_named_at = view.protocol_at;
  } else if (view.protocol == kRouting) {
    wrong = check_routing(packet, at);
  } else {
    wrong = walk_options(packet, at + 2, at + size);
  }
  view.protocol = rest[0];
  view.protocol_at = view.header_size;
  view.header_size = static_cast<std::uint16_t>(at + size);
  return wrong;
}

bool is_extension(std::uint8_t protocol) {
  return protocol == kHopByHop || protocol == kRouting || protocol == kFragment || protocol == kDestinationOptions;
}

struct UpperLayer {
  std::uint8_t protocol;
  std::size_t at;
};

// The transport header behind a chain of which nothing else is checked. Nothing when the chain is cut, or in a later fragment.
std::optional<UpperLayer> find_upper_layer(std::span<const std::uint8_t> packet) {
  if (packet.size() < kIpv6HeaderBytes) return std::nullopt;
  UpperLayer upper{packet[6], kIpv6HeaderBytes};
  for (std::size_t i = 0; is_extension(upper.protocol); ++i) {
    if (i > kMaxIpv6ExtensionHeaders || packet.size() < upper.at + 8) return std::nullopt;
    const bool fragment = upper.protocol == kFragment;
    if (fragment && (load_be16(packet.data() + upper.at + 2) & 0xfff8) != 0) return std::nullopt;
    upper.protocol = packet[upper.at];
    upper.at += fragment ? kIpv6FragmentHeaderBytes : (packet[upper.at + 1] + 1u) * 8;
  }
  return upper;
}

}  // namespace

Result<Ipv6View, Ipv6Fault> Ipv6View::parse(std::span<const std::uint8_t> packet) {
  if (packet.empty()) return Error(silent(DropReason::kIpv6Truncated));
  if (packet[0] >> 4 != 6) return Error(silent(DropReason::kIpv6BadVersion));
  if (packet.size() < kIpv6HeaderBytes) return Error(silent(DropReason::kIpv6Truncated));
  const std::uint8_t* p = packet.data();
  const std::size_t total_length = kIpv6HeaderBytes + load_be16(p + 4);
  if (total_length > packet.size() || total_length > 0xffff) return Error(silent(DropReason::kIpv6Truncated));
  Ipv6View view;
  view.total_length = static_cast<std::uint16_t>(total_length);
  view.header_size = kIpv6HeaderBytes;
  view.traffic_class = static_cast<std::uint8_t>(load_be16(p) >> 4);
  view.protocol = p[6];
  view.hop_limit = p[7];
  view.source = IpAddress::v6(packet.subspan<8, 16>());
  view.destination = IpAddress::v6(packet.subspan<24, 16>());
  for (std::size_t i = 0; is_extension(view.protocol) && !view.is_fragment; ++i) {
    if (i == kMaxIpv6ExtensionHeaders) return Error(silent(DropReason::kIpv6TooManyExtensions));
    if (view.protocol == kHopByHop && i > 0) {  // only directly behind the fixed header
      return Error(Ipv6Fault{.reason = DropReason::kIpv6BadExtension,
                             .answer = Answer::kUnlessToGroup,
                             .code = ParameterProblem::kUnknownNextHeader,
                             .pointer = view.protocol_at});
    }
    if (const auto wrong = step(packet.first(total_length), view)) return Error(*wrong);
  }
  if (view.protocol == kNoNextHeader) return Error(silent(DropReason::kIpv6NoNextHeader));
  return view;
}

bool carries_icmpv6_error(std::span<const std::uint8_t> packet) {
  constexpr std::uint8_t kRedirect = 137;
  const auto upper = find_upper_layer(packet);
  if (!upper || upper->protocol != kProtocolIcmpv6 || packet.size() <= upper->at) return false;
  return packet[upper->at] < Icmpv6Type::kEchoRequest || packet[upper->at] == kRedirect;
}

bool has_whole_header_chain(std::span<const std::uint8_t> packet) {
  const auto upper = find_upper_layer(packet);
  if (!upper) return false;
  constexpr std::uint8_t kTcp = 6;
  const std::size_t least = upper->protocol == kTcp                                                 ? kTcpMinHeaderBytes
                            : upper->protocol == kProtocolUdp || upper->protocol == kProtocolIcmpv6 ? 8
                            : upper->protocol == kNoNextHeader                                      ? 0
                                                                                                    : 1;
  return packet.size() >= upper->at + least;
}

void write_ipv6_header(std::span<std::uint8_t> out, const Ipv6Fields& fields) {
  MR_ASSERT(out.size() >= kIpv6HeaderBytes);
  std::uint8_t* p = out.data();
  store_be32(p, 0x6000'0000u | std::uint32_t{fields.traffic_class} << 20 | (fields.flow_label & 0xf'ffff));
  store_be16(p + 4, fields.payload_length);
  p[6] = fields.protocol;
  p[7] = fields.hop_limit;
  std::ranges::copy(fields.source.bytes(), p + 8);
  std::ranges::copy(fields.destination.bytes(), p + 24);
}

}  // namespace millrace::wire
