#include "tests/simulation/router.h"

#include <algorithm>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::size_t kIcmpHeaderBytes = 8;
constexpr std::size_t kQuotedBytesV4 = 28;   // the IP header and the first 8 bytes behind it
constexpr std::size_t kQuotedBytesV6 = 512;  // as much as fits, says the RFC; a part tests the reader harder
constexpr std::uint8_t kTcp = 6;

using Bytes = std::span<const std::uint8_t>;

// The Ethernet header of the answer, and room for `size` bytes behind it, all zero.
Frame answer_to(Bytes frame, std::size_t size) {
  Frame answer;
  std::copy_n(&frame[6], 6, answer.bytes.begin());
  std::copy_n(&frame[0], 6, answer.bytes.begin() + 6);
  std::copy_n(&frame[12], 2, answer.bytes.begin() + 12);
  answer.size = kEthernetBytes + size;
  return answer;
}

Frame too_big_v4(Bytes frame, std::uint16_t mtu) {
  const Bytes packet = frame.subspan(kEthernetBytes);
  Frame answer = answer_to(frame, 20 + kIcmpHeaderBytes + kQuotedBytesV4);
  const std::span<std::uint8_t> ip(&answer.bytes[kEthernetBytes], 20);
  ip[0] = 0x45;
  wire::store_be16(&ip[2], static_cast<std::uint16_t>(answer.size - kEthernetBytes));
  ip[8] = 64;
  ip[9] = 1;
  std::copy_n(&packet[16], 4, &ip[12]);
  std::copy_n(&packet[12], 4, &ip[16]);
  wire::store_be16(&ip[10], wire::internet_checksum(ip));
  const std::span<std::uint8_t> icmp(&answer.bytes[kEthernetBytes + 20], kIcmpHeaderBytes + kQuotedBytesV4);
  icmp[0] = 3;  // destination unreachable
  icmp[1] = 4;  // fragmentation needed
  wire::store_be16(&icmp[6], mtu);
  std::copy_n(packet.begin(), kQuotedBytesV4, icmp.begin() + kIcmpHeaderBytes);
  wire::store_be16(&icmp[2], wire::internet_checksum(icmp));
  return answer;
}

Frame too_big_v6(Bytes frame, std::uint16_t mtu) {
  const Bytes packet = frame.subspan(kEthernetBytes);
  const std::size_t quoted = std::min(packet.size(), kQuotedBytesV6);
  Frame answer = answer_to(frame, 40 + kIcmpHeaderBytes + quoted);
  std::uint8_t* ip = &answer.bytes[kEthernetBytes];
  ip[0] = 0x60;
  wire::store_be16(&ip[4], static_cast<std::uint16_t>(kIcmpHeaderBytes + quoted));
  ip[6] = 58;
  ip[7] = 64;
  std::copy_n(&packet[24], 16, &ip[8]);
  std::copy_n(&packet[8], 16, &ip[24]);
  const std::span<std::uint8_t> icmp(ip + 40, kIcmpHeaderBytes + quoted);
  icmp[0] = 2;
  wire::store_be16(&icmp[6], mtu);
  std::copy_n(packet.begin(), quoted, icmp.begin() + kIcmpHeaderBytes);
  const IpAddress source = IpAddress::v6(std::span<const std::uint8_t, 16>(ip + 8, 16));
  const IpAddress destination = IpAddress::v6(std::span<const std::uint8_t, 16>(ip + 24, 16));
  const std::uint32_t pseudo = wire::pseudo_header_sum(source, destination, 58, static_cast<std::uint32_t>(icmp.size()));
  wire::store_be16(&icmp[2], wire::checksum_finish(wire::checksum_add(pseudo, icmp)));
  return answer;
}

}  // namespace

std::optional<Frame> packet_too_big(std::span<const std::uint8_t> frame, std::uint16_t mtu) {
  if (frame.size() <= kEthernetBytes + std::size_t{mtu}) return std::nullopt;
  const Bytes packet = frame.subspan(kEthernetBytes);
  const std::uint16_t type = wire::load_be16(&frame[12]);
  if (type == 0x0800 && packet[0] == 0x45 && packet[9] == kTcp) return too_big_v4(frame, mtu);
  if (type == 0x86dd && packet[6] == kTcp) return too_big_v6(frame, mtu);
  return std::nullopt;
}

}  // namespace millrace::sim
