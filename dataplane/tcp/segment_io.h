// Between datagrams and segments: decodes what came in, writes what goes out.
#pragma once

#include "dataplane/base/result.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/counters.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/segment.h"
#include "nic/packet.h"

namespace millrace::tcp {

struct Decoded {
  FlowKey flow;
  Segment segment;
};

/// Checks the checksum (unless the port did), header and addresses. The payload stays in the packet's buffer. An error is the
/// counter of the drop.
[[nodiscard]] Result<Decoded, Counter> decode(ip::Datagram&& datagram);

/// Writes what a connection has to say as packets for IpLayer::send(): one for each segment, or fewer where the port cuts them up
/// (`tx`). Small payloads are copied, larger ones referenced where the port takes packets of several parts; checksums are
/// completed by the port or here. Flow and segment must outlive the encoder.
class SegmentEncoder {
 public:
  SegmentEncoder(const FlowKey& flow, const OutgoingSegment& segment, nic::TxOffloads tx, nic::PacketPool& pool);

  /// Nothing is left to write.
  [[nodiscard]] bool done() const { return done_; }
  /// The next packet. Empty, without moving on, when the pool is exhausted.
  [[nodiscard]] nic::Packet next();

 private:
  [[nodiscard]] std::size_t burst_that_fits(std::size_t left) const;
  void add_payload(nic::Packet& packet, std::size_t size);
  void write_header(nic::Packet& packet) const;
  void write_checksum(nic::Packet& packet) const;

  const FlowKey& flow_;
  const OutgoingSegment& segment_;
  nic::TxOffloads tx_;
  nic::PacketPool& pool_;
  std::size_t header_size_;
  stream::Chain::Cursor cursor_;
  std::size_t sent_ = 0;  // payload bytes
  bool done_ = false;
};

}  // namespace millrace::tcp
