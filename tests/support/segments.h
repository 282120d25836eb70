// What a connection sends, segment by segment: bursts cut up as the encoder or the port would.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/tcp/segment.h"

namespace millrace::test {

template <tcp::SegmentSink Sink>
void for_each_segment(const tcp::OutgoingSegment& burst, Sink&& sink) {
  for (std::size_t sent = 0, left = burst.segments(); left > 0; --left) {
    tcp::OutgoingSegment one = burst;
    one.seq = burst.seq + tcp::SeqLen(sent);
    one.offset += sent;
    one.size = std::min<std::size_t>(burst.size - sent, burst.segment_size);
    if (left > 1) one.flags &= static_cast<std::uint8_t>(~(tcp::TcpFlags::kPsh | tcp::TcpFlags::kFin));
    if (sent > 0) one.flags &= static_cast<std::uint8_t>(~tcp::TcpFlags::kCwr);
    sent += one.size;
    sink(one);
  }
}

}  // namespace millrace::test
