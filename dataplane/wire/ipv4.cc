#include "dataplane/wire/ipv4.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {
namespace {

constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionLooseSourceRoute = 131;
constexpr std::uint8_t kOptionStrictSourceRoute = 137;
constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kFragmentMask = 0x3fff;  // more-fragments and the offset

bool walk_options(std::span<const std::uint8_t> rest, bool& source_routed) {
  while (!rest.empty() && rest[0] != kOptionEnd) {
    if (rest[0] == kOptionNop) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2 || rest[1] < 2 || rest[1] > rest.size()) return false;
    if (rest[0] == kOptionLooseSourceRoute || rest[0] == kOptionStrictSourceRoute) source_routed = true;
    rest = rest.subspan(rest[1]);
  }
  return true;
}

}  // namespace

Result<Ipv4View, DropReason> Ipv4View::parse(std::span<const std::uint8_t> packet, bool checksum_verified) {
  if (packet.empty()) return Error(DropReason::kIpv4Truncated);
  if (packet[0] >> 4 != 4) return Error(DropReason::kIpv4BadVersion);
  if (packet.size() < kIpv4HeaderBytes) return Error(DropReason::kIpv4Truncated);
  const std::uint8_t* p = packet.data();
  Ipv4View view;
  view.header_size = static_cast<std::uint8_t>((p[0] & 0x0f) * 4);
  view.total_length = load_be16(p + 2);
  if (view.header_size < kIpv4HeaderBytes || view.header_size > view.total_length) return Error(DropReason::kIpv4BadHeaderLength);
  if (view.total_length > packet.size()) return Error(DropReason::kIpv4Truncated);
  if (!checksum_verified && internet_checksum(packet.first(view.header_size)) != 0) return Error(DropReason::kIpv4BadChecksum);
  view.traffic_class = p[1];
  view.is_fragment = (load_be16(p + 6) & kFragmentMask) != 0;
  view.ttl = p[8];
  view.protocol = p[9];
  view.source = IpAddress::v4(packet.subspan<12, 4>());
  view.destination = IpAddress::v4(packet.subspan<16, 4>());
  const auto options = packet.subspan(kIpv4HeaderBytes, view.header_size - kIpv4HeaderBytes);
  if (!walk_options(options, view.is_source_routed)) return Error(DropReason::kIpv4BadOption);
  return view;
}

void write_ipv4_header(std::span<std::uint8_t> out, const Ipv4Fields& fields, bool device_fills_checksum) {
  MR_ASSERT(out.size() >= kIpv4HeaderBytes && fields.payload_length <= 0xffff - kIpv4HeaderBytes);
  std::uint8_t* p = out.data();
  p[0] = 0x45;
  p[1] = fields.traffic_class;
  store_be16(p + 2, static_cast<std::uint16_t>(kIpv4HeaderBytes + fields.payload_length));
  store_be16(p + 4, 0);
  store_be16(p + 6, kDontFragment);
  p[8] = fields.ttl;
  p[9] = fields.protocol;
  store_be16(p + 10, 0);
  std::ranges::copy(fields.source.v4_bytes(), p + 12);
  std::ranges::copy(fields.destination.v4_bytes(), p + 16);
  if (!device_fills_checksum) store_be16(p + 10, internet_checksum(out.first(kIpv4HeaderBytes)));
}

}  // namespace millrace::wire
