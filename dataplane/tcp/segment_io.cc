#include "dataplane/tcp/segment_io.h"

#include <algorithm>
#include <bit>

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

// Less is copied sooner than referenced.
constexpr std::size_t kMostCopiedBytes = 256;

// `sum` plus a packet and what is attached to it; parts that start at odd offsets count byte-swapped (RFC 1071 2).
std::uint32_t add_packet(std::uint32_t sum, const nic::Packet& packet) {
  sum = wire::checksum_add(sum, packet.bytes());
  std::size_t offset = packet.size();
  for (const nic::Slice& part : packet.attached()) {
    if (offset % 2 == 0) {
      sum = wire::checksum_add(sum, part.bytes());
    } else {
      sum += std::byteswap(wire::checksum_fold(wire::checksum_add(0, part.bytes())));
    }
    offset += part.size();
  }
  return sum;
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

SegmentEncoder::SegmentEncoder(const FlowKey& flow, const OutgoingSegment& segment, nic::TxOffloads tx, nic::PacketPool& pool)
    : flow_(flow), segment_(segment), tx_(tx), pool_(pool), header_size_(wire::tcp_header_size(segment.options)) {
  if (segment.size > 0) cursor_ = segment.data->cursor(segment.offset);
}

nic::Packet SegmentEncoder::next() {
  nic::Packet packet = pool_.allocate();
  if (!packet) return packet;
  packet.append(header_size_);
  const std::size_t size = burst_that_fits(segment_.size - sent_);
  if (size > segment_.segment_size) {
    packet.set_segment_size(segment_.segment_size);
    packet.set_offload(nic::Offload::kFillTcpChecksum | nic::Offload::kSegmentTcp);
  } else if (tx_.tcp_checksum) {
    packet.set_offload(nic::Offload::kFillTcpChecksum);
  }
  done_ = sent_ + size == segment_.size;
  write_header(packet);
  add_payload(packet, size);
  write_checksum(packet);
  sent_ += size;
  return packet;
}

// Where the port cuts: as much as a packet has places for, in whole segments unless it is all that is left.
std::size_t SegmentEncoder::burst_that_fits(std::size_t left) const {
  const std::size_t one = std::min<std::size_t>(left, segment_.segment_size);
  if (!tx_.tcp_segmentation || left == one) return one;
  stream::Chain::Cursor cursor = cursor_;
  std::size_t fits = 0;
  for (std::size_t parts = 0; parts < nic::Packet::kMostAttached && fits < left; ++parts) {
    const std::size_t part = std::min(cursor.contiguous(), left - fits);
    cursor.skip(part);
    fits += part;
  }
  return fits == left ? left : std::max(one, fits - fits % segment_.segment_size);
}

void SegmentEncoder::write_header(nic::Packet& packet) const {
  std::uint8_t flags = segment_.flags;
  if (!done_) flags &= static_cast<std::uint8_t>(~(TcpFlags::kPsh | TcpFlags::kFin));
  if (sent_ > 0) flags &= static_cast<std::uint8_t>(~TcpFlags::kCwr);
  wire::write_tcp_header(packet.bytes(), {.source_port = flow_.local_port,
                                          .destination_port = flow_.peer_port,
                                          .seq = (segment_.seq + SeqLen(sent_)).raw(),
                                          .ack = segment_.ack.raw(),
                                          .flags = flags,
                                          .window = segment_.window,
                                          .urgent = 0,
                                          .options = segment_.options});
}

void SegmentEncoder::add_payload(nic::Packet& packet, std::size_t size) {
  if (tx_.multi_segment && size > kMostCopiedBytes) {
    stream::Chain::Cursor cursor = cursor_;
    std::size_t left = size;
    bool attached = true;
    while (left > 0 && attached) {
      nic::Slice part = cursor.take(std::min(cursor.contiguous(), left));
      left -= part.size();
      attached = packet.attach(std::move(part));
    }
    if (attached) {
      cursor_ = cursor;
      return;
    }
    packet.detach_all();  // one segment in very many parts: it fits the buffer
  }
  if (size > 0) cursor_.copy({packet.append(size), size});
}

void SegmentEncoder::write_checksum(nic::Packet& packet) const {
  const bool segmented = (packet.offload() & nic::Offload::kSegmentTcp) != 0;
  const std::uint32_t length = segmented ? 0 : static_cast<std::uint32_t>(packet.total_size());
  const std::uint32_t pseudo = wire::pseudo_header_sum(flow_.local_ip, flow_.peer_ip, ip::kProtocolTcp, length);
  const bool by_port = (packet.offload() & nic::Offload::kFillTcpChecksum) != 0;
  const std::uint16_t checksum = by_port ? wire::checksum_fold(pseudo) : wire::checksum_finish(add_packet(pseudo, packet));
  wire::store_be16(packet.data() + wire::kTcpChecksumOffset, checksum);
}

}  // namespace millrace::tcp
