#include "dataplane/wire/ipv6.h"

#include <algorithm>
#include <optional>

#include "dataplane/base/assert.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {
namespace {

enum NextHeader : std::uint8_t { kHopByHop = 0, kRouting = 43, kFragment = 44, kNoNextHeader = 59, kDestinationOptions = 60 };

// The options of a hop-by-hop or destination options header, behind its first two bytes.
std::optional<DropReason> walk_options(std::span<const std::uint8_t> rest) {
  constexpr std::uint8_t kPad1 = 0;
  constexpr std::uint8_t kPadN = 1;
  while (!rest.empty()) {
    if (rest[0] == kPad1) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2 || rest[1] + 2u > rest.size()) return DropReason::kIpv6BadExtension;
    if (rest[0] != kPadN && rest[0] >> 6 != 0) return DropReason::kIpv6UnknownOption;  // RFC 8200 4.2: 00 is "skip"
    rest = rest.subspan(rest[1] + 2u);
  }
  return std::nullopt;
}

std::optional<DropReason> check_routing(std::span<const std::uint8_t> header) {
  const bool type_0 = header[2] == 0;
  const bool segments_left = header[3] != 0;
  if (type_0 || segments_left) return DropReason::kIpv6RoutingHeader;
  return std::nullopt;
}

// Steps over the extension header that view.protocol names, at view.header_size of `packet`.
std::optional<DropReason> step(std::span<const std::uint8_t> packet, Ipv6View& view) {
  const auto rest = packet.subspan(view.header_size);
  if (rest.size() < 8) return DropReason::kIpv6BadExtension;
  const std::size_t size = view.protocol == kFragment ? 8 : (rest[1] + 1u) * 8;
  if (size > rest.size()) return DropReason::kIpv6BadExtension;
  std::optional<DropReason> wrong;
  if (view.protocol == kFragment) {
    view.is_fragment = (load_be16(rest.data() + 2) & 0xfff9) != 0;  // RFC 6946: offset 0 and no more to come is a whole datagram
  } else if (view.protocol == kRouting) {
    wrong = check_routing(rest.first(size));
  } else {
    wrong = walk_options(rest.subspan(2, size - 2));
  }
  view.protocol = rest[0];
  view.protocol_at = view.header_size;
  view.header_size = static_cast<std::uint16_t>(view.header_size + size);
  return wrong;
}

bool is_extension(std::uint8_t protocol) {
  return protocol == kHopByHop || protocol == kRouting || protocol == kFragment || protocol == kDestinationOptions;
}

}  // namespace

Result<Ipv6View, DropReason> Ipv6View::parse(std::span<const std::uint8_t> packet) {
  if (packet.empty()) return Error(DropReason::kIpv6Truncated);
  if (packet[0] >> 4 != 6) return Error(DropReason::kIpv6BadVersion);
  if (packet.size() < kIpv6HeaderBytes) return Error(DropReason::kIpv6Truncated);
  const std::uint8_t* p = packet.data();
  const std::size_t total_length = kIpv6HeaderBytes + load_be16(p + 4);
  if (total_length > packet.size() || total_length > 0xffff) return Error(DropReason::kIpv6Truncated);
  Ipv6View view;
  view.total_length = static_cast<std::uint16_t>(total_length);
  view.header_size = kIpv6HeaderBytes;
  view.traffic_class = static_cast<std::uint8_t>(load_be16(p) >> 4);
  view.protocol = p[6];
  view.hop_limit = p[7];
  view.source = IpAddress::v6(packet.subspan<8, 16>());
  view.destination = IpAddress::v6(packet.subspan<24, 16>());
  for (std::size_t i = 0; is_extension(view.protocol) && !view.is_fragment; ++i) {
    if (i == kMaxIpv6ExtensionHeaders) return Error(DropReason::kIpv6TooManyExtensions);
    if (view.protocol == kHopByHop && i > 0)
      return Error(DropReason::kIpv6BadExtension);  // only directly behind the fixed header
    if (const auto wrong = step(packet.first(total_length), view)) return Error(*wrong);
  }
  if (view.protocol == kNoNextHeader) return Error(DropReason::kIpv6NoNextHeader);
  return view;
}

void write_ipv6_header(std::span<std::uint8_t> out, const Ipv6Fields& fields) {
  MR_ASSERT(out.size() >= kIpv6HeaderBytes);
  std::uint8_t* p = out.data();
  store_be32(p, 0x6000'0000u | std::uint32_t{fields.traffic_class} << 20);
  store_be16(p + 4, fields.payload_length);
  p[6] = fields.protocol;
  p[7] = fields.hop_limit;
  std::ranges::copy(fields.source.bytes(), p + 8);
  std::ranges::copy(fields.destination.bytes(), p + 24);
}

}  // namespace millrace::wire
