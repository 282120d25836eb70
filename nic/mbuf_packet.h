// Between mbufs and Packets, for the sources of nic/ only: everybody else sees no rte type. Inline: both run once per packet.
#pragma once

#include <cstddef>
#include <cstdint>

#include <rte_mbuf.h>

#include "nic/packet.h"

namespace millrace::nic {

/// Size of the mbuf's private area: the Buffer, padded so that the bytes behind it start on a cache line.
inline constexpr std::uint16_t kMbufPrivateBytes = 64;
static_assert(sizeof(Buffer) <= kMbufPrivateBytes);
static_assert(limits::kPacketHeadroomBytes == RTE_PKTMBUF_HEADROOM, "received and sent packets have the same headroom");

inline Buffer& buffer_of(rte_mbuf& mbuf) { return *reinterpret_cast<Buffer*>(&mbuf + 1); }
inline rte_mbuf& mbuf_of(Buffer& buffer) { return *(reinterpret_cast<rte_mbuf*>(&buffer) - 1); }

/// What the device says about a received frame's checksums, in our bits.
inline std::uint16_t rx_offload_of(std::uint64_t flags) {
  std::uint16_t bits = 0;
  const std::uint64_t ip = flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const std::uint64_t l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD) bits |= Offload::kIpChecksumGood;
  if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD) bits |= Offload::kIpChecksumBad;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD) bits |= Offload::kL4ChecksumGood;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD) bits |= Offload::kL4ChecksumBad;
  return bits;
}

/// A received mbuf of one segment becomes a packet. Touches the mbuf's first cache line only.
inline Packet packet_of(rte_mbuf& mbuf, std::uint8_t port) {
  Packet packet = Packet::adopt(buffer_of(mbuf), static_cast<std::uint8_t*>(mbuf.buf_addr) + mbuf.data_off, mbuf.data_len);
  packet.set_port(port);
  if (mbuf.ol_flags != 0) packet.set_offload(rx_offload_of(mbuf.ol_flags));
  return packet;
}

/// Writes the packet's place and wishes into its mbuf. The packet keeps the ownership: the device may not take the frame, and it
/// may be offered again.
inline rte_mbuf& mbuf_for_transmit(Packet& packet) {
  rte_mbuf& mbuf = mbuf_of(const_cast<Buffer&>(*packet.buffer()));
  mbuf.data_off = static_cast<std::uint16_t>(packet.data() - static_cast<std::uint8_t*>(mbuf.buf_addr));
  mbuf.data_len = static_cast<std::uint16_t>(packet.size());
  if (mbuf.nb_segs == 1) [[likely]]
    mbuf.pkt_len = static_cast<std::uint32_t>(packet.size());
  mbuf.ol_flags = 0;
  if ((packet.offload() & (Offload::kFillIpChecksum | Offload::kFillTcpChecksum)) != 0) [[unlikely]] {
    const bool v4 = packet.size() > packet.l2_size() && (packet.data()[packet.l2_size()] >> 4) == 4;
    std::uint64_t flags = v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    if (v4 && (packet.offload() & Offload::kFillIpChecksum) != 0) flags |= RTE_MBUF_F_TX_IP_CKSUM;
    if ((packet.offload() & Offload::kFillTcpChecksum) != 0) flags |= RTE_MBUF_F_TX_TCP_CKSUM;
    mbuf.tx_offload = 0;
    mbuf.l2_len = packet.l2_size() & 0x7f;
    mbuf.l3_len = packet.l3_size();
    if ((packet.offload() & Offload::kSegmentTcp) != 0) {
      constexpr std::size_t kDataOffset = 12;  // of a TCP header: its length in words, in the upper half of the byte
      flags |= RTE_MBUF_F_TX_TCP_SEG;
      mbuf.l4_len = (packet.data()[packet.l2_size() + packet.l3_size() + kDataOffset] >> 4) * 4 & 0xff;
      mbuf.tso_segsz = packet.segment_size();
    }
    mbuf.ol_flags = flags;
  }
  return mbuf;
}

}  // namespace millrace::nic
