// What a network card does with a packet on its way out, in software: puts its parts together, cuts a burst into segments, fills
// in checksums. For ports that are models (simulator, software NIC), so that the stack's offload paths run without hardware. It
// relies on the packet as hardware does: header sizes, and the sum of the pseudo-header that is in the checksum field already.
// Ethernet, with or without a VLAN tag, IPv4 and IPv6 without extension headers, TCP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nic/packet.h"

namespace millrace::nic {

class TransmitEngine {
 public:
  /// Starts on another packet. Its offloads must be consistent: kSegmentTcp with kFillTcpChecksum and a segment size.
  void start(const Packet& packet);
  /// The next frame for the wire, valid until the next call; empty when there is none.
  [[nodiscard]] std::span<std::uint8_t> next();

 private:
  [[nodiscard]] bool is_v4() const { return (whole_[l2_size_] >> 4) == 4; }
  std::span<std::uint8_t> next_segment();
  void write_lengths(std::span<std::uint8_t> frame, std::size_t index) const;
  void fill_ip_checksum(std::span<std::uint8_t> frame) const;
  void fill_tcp_checksum(std::span<std::uint8_t> frame, std::uint32_t length) const;

  std::vector<std::uint8_t> whole_;
  std::vector<std::uint8_t> segment_;
  std::size_t l2_size_ = 0;
  std::size_t l3_size_ = 0;
  std::size_t headers_ = 0;  // Ethernet to TCP
  std::size_t segment_size_ = 0;
  std::size_t sent_ = 0;  // bytes of payload
  std::uint16_t offload_ = 0;
  bool done_ = true;
};

}  // namespace millrace::nic
