// Neighbour discovery packets of ours: the ICMPv6 message that `write` fills in, checksummed, behind an IPv6 header with hop
// limit 255.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/link.h"
#include "dataplane/wire/drop_reason.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/neighbour_discovery.h"
#include "nic/packet.h"

namespace millrace::ip {

/// `write` gets a span of `size` bytes. An empty packet when there is no buffer, which is counted.
template <typename Write>
[[nodiscard]] nic::Packet nd_packet(nic::PacketPool& pool, Link& link, const IpAddress& source, const IpAddress& destination,
                                    std::size_t size, const Write& write) {
  nic::Packet packet = pool.allocate();
  if (!packet) {
    link.count(wire::DropReason::kSendNoBuffer);
    return packet;
  }
  const std::span<std::uint8_t> bytes(packet.append(size), size);
  write(bytes);
  wire::write_icmp_checksum(bytes, source, destination);
  wire::write_ipv6_header({packet.prepend(wire::kIpv6HeaderBytes), wire::kIpv6HeaderBytes},
                          {.source = source,
                           .destination = destination,
                           .payload_length = static_cast<std::uint16_t>(size),
                           .protocol = wire::kProtocolIcmpv6,
                           .hop_limit = wire::kNdHopLimit});
  return packet;
}

/// Sends a message to a group.
template <typename Write>
void send_nd_to_group(nic::PacketPool& pool, Link& link, std::uint8_t interface, const IpAddress& source, const IpAddress& group,
                      std::size_t size, const Write& write) {
  nic::Packet packet = nd_packet(pool, link, source, group, size, write);
  if (packet) link.transmit(interface, wire::group_mac(group), wire::kEtherTypeIpv6, std::move(packet));
}

}  // namespace millrace::ip
