#include "nic/rules/frame_key.h"

#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::nic {
namespace {

constexpr std::size_t kPortsBytes = 4;
constexpr std::size_t kIpv4FragmentOffset = 6;
constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
constexpr std::uint16_t kIpv4OffsetMask = 0x1fff;
constexpr std::uint16_t kIpv6OffsetMask = 0xfff8;
constexpr std::uint16_t kIpv6MoreFragments = 0x0001;

// Extension headers (RFC 8200 4): those that have a length in units of 8 bytes, and the fragment header, which is one unit.
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kDestinationOptions = 60;

void read_ports(std::span<const std::uint8_t> transport, FlowKey& flow) {
  if (flow.protocol != FlowMatch::kTcp && flow.protocol != FlowMatch::kUdp) return;
  if (transport.size() < kPortsBytes) return;
  flow.has_ports = true;
  flow.source_port = wire::load_be16(transport.data());
  flow.destination_port = wire::load_be16(transport.data() + 2);
}

std::optional<FrameKey> ipv4_key(std::span<const std::uint8_t> packet) {
  if (packet.size() < wire::kIpv4HeaderBytes) return std::nullopt;
  const std::size_t header = (packet[0] & 0x0f) * std::size_t{4};
  if (packet[0] >> 4 != 4 || header < wire::kIpv4HeaderBytes || header > packet.size()) return std::nullopt;
  FrameKey key{.flow = {.source = IpAddress::v4(packet.subspan<12, 4>()),
                        .destination = IpAddress::v4(packet.subspan<16, 4>()),
                        .protocol = packet[9]}};
  const std::uint16_t fragment = wire::load_be16(packet.data() + kIpv4FragmentOffset);
  if ((fragment & kIpv4OffsetMask) == 0) read_ports(packet.subspan(header), key.flow);
  key.fragment = (fragment & (kIpv4OffsetMask | kIpv4MoreFragments)) != 0;
  key.plain = header == wire::kIpv4HeaderBytes && !key.fragment;
  return key;
}

// Walks as long as there are headers to walk: a chain that the stack would refuse must not hide the ports from a rule.
std::optional<FrameKey> ipv6_key(std::span<const std::uint8_t> packet) {
  if (packet.size() < wire::kIpv6HeaderBytes || packet[0] >> 4 != 6) return std::nullopt;
  FrameKey key{.flow = {.source = IpAddress::v6(packet.subspan<8, 16>()),
                        .destination = IpAddress::v6(packet.subspan<24, 16>()),
                        .protocol = packet[6]},
               .plain = true};
  for (std::span<const std::uint8_t> rest = packet.subspan(wire::kIpv6HeaderBytes);;) {
    std::size_t size = wire::kIpv6FragmentHeaderBytes;
    switch (key.flow.protocol) {
      case kHopByHop:
      case kRouting:
      case kDestinationOptions:
        if (rest.size() >= 2) size = (rest[1] + std::size_t{1}) * 8;
        break;
      case kFragment: break;
      default: read_ports(rest, key.flow); return key;
    }
    key.plain = false;
    if (rest.size() < size) return key;
    const std::uint16_t fragment = key.flow.protocol == kFragment ? wire::load_be16(rest.data() + 2) : std::uint16_t{0};
    if ((fragment & (kIpv6OffsetMask | kIpv6MoreFragments)) != 0) key.fragment = true;
    key.flow.protocol = rest[0];
    if ((fragment & kIpv6OffsetMask) != 0) return key;
    rest = rest.subspan(size);
  }
}

}  // namespace

std::optional<FrameKey> frame_key(std::span<const std::uint8_t> frame) {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return std::nullopt;
  const auto packet = frame.subspan(ethernet->header_size);
  auto key = ethernet->type == wire::kEtherTypeIpv4   ? ipv4_key(packet)
             : ethernet->type == wire::kEtherTypeIpv6 ? ipv6_key(packet)
                                                      : std::nullopt;
  const bool priority_tag = ethernet->header_size > wire::kEthernetHeaderBytes && ethernet->vlan == 0;
  if (key && priority_tag) key->plain = false;
  return key;
}

}  // namespace millrace::nic
