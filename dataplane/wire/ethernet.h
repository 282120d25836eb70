// Ethernet II headers (IEEE 802.3 clause 3, 802.1Q). One VLAN tag is looked through and may be written; double tags and LLC
// frames are the caller's unknown EtherType.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {

inline constexpr std::size_t kEthernetHeaderBytes = 14;
inline constexpr std::size_t kVlanTagBytes = 4;

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;
inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;

struct EthernetView {
  MacAddress destination;
  MacAddress source;
  std::uint16_t type = 0;        ///< of the payload, behind the tag if there is one
  std::uint16_t vlan = 0;        ///< VLAN identifier; 0: untagged, or tagged for priority only (802.1Q 9.6)
  std::uint8_t header_size = 0;  ///< 14, or 18 with a tag

  [[nodiscard]] static Result<EthernetView, DropReason> parse(std::span<const std::uint8_t> frame) {
    if (frame.size() < kEthernetHeaderBytes) return Error(DropReason::kEthernetTruncated);
    EthernetView view;
    std::copy_n(frame.begin(), 6, view.destination.bytes.begin());
    std::copy_n(frame.begin() + 6, 6, view.source.bytes.begin());
    view.type = load_be16(frame.data() + 12);
    view.header_size = kEthernetHeaderBytes;
    if (view.type == kEtherTypeVlan) {
      if (frame.size() < kEthernetHeaderBytes + kVlanTagBytes) return Error(DropReason::kEthernetTruncated);
      view.vlan = load_be16(frame.data() + 14) & 0x0fff;
      view.type = load_be16(frame.data() + 16);
      view.header_size = kEthernetHeaderBytes + kVlanTagBytes;
    }
    return view;
  }
};

/// Writes kEthernetHeaderBytes.
inline void write_ethernet_header(std::span<std::uint8_t> out, const MacAddress& destination, const MacAddress& source,
                                  std::uint16_t type) {
  MR_ASSERT(out.size() >= kEthernetHeaderBytes);
  std::copy(destination.bytes.begin(), destination.bytes.end(), out.begin());
  std::copy(source.bytes.begin(), source.bytes.end(), out.begin() + 6);
  store_be16(out.data() + 12, type);
}

/// Writes kEthernetHeaderBytes + kVlanTagBytes; `vlan` is 1 to 4094, the priority 0.
inline void write_tagged_ethernet_header(std::span<std::uint8_t> out, const MacAddress& destination, const MacAddress& source,
                                         std::uint16_t vlan, std::uint16_t type) {
  MR_ASSERT(out.size() >= kEthernetHeaderBytes + kVlanTagBytes && vlan >= 1 && vlan <= 4094);
  write_ethernet_header(out, destination, source, kEtherTypeVlan);
  store_be16(out.data() + 14, vlan);
  store_be16(out.data() + 16, type);
}

}  // namespace millrace::wire
