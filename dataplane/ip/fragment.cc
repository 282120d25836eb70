#include "dataplane/ip/fragment.h"

#include <cstring>
#include <span>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"

namespace millrace::ip {

using wire::DropReason;
using wire::Ipv6Fault;
using wire::ParameterProblem;

namespace {
constexpr std::size_t kMaxDatagramBytes = 0xffff;
}

Result<Fragment, DropReason> fragment_of(std::span<const std::uint8_t> packet, const wire::Ipv4View& view) {
  const std::uint16_t field = wire::load_be16(packet.data() + 6);
  const std::size_t payload = packet.size() - view.header_size;
  const Fragment fragment{.source = view.source,
                          .destination = view.destination,
                          .identification = wire::load_be16(packet.data() + 4),
                          .header_size = view.header_size,
                          .offset = static_cast<std::uint16_t>((field & 0x1fff) * 8),
                          .protocol = view.protocol,
                          .ecn = static_cast<std::uint8_t>(view.traffic_class & 3),
                          .more = (field & 0x2000) != 0};
  const bool uneven = fragment.more && payload % 8 != 0;
  if (payload == 0 || uneven || fragment.offset + packet.size() > kMaxDatagramBytes) return Error(DropReason::kIpv4BadFragment);
  return fragment;
}

Result<Fragment, Ipv6Fault> fragment_of(std::span<const std::uint8_t> packet, const wire::Ipv6View& view) {
  const std::size_t at = view.protocol_at;  // of the fragment header
  const std::uint16_t field = wire::load_be16(packet.data() + at + 2);
  const std::size_t payload = packet.size() - view.header_size;
  const Fragment fragment{.source = view.source,
                          .destination = view.destination,
                          .identification = wire::load_be32(packet.data() + at + 4),
                          .header_size = view.header_size,
                          .named_at = view.fragment_named_at,
                          .offset = static_cast<std::uint16_t>(field & 0xfff8),
                          .ecn = static_cast<std::uint8_t>(view.traffic_class & 3),
                          .more = (field & 1) != 0};
  const auto bad = [](std::size_t pointer) {
    return Error(Ipv6Fault{.reason = DropReason::kIpv6BadFragment,
                           .answer = Ipv6Fault::Answer::kUnlessToGroup,
                           .code = ParameterProblem::kBadField,
                           .pointer = static_cast<std::uint16_t>(pointer)});
  };
  constexpr std::size_t kPayloadLengthAt = 4;
  if (fragment.more && payload % 8 != 0) return bad(kPayloadLengthAt);
  // What the whole would have behind its fixed header.
  const std::size_t unfragmentable = at - wire::kIpv6HeaderBytes;
  if (unfragmentable + fragment.offset + payload > kMaxDatagramBytes) return bad(at + 2);
  if (payload == 0) return Error(Ipv6Fault{.reason = DropReason::kIpv6BadFragment});
  if (fragment.offset == 0 && !wire::has_whole_header_chain(packet)) {
    return Error(Ipv6Fault{.reason = DropReason::kIpv6FirstFragmentTooSmall,
                           .answer = Ipv6Fault::Answer::kUnlessToGroup,
                           .code = ParameterProblem::kIncompleteHeaderChain});
  }
  return fragment;
}

void make_whole(nic::Packet& datagram, const Fragment& first, bool congested) {
  std::uint8_t* header = datagram.data();
  if (first.source.is_v4()) {
    if (congested) header[1] |= 3;
    wire::store_be16(header + 2, static_cast<std::uint16_t>(datagram.size()));
    wire::store_be16(header + 6, 0);
    wire::store_be16(header + 10, 0);
    wire::store_be16(header + 10, wire::internet_checksum({header, first.header_size}));
    return;
  }
  // The fragment header leaves the chain: what stood before it moves up.
  const std::size_t kept = first.header_size - wire::kIpv6FragmentHeaderBytes;
  header[first.named_at] = header[kept];
  std::memmove(header + wire::kIpv6FragmentHeaderBytes, header, kept);
  datagram.remove_prefix(wire::kIpv6FragmentHeaderBytes);
  header = datagram.data();
  if (congested) header[1] |= 0x30;
  wire::store_be16(header + 4, static_cast<std::uint16_t>(datagram.size() - wire::kIpv6HeaderBytes));
}

void prepend_fragment_header(nic::Packet& packet, const FragmentFields& fields) {
  const auto payload = static_cast<std::uint16_t>(packet.size());
  if (fields.source.is_v4()) {
    const std::span<std::uint8_t> header(packet.prepend(wire::kIpv4HeaderBytes), wire::kIpv4HeaderBytes);
    wire::write_ipv4_header(header, {fields.source, fields.destination, payload, fields.protocol}, true);
    wire::store_be16(header.data() + 4, static_cast<std::uint16_t>(fields.identification));
    wire::store_be16(header.data() + 6, static_cast<std::uint16_t>(fields.offset / 8 | (fields.more ? 0x2000 : 0)));
    wire::store_be16(header.data() + 10, wire::internet_checksum(header));
    return;
  }
  constexpr std::uint8_t kFragmentHeader = 44;
  std::uint8_t* header = packet.prepend(wire::kIpv6FragmentHeaderBytes);
  header[0] = fields.protocol;
  header[1] = 0;
  wire::store_be16(header + 2, static_cast<std::uint16_t>(fields.offset | (fields.more ? 1 : 0)));
  wire::store_be32(header + 4, fields.identification);
  wire::write_ipv6_header({packet.prepend(wire::kIpv6HeaderBytes), wire::kIpv6HeaderBytes},
                          {.source = fields.source,
                           .destination = fields.destination,
                           .payload_length = static_cast<std::uint16_t>(payload + wire::kIpv6FragmentHeaderBytes),
                           .protocol = kFragmentHeader});
}

}  // namespace millrace::ip
