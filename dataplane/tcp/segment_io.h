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

/// The segment with its data copied into a fresh packet, ready for IpLayer::send(). With `checksum_offload` the port completes
/// the checksum. An empty packet when the pool is exhausted.
[[nodiscard]] nic::Packet encode(const FlowKey& flow, const OutgoingSegment& segment, bool checksum_offload,
                                 nic::PacketPool& pool);

}  // namespace millrace::tcp
