#include "dataplane/wire/neighbour_discovery.h"

#include <algorithm>
#include <array>

#include "dataplane/base/assert.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/icmp.h"

namespace millrace::wire {
namespace {

constexpr std::uint8_t kSourceLinkAddress = 1;
constexpr std::uint8_t kTargetLinkAddress = 2;
constexpr std::uint8_t kMtu = 5;
constexpr std::uint8_t kNonce = 14;
constexpr std::uint32_t kRouter = 0x8000'0000;
constexpr std::uint32_t kSolicited = 0x4000'0000;
constexpr std::uint32_t kOverride = 0x2000'0000;

// RFC 4861 4.6, 6.1 and 7.1: an option of length 0 makes the whole message invalid; unknown options are passed over. All options
// that we know are 8 bytes long: `visit` sees the type and the 6 bytes of each such option.
template <typename Visit>
bool walk_options(std::span<const std::uint8_t> rest, const Visit& visit) {
  while (!rest.empty()) {
    if (rest.size() < 8 || rest[1] == 0 || rest[1] * 8u > rest.size()) return false;
    if (rest[1] == 1) visit(rest[0], rest.subspan<2, 6>());
    rest = rest.subspan(rest[1] * 8u);
  }
  return true;
}

MacAddress mac_of(std::span<const std::uint8_t, 6> bytes) {
  MacAddress mac;
  std::ranges::copy(bytes, mac.bytes.begin());
  return mac;
}

void write_link_address(std::span<std::uint8_t> out, std::uint8_t type, const MacAddress& mac) {
  out[0] = type;
  out[1] = 1;
  std::ranges::copy(mac.bytes, out.begin() + 2);
}

}  // namespace

Result<NeighbourMessage, DropReason> NeighbourMessage::parse(std::span<const std::uint8_t> message) {
  if (message.size() < kNeighbourMessageBytes) return Error(DropReason::kIcmpTruncated);
  NeighbourMessage view;
  view.is_advertisement = message[0] == Icmpv6Type::kNeighbourAdvertisement;
  const std::uint32_t flags = load_be32(message.data() + 4);
  view.router = (flags & kRouter) != 0;
  view.solicited = (flags & kSolicited) != 0;
  view.override_ = (flags & kOverride) != 0;
  view.target = IpAddress::v6(message.subspan<8, 16>());
  const std::uint8_t wanted = view.is_advertisement ? kTargetLinkAddress : kSourceLinkAddress;
  const auto visit = [&](std::uint8_t type, std::span<const std::uint8_t, 6> value) {
    if (type == wanted) view.link_address = mac_of(value);
    if (type == kNonce) view.nonce = std::uint64_t{load_be16(value.data())} << 32 | load_be32(value.data() + 2);
  };
  if (message[1] != 0 || view.target.is_multicast() || view.target.is_v4() ||
      !walk_options(message.subspan(kNeighbourMessageBytes), visit)) {
    return Error(DropReason::kNdInvalid);
  }
  return view;
}

void NeighbourMessage::write(std::span<std::uint8_t> out) const {
  MR_ASSERT(out.size() >= size());
  const std::uint32_t flags = (router ? kRouter : 0) | (solicited ? kSolicited : 0) | (override_ ? kOverride : 0);
  write_icmp_header(out, is_advertisement ? Icmpv6Type::kNeighbourAdvertisement : Icmpv6Type::kNeighbourSolicitation, 0, flags);
  std::ranges::copy(target.bytes(), out.begin() + 8);
  std::span<std::uint8_t> options = out.subspan(kNeighbourMessageBytes);
  if (link_address) {
    write_link_address(options, is_advertisement ? kTargetLinkAddress : kSourceLinkAddress, *link_address);
    options = options.subspan(kLinkAddressOptionBytes);
  }
  if (nonce) {
    options[0] = kNonce;
    options[1] = 1;
    store_be16(options.data() + 2, static_cast<std::uint16_t>(*nonce >> 32));
    store_be32(options.data() + 4, static_cast<std::uint32_t>(*nonce));
  }
}

Result<RouterAdvertisement, DropReason> RouterAdvertisement::parse(std::span<const std::uint8_t> message) {
  constexpr std::size_t kHeaderBytes = 16;
  if (message.size() < kHeaderBytes) return Error(DropReason::kIcmpTruncated);
  RouterAdvertisement view;
  view.lifetime_seconds = load_be16(message.data() + 6);
  const auto visit = [&](std::uint8_t type, std::span<const std::uint8_t, 6> value) {
    if (type == kSourceLinkAddress) view.link_address = mac_of(value);
    if (type == kMtu) view.mtu = load_be32(value.data() + 2);
  };
  if (message[1] != 0 || !walk_options(message.subspan(kHeaderBytes), visit)) return Error(DropReason::kRouterInvalid);
  return view;
}

void write_router_solicitation(std::span<std::uint8_t> out, const std::optional<MacAddress>& link_address) {
  MR_ASSERT(out.size() >= kRouterSolicitationBytes + (link_address ? kLinkAddressOptionBytes : 0));
  write_icmp_header(out, Icmpv6Type::kRouterSolicitation, 0, 0);
  if (link_address) write_link_address(out.subspan(kRouterSolicitationBytes), kSourceLinkAddress, *link_address);
}

IpAddress solicited_node_group(const IpAddress& address) {
  const auto from = address.bytes();
  const std::array<std::uint8_t, 16> bytes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, from[13], from[14], from[15]};
  return IpAddress::v6(bytes);
}

IpAddress all_nodes_group() {
  const std::array<std::uint8_t, 16> bytes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return IpAddress::v6(bytes);
}

IpAddress all_routers_group() {
  const std::array<std::uint8_t, 16> bytes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  return IpAddress::v6(bytes);
}

MacAddress group_mac(const IpAddress& group) {
  const auto from = group.bytes();
  return {{0x33, 0x33, from[12], from[13], from[14], from[15]}};
}

IpAddress link_local_address(const MacAddress& mac) {
  const auto& m = mac.bytes;
  const std::array<std::uint8_t, 16> bytes{0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<std::uint8_t>(m[0] ^ 2),
                                           m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
  return IpAddress::v6(bytes);
}

}  // namespace millrace::wire
