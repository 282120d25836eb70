#include "dataplane/tcp/segment_io.h"

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::tcp {
namespace {

bool checksum_is_wrong(const ip::Datagram& datagram) {
  const std::uint16_t offload = datagram.packet.offload();
  if ((offload & nic::Offload::kL4ChecksumGood) != 0) return false;
  if ((offload & nic::Offload::kL4ChecksumBad) != 0) return true;
  const auto bytes = datagram.packet.bytes();
  const std::uint32_t pseudo =
      wire::pseudo_header_sum(datagram.source, datagram.destination, ip::kProtocolTcp, static_cast<std::uint32_t>(bytes.size()));
  return wire::checksum_finish(wire::checksum_add(pseudo, bytes)) != 0;
}

}  // namespace

Result<Decoded, Counter> decode(ip::Datagram&& datagram) {
  const auto header = wire::TcpHeaderView::parse(std::as_const(datagram.packet).bytes());
  if (!header) return Error<Counter>(Counter::kDropBadHeader);
  if (checksum_is_wrong(datagram)) return Error<Counter>(Counter::kDropBadChecksum);
  const IpAddress& peer = datagram.source;
  if (header->source_port == 0 || header->destination_port == 0 || peer.is_unspecified() || peer.is_multicast() ||
      peer.is_broadcast() || datagram.destination.is_multicast() || datagram.destination.is_broadcast()) {
    return Error<Counter>(Counter::kDropBadPeer);
  }
  Decoded decoded{
      .flow = {datagram.destination, datagram.source, header->destination_port, header->source_port},
      .segment = {.seq = SeqNum(header->seq),
                  .ack = SeqNum(header->ack),
                  .flags = header->flags,
                  .window = header->window,
                  .options = header->options,
                  .congestion = (datagram.traffic_class & 3) == 3},
  };
  datagram.packet.remove_prefix(header->header_size);
  if (datagram.packet.size() > 0) decoded.segment.payload = nic::Slice(std::move(datagram.packet));
  return decoded;
}

nic::Packet encode(const FlowKey& flow, const OutgoingSegment& segment, bool checksum_offload, nic::PacketPool& pool) {
  nic::Packet packet = pool.allocate();
  if (!packet) return packet;
  const wire::TcpFields fields{.source_port = flow.local_port,
                               .destination_port = flow.peer_port,
                               .seq = segment.seq.raw(),
                               .ack = segment.ack.raw(),
                               .flags = segment.flags,
                               .window = segment.window,
                               .urgent = 0,
                               .options = segment.options};
  const std::size_t header = wire::tcp_header_size(fields.options);
  wire::write_tcp_header({packet.append(header), header}, fields);
  if (segment.size > 0) {
    const std::size_t copied = segment.data->copy_out(segment.offset, {packet.append(segment.size), segment.size});
    MR_ASSERT(copied == segment.size);
  }
  const std::uint32_t pseudo =
      wire::pseudo_header_sum(flow.local_ip, flow.peer_ip, ip::kProtocolTcp, static_cast<std::uint32_t>(packet.size()));
  std::uint16_t checksum = wire::checksum_fold(pseudo);
  if (checksum_offload) {
    packet.set_offload(nic::Offload::kFillTcpChecksum);
  } else {
    checksum = wire::checksum_finish(wire::checksum_add(pseudo, packet.bytes()));
  }
  wire::store_be16(packet.data() + wire::kTcpChecksumOffset, checksum);
  return packet;
}

}  // namespace millrace::tcp
