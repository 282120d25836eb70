#include "dataplane/wire/icmp.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::wire {
namespace {

Result<IcmpView, DropReason> parse(std::span<const std::uint8_t> message, std::uint32_t pseudo_header) {
  if (message.size() < kIcmpHeaderBytes) return Error(DropReason::kIcmpTruncated);
  if (checksum_finish(checksum_add(pseudo_header, message)) != 0) return Error(DropReason::kIcmpBadChecksum);
  return IcmpView{message[0], message[1], load_be32(message.data() + 4), message.subspan(kIcmpHeaderBytes)};
}

std::uint32_t v6_pseudo_header(const IpAddress& source, const IpAddress& destination, std::size_t size) {
  return pseudo_header_sum(source, destination, kProtocolIcmpv6, static_cast<std::uint32_t>(size));
}

}  // namespace

Result<IcmpView, DropReason> IcmpView::parse_v4(std::span<const std::uint8_t> message) { return parse(message, 0); }

Result<IcmpView, DropReason> IcmpView::parse_v6(std::span<const std::uint8_t> message, const IpAddress& source,
                                                const IpAddress& destination) {
  return parse(message, v6_pseudo_header(source, destination, message.size()));
}

void write_icmp_checksum(std::span<std::uint8_t> message, const IpAddress& source, const IpAddress& destination) {
  MR_ASSERT(message.size() >= kIcmpHeaderBytes);
  store_be16(message.data() + 2, 0);
  const std::uint32_t pseudo_header = source.is_v4() ? 0 : v6_pseudo_header(source, destination, message.size());
  store_be16(message.data() + 2, checksum_finish(checksum_add(pseudo_header, message)));
}

void write_icmp_header(std::span<std::uint8_t> out, std::uint8_t type, std::uint8_t code, std::uint32_t rest) {
  MR_ASSERT(out.size() >= kIcmpHeaderBytes);
  out[0] = type;
  out[1] = code;
  store_be16(out.data() + 2, 0);
  store_be32(out.data() + 4, rest);
}

Result<QuotedPacket, DropReason> QuotedPacket::parse_v4(std::span<const std::uint8_t> quote) {
  if (quote.size() < kIpv4HeaderBytes || quote[0] >> 4 != 4) return Error(DropReason::kIcmpBadQuote);
  const std::size_t header_size = (quote[0] & 0x0fu) * 4;
  const bool first_fragment = (load_be16(quote.data() + 6) & 0x1fff) == 0;
  if (header_size < kIpv4HeaderBytes || quote.size() < header_size + 8 || !first_fragment)
    return Error(DropReason::kIcmpBadQuote);
  QuotedPacket packet{IpAddress::v4(quote.subspan<12, 4>()), IpAddress::v4(quote.subspan<16, 4>()), quote[9], {}};
  std::copy_n(quote.begin() + static_cast<std::ptrdiff_t>(header_size), 8, packet.transport.begin());
  return packet;
}

Result<QuotedPacket, DropReason> QuotedPacket::parse_v6(std::span<const std::uint8_t> quote) {
  if (quote.size() < kIpv6HeaderBytes + 8 || quote[0] >> 4 != 6) return Error(DropReason::kIcmpBadQuote);
  QuotedPacket packet{IpAddress::v6(quote.subspan<8, 16>()), IpAddress::v6(quote.subspan<24, 16>()), quote[6], {}};
  if (packet.source.is_v4() || packet.destination.is_v4()) return Error(DropReason::kIcmpBadQuote);  // mapped: never on the wire
  std::copy_n(quote.begin() + kIpv6HeaderBytes, 8, packet.transport.begin());
  return packet;
}

}  // namespace millrace::wire
