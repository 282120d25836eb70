// Frames for tests of what looks at headers: TCP and UDP over IPv4 and IPv6, right in every checksum.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::test {

struct FrameFields {
  std::string_view from = "198.18.0.1:40000";  ///< decides the family
  std::string_view to = "198.18.0.2:80";
  std::uint8_t protocol = 6;  ///< 6 or 17
  std::size_t payload = 0;    ///< bytes
  int vlan = -1;              ///< -1: no tag; 0: one for priority only
};

inline std::vector<std::uint8_t> frame(const FrameFields& fields) {
  const auto from = *SocketAddress::parse(fields.from);
  const auto to = *SocketAddress::parse(fields.to);
  const bool v4 = from.ip.is_v4();
  const bool tcp = fields.protocol == 6;
  const std::size_t ethernet = wire::kEthernetHeaderBytes + (fields.vlan >= 0 ? wire::kVlanTagBytes : 0);
  const std::size_t ip = v4 ? wire::kIpv4HeaderBytes : wire::kIpv6HeaderBytes;
  const std::size_t transport = (tcp ? 20 : 8) + fields.payload;
  std::vector<std::uint8_t> bytes(ethernet + ip + transport);
  const std::uint16_t type = v4 ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6;
  wire::write_ethernet_header(bytes, MacAddress{{2, 0, 0, 0, 0, 2}}, MacAddress{{2, 0, 0, 0, 0, 1}},
                              fields.vlan >= 0 ? wire::kEtherTypeVlan : type);
  if (fields.vlan >= 0) {
    wire::store_be16(bytes.data() + 14, static_cast<std::uint16_t>(fields.vlan));
    wire::store_be16(bytes.data() + 16, type);
  }
  const std::span<std::uint8_t> header = std::span(bytes).subspan(ethernet);
  const auto length = static_cast<std::uint16_t>(transport);
  if (v4) {
    wire::write_ipv4_header(header,
                            {.source = from.ip, .destination = to.ip, .payload_length = length, .protocol = fields.protocol});
  } else {
    wire::write_ipv6_header(header,
                            {.source = from.ip, .destination = to.ip, .payload_length = length, .protocol = fields.protocol});
  }
  const std::span<std::uint8_t> body = header.subspan(ip);
  for (std::size_t i = tcp ? 20 : 8; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i);
  wire::store_be16(body.data(), from.port);
  wire::store_be16(body.data() + 2, to.port);
  if (tcp) body[12] = 5 << 4;
  if (tcp) body[13] = 0x10;
  if (!tcp) wire::store_be16(body.data() + 4, length);
  const std::uint32_t sum = wire::pseudo_header_sum(from.ip, to.ip, fields.protocol, length);
  wire::store_be16(body.data() + (tcp ? 16 : 6), wire::checksum_finish(wire::checksum_add(sum, body)));
  return bytes;
}

}  // namespace millrace::test
