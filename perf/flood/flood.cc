#include "perf/flood/flood.h"

#include <algorithm>
#include <array>

#include "dataplane/ip/interface.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::perf {
namespace {

using wire::TcpFlags;

constexpr std::uint16_t kFirstPort = 1'024;

IpAddress random_host(const IpPrefix& prefix, Rng& rng) {
  const std::uint32_t network = wire::load_be32(prefix.address.bytes().data() + 12);
  const std::uint32_t host = prefix.length >= 32 ? 0 : static_cast<std::uint32_t>(rng.next()) >> prefix.length;
  std::array<std::uint8_t, 4> bytes{};
  wire::store_be32(bytes.data(), network | host);
  return IpAddress::v4(bytes);
}

}  // namespace

std::optional<FloodKind> flood_kind(std::string_view name) {
  if (name == "syn") return FloodKind::kSyn;
  if (name == "ack") return FloodKind::kAck;
  if (name == "rst") return FloodKind::kRst;
  if (name == "garbage") return FloodKind::kGarbage;
  return std::nullopt;
}

void Flood::write(nic::Packet& packet) {
  wire::TcpFields fields{.source_port = static_cast<std::uint16_t>(kFirstPort + rng_.below(0x1'0000 - kFirstPort)),
                         .destination_port = config_.target.port,
                         .seq = static_cast<std::uint32_t>(rng_.next()),
                         .ack = static_cast<std::uint32_t>(rng_.next()),
                         .window = 64'240};
  std::array<std::uint8_t, wire::kTcpMaxHeaderBytes - wire::kTcpMinHeaderBytes> noise{};
  std::size_t noise_size = 0;
  switch (config_.kind) {
    case FloodKind::kSyn:
      fields.flags = TcpFlags::kSyn;
      fields.ack = 0;
      fields.options = {.mss = 1'460,
                        .window_scale = std::uint8_t{7},
                        .timestamps = {{.value = static_cast<std::uint32_t>(rng_.next()), .echo = 0}},
                        .sack_permitted = true};
      break;
    case FloodKind::kAck:
      fields.flags = TcpFlags::kAck;
      fields.options.timestamps = {{.value = fields.seq, .echo = fields.ack}};
      break;
    case FloodKind::kRst: fields.flags = TcpFlags::kRst; break;
    case FloodKind::kGarbage:
      fields.flags = static_cast<std::uint8_t>(rng_.next());
      noise_size = rng_.below(static_cast<std::uint32_t>(noise.size() / 4 + 1)) * 4;
      for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(rng_.next());
      break;
  }
  const IpAddress source = random_host(config_.sources, rng_);
  const std::size_t header = wire::tcp_header_size(fields.options);
  const std::size_t size = header + noise_size;
  packet.append(size);
  wire::write_tcp_header(packet.bytes().first(header), fields);
  if (noise_size > 0) {
    std::copy_n(noise.begin(), noise_size, packet.data() + header);
    packet.data()[12] = static_cast<std::uint8_t>(size / 4 << 4);
  }
  const std::uint32_t pseudo =
      wire::pseudo_header_sum(source, config_.target.ip, ip::kProtocolTcp, static_cast<std::uint32_t>(size));
  wire::store_be16(packet.data() + wire::kTcpChecksumOffset, wire::checksum_finish(wire::checksum_add(pseudo, packet.bytes())));
  wire::write_ipv4_header({packet.prepend(wire::kIpv4HeaderBytes), wire::kIpv4HeaderBytes},
                          {.source = source,
                           .destination = config_.target.ip,
                           .payload_length = static_cast<std::uint16_t>(size),
                           .protocol = ip::kProtocolTcp});
  wire::write_ethernet_header({packet.prepend(wire::kEthernetHeaderBytes), wire::kEthernetHeaderBytes}, config_.target_mac,
                              config_.mac, wire::kEtherTypeIpv4);
}

void Flood::write_arp_request(nic::Packet& packet) const {
  packet.append(wire::kEthernetHeaderBytes + wire::kArpBytes);
  MacAddress everyone;
  everyone.bytes.fill(0xff);
  wire::write_ethernet_header(packet.bytes(), everyone, config_.mac, wire::kEtherTypeArp);
  wire::ArpMessage{wire::ArpMessage::Operation::kRequest, config_.mac, config_.router, {}, config_.target.ip}.write(
      packet.bytes().subspan(wire::kEthernetHeaderBytes));
}

bool Flood::receive(nic::Packet& packet) {
  const auto ethernet = wire::EthernetView::parse(packet.bytes());
  if (!ethernet) return false;
  const auto payload = std::as_const(packet).bytes().subspan(ethernet->header_size);
  if (ethernet->type == wire::kEtherTypeArp) {
    const auto message = wire::ArpMessage::parse(payload);
    if (!message || message->sender != config_.target.ip) return false;
    config_.target_mac = message->sender_mac;
    if (message->operation != wire::ArpMessage::Operation::kRequest || message->target != config_.router) return false;
    wire::write_ethernet_header(packet.bytes(), message->sender_mac, config_.mac, wire::kEtherTypeArp);
    wire::ArpMessage{wire::ArpMessage::Operation::kReply, config_.mac, config_.router, message->sender_mac, message->sender}
        .write(packet.bytes().subspan(wire::kEthernetHeaderBytes));
    return true;
  }
  if (ethernet->type != wire::kEtherTypeIpv4) return false;
  const auto ip = wire::Ipv4View::parse(payload, true);
  if (!ip || ip->protocol != ip::kProtocolTcp) return false;
  const auto tcp = wire::TcpHeaderView::parse(payload.subspan(ip->header_size));
  if (!tcp) return false;
  if (tcp->has(TcpFlags::kRst)) {
    ++answers_.resets;
  } else if (tcp->has(TcpFlags::kSyn)) {
    ++answers_.syn_acks;
  } else {
    ++answers_.others;
  }
  return false;
}

}  // namespace millrace::perf
