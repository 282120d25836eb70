// A TCP segment as the state machines see it, decoded; and one that they want to have sent.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/seq_num.h"
#include "dataplane/wire/tcp_header.h"
#include "nic/packet.h"

namespace millrace::tcp {

using wire::TcpFlags;
using wire::TcpOptions;

/// Received. Built with designated initialisers in tests, by the stack from wire::TcpHeaderView.
struct Segment {
  SeqNum seq{};
  SeqNum ack{};
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  ///< not scaled
  TcpOptions options{};
  nic::Slice payload{};
  stream::Chain* rest = nullptr;  ///< more payload behind it, of segments that were put together (coalescer.h); null: none
  bool congestion = false;        ///< the network marked its packet (ECN "CE")
  bool payload_dropped = false;   ///< there was one, but memory is short: only the header counts

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::size_t data_size() const { return payload.size() + (rest == nullptr ? 0 : rest->size()); }  ///< bytes
  /// SEG.LEN: the payload, plus one each for SYN and FIN.
  [[nodiscard]] SeqLen length() const {
    return SeqLen(data_size() + (has(TcpFlags::kSyn) ? 1u : 0u) + (has(TcpFlags::kFin) ? 1u : 0u));
  }
  [[nodiscard]] SeqNum end() const { return seq + length(); }
};

/// To be sent: the sink takes `size` bytes of `data` from `offset` on. Valid only during the call. More than `segment_size` bytes
/// are a burst of segments: numbers go on, PSH and FIN belong to the last, CWR to the first, all else to each.
struct OutgoingSegment {
  SeqNum seq{};
  SeqNum ack{};
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  TcpOptions options{};
  const stream::Chain* data = nullptr;
  std::size_t offset = 0;
  std::size_t size = 0;
  std::uint16_t segment_size = 0xffff;
  bool ecn_capable = false;  ///< the packet may be marked instead of dropped (ECT(0))

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::size_t segments() const { return size <= segment_size ? 1 : (size + segment_size - 1) / segment_size; }
};

/// Puts segments on the wire. A segment that it cannot send is lost; retransmission takes care.
template <typename T>
concept SegmentSink = std::invocable<T, const OutgoingSegment&>;

}  // namespace millrace::tcp
