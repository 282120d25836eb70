// A fragment's header fields, checked (RFC 791 3.2, RFC 8200 4.5, RFC 7112), and the header of a datagram made whole again.
// Knows no state: what has arrived before is reassembly.h's business. Tiny IPv4 fragments are as good as others: RFC 791 allows
// them, and nothing looks into a datagram before it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "nic/packet.h"

namespace millrace::ip {

struct Fragment {
  IpAddress source;
  IpAddress destination;
  std::uint32_t identification = 0;
  std::uint16_t header_size = 0;  ///< bytes before the payload, the fragment header included
  std::uint16_t named_at = 0;     ///< IPv6: offset of the field that names the fragment header
  std::uint16_t offset = 0;       ///< of the payload in the datagram, bytes
  std::uint8_t protocol = 0;      ///< IPv4: tells datagrams apart (RFC 791); IPv6: 0 (RFC 8200 4.5)
  std::uint8_t ecn = 0;           ///< the codepoint, 0 to 3
  std::uint8_t interface = 0;     ///< it came from
  bool more = false;              ///< not the last one
};

/// `packet` ends with the fragment's payload. In what is returned only `interface` is missing.
[[nodiscard]] Result<Fragment, wire::DropReason> fragment_of(std::span<const std::uint8_t> packet, const wire::Ipv4View& view);
[[nodiscard]] Result<Fragment, wire::Ipv6Fault> fragment_of(std::span<const std::uint8_t> packet, const wire::Ipv6View& view);

/// `datagram` is the first fragment's header, as received, and the whole payload: the header becomes that of the datagram.
/// `congested`: a fragment was marked on its way (RFC 3168 5.3).
void make_whole(nic::Packet& datagram, const Fragment& first, bool congested);

/// The header of a fragment to be sent.
struct FragmentFields {
  IpAddress source;
  IpAddress destination;
  std::uint32_t identification = 0;  ///< IPv4 takes its low 16 bits
  std::uint16_t offset = 0;          ///< bytes, a multiple of 8
  std::uint8_t protocol = 0;
  bool more = false;
};

/// Puts the IP header, and IPv6's fragment header, before the payload that `packet` is.
void prepend_fragment_header(nic::Packet& packet, const FragmentFields& fields);

}  // namespace millrace::ip
