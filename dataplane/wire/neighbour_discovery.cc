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
constexpr std::uint32_t kRouter = 0x8000'0000;
constexpr std::uint32_t kSolicited = 0x4000'0000;
constexpr std::uint32_t kOverride = 0x2000'0000;

// RFC 4861 7.1: an option of length 0 makes the whole message invalid; unknown options are passed over.
bool walk_options(std::span<const std::uint8_t> rest, std::uint8_t wanted, std::optional<MacAddress>& link_address) {
  while (!rest.empty()) {
    if (rest.size() < 8 || rest[1] == 0 || rest[1] * 8u > rest.size()) return false;
    if (rest[0] == wanted && rest[1] == 1) {
      link_address.emplace();
      std::copy_n(rest.begin() + 2, 6, link_address->bytes.begin());
    }
    rest = rest.subspan(rest[1] * 8u);
  }
  return true;
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
  if (message[1] != 0 || view.target.is_multicast() || view.target.is_v4() ||
      !walk_options(message.subspan(kNeighbourMessageBytes), wanted, view.link_address)) {
    return Error(DropReason::kNdInvalid);
  }
  return view;
}

void NeighbourMessage::write(std::span<std::uint8_t> out) const {
  MR_ASSERT(out.size() >= size());
  const std::uint32_t flags = (router ? kRouter : 0) | (solicited ? kSolicited : 0) | (override_ ? kOverride : 0);
  write_icmp_header(out, is_advertisement ? Icmpv6Type::kNeighbourAdvertisement : Icmpv6Type::kNeighbourSolicitation, 0, flags);
  std::ranges::copy(target.bytes(), out.begin() + 8);
  if (!link_address) return;
  out[kNeighbourMessageBytes] = is_advertisement ? kTargetLinkAddress : kSourceLinkAddress;
  out[kNeighbourMessageBytes + 1] = 1;
  std::ranges::copy(link_address->bytes, out.begin() + kNeighbourMessageBytes + 2);
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
