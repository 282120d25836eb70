// Frames as a neighbour sends them, and an IpLayer with one port to send them to. All buffers are exact: AddressSanitizer sees
// every over-read.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/neighbour_discovery.h"
#include "dataplane/wire/tcp_header.h"
#include "nic/heap_pool.h"

namespace millrace::ip::test {

using Bytes = std::vector<std::uint8_t>;
using wire::DropReason;

inline IpAddress addr(std::string_view text) { return IpAddress::parse(text).value(); }
inline IpPrefix net(std::string_view text) { return IpPrefix::parse(text).value(); }

inline const MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x01}};
inline const MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0x02}};
inline const MacAddress kOtherMac{{0x02, 0, 0, 0, 0, 0x03}};
inline const IpAddress kUs = addr("198.18.0.2");
inline const IpAddress kPeer = addr("198.18.0.1");
inline const IpAddress kUs6 = addr("2001:db8::2");
inline const IpAddress kPeer6 = addr("2001:db8::1");
inline const IpAddress kFar = addr("203.0.113.9");  // behind the default gateway kPeer

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes text(std::string_view t) { return {t.begin(), t.end()}; }

inline Bytes ethernet(std::uint16_t type, const Bytes& payload, const MacAddress& to = kOurMac,
                      const MacAddress& from = kPeerMac) {
  Bytes header(wire::kEthernetHeaderBytes);
  wire::write_ethernet_header(header, to, from, type);
  return header + payload;
}
inline Bytes ipv4(const Bytes& payload, std::uint8_t protocol, const IpAddress& from = kPeer, const IpAddress& to = kUs) {
  Bytes header(wire::kIpv4HeaderBytes);
  wire::write_ipv4_header(header, {from, to, static_cast<std::uint16_t>(payload.size()), protocol, 0});
  return header + payload;
}
inline Bytes ipv6(const Bytes& payload, std::uint8_t protocol, const IpAddress& from = kPeer6, const IpAddress& to = kUs6,
                  std::uint8_t hop_limit = 64) {
  Bytes header(wire::kIpv6HeaderBytes);
  wire::write_ipv6_header(header, {from, to, static_cast<std::uint16_t>(payload.size()), protocol, 0, hop_limit});
  return header + payload;
}
/// Of an IPv6 frame of ours, to compare it without its flow label.
inline Bytes without_label(Bytes frame) {
  frame.at(15) &= 0xf0;
  frame.at(16) = frame.at(17) = 0;
  return frame;
}
/// After a change of the IPv4 header at the start of `packet`.
inline Bytes with_checksum(Bytes packet) {
  wire::store_be16(packet.data() + 10, 0);
  wire::store_be16(packet.data() + 10, wire::internet_checksum(std::span(packet).first((packet[0] & 15u) * 4)));
  return packet;
}
inline Bytes frame4(const Bytes& packet, const MacAddress& to = kOurMac) { return ethernet(wire::kEtherTypeIpv4, packet, to); }
inline Bytes frame6(const Bytes& packet, const MacAddress& to = kOurMac) { return ethernet(wire::kEtherTypeIpv6, packet, to); }

inline Bytes icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, const Bytes& body, const IpAddress& from = kPeer,
                  const IpAddress& to = kUs) {
  Bytes header(wire::kIcmpHeaderBytes);
  wire::write_icmp_header(header, type, code, rest);
  Bytes message = header + body;
  wire::write_icmp_checksum(message, from, to);
  return message;
}
inline Bytes tcp_segment() {
  Bytes segment(60);
  const std::size_t size = wire::write_tcp_header(segment, {.source_port = 1234, .destination_port = 80, .seq = 7, .flags = 2});
  segment.resize(size);
  return segment + text("hello");
}

inline Bytes arp(wire::ArpMessage::Operation operation, const MacAddress& sender_mac, const IpAddress& sender,
                 const MacAddress& target_mac, const IpAddress& target, const MacAddress& to) {
  Bytes message(wire::kArpBytes);
  wire::ArpMessage{operation, sender_mac, sender, target_mac, target}.write(message);
  return ethernet(wire::kEtherTypeArp, message, to, sender_mac);
}
inline Bytes arp_request(const IpAddress& target, const IpAddress& sender = kPeer, const MacAddress& mac = kPeerMac) {
  return arp(wire::ArpMessage::Operation::kRequest, mac, sender, {}, target, MacAddress::broadcast());
}
inline Bytes arp_reply(const IpAddress& sender = kPeer, const MacAddress& mac = kPeerMac) {
  return arp(wire::ArpMessage::Operation::kReply, mac, sender, kOurMac, kUs, kOurMac);
}
inline Bytes gratuitous_arp(const IpAddress& sender, const MacAddress& mac) {
  return arp(wire::ArpMessage::Operation::kRequest, mac, sender, {}, sender, MacAddress::broadcast());
}
inline Bytes neighbour_message(const wire::NeighbourMessage& message, const IpAddress& from, const IpAddress& to,
                               const MacAddress& mac, std::uint8_t hop_limit = 255) {
  Bytes bytes(message.size());
  message.write(bytes);
  wire::write_icmp_checksum(bytes, from, to);
  return frame6(ipv6(bytes, wire::kProtocolIcmpv6, from, to, hop_limit), mac);
}
inline Bytes solicitation(const IpAddress& target, std::uint8_t hop_limit = 255, const IpAddress& from = kPeer6) {
  const IpAddress group = wire::solicited_node_group(target);
  wire::NeighbourMessage message{.target = target};
  if (!from.is_unspecified()) message.link_address = kPeerMac;
  return neighbour_message(message, from, group, wire::group_mac(group), hop_limit);
}
inline Bytes advertisement(const IpAddress& target = kPeer6, const MacAddress& mac = kPeerMac, bool solicited = true,
                           bool override_ = true) {
  return neighbour_message(
      {.is_advertisement = true, .solicited = solicited, .override_ = override_, .target = target, .link_address = mac}, target,
      kUs6, kOurMac);
}

class IpLayerTest : public testing::Test {
 protected:
  static InterfaceConfig interface() {
    return {.mac = kOurMac, .mtu = 1500, .addresses = {net("198.18.0.2/24"), net("2001:db8::2/64")}};
  }
  IpLayerTest() : IpLayerTest({interface()}) {}
  explicit IpLayerTest(std::vector<InterfaceConfig> interfaces)
      : routes({{net("0.0.0.0/0"), kPeer}, {net("::/0"), kPeer6}}), layer(interfaces, routes, timers, pool, rng, now) {}

  IpLayer::Received receive(const Bytes& frame, std::uint16_t offload = 0, std::uint8_t port = 0) {
    nic::Packet packet = pool.copy_of(frame);
    packet.set_port(port);
    packet.set_offload(offload);
    return layer.receive(std::move(packet), now);
  }
  /// The frames queued since the last call.
  std::vector<Bytes> sent(std::size_t port = 0) {
    std::vector<Bytes> frames;
    for (nic::Packet& packet : layer.outgoing(port)) {
      frames.emplace_back(packet.bytes().begin(), packet.bytes().end());
      packet = {};
    }
    layer.outgoing_taken(port, frames.size());
    return frames;
  }
  bool send(const IpAddress& to, const Bytes& payload = tcp_segment()) {
    nic::Packet packet = pool.allocate();
    packet.append(payload);
    return layer.send(std::move(packet), to.is_v4() ? kUs : kUs6, to, kProtocolTcp, 0, now);
  }
  /// Makes kPeer and kPeer6 reachable neighbours.
  void resolve() {
    send(kPeer);
    send(kPeer6);
    receive(arp_reply());
    receive(advertisement());
    sent();
  }
  void pass(Duration time) {
    const Instant end = now + time;
    while (now < end) {
      now = std::min(end, now + Duration::milliseconds(10));
      timers.advance(now);
    }
  }
  [[nodiscard]] std::uint64_t drops(DropReason reason) const { return wire::counted(layer.drops(), reason); }
  [[nodiscard]] std::uint64_t all_drops() const {
    return std::accumulate(layer.drops().begin(), layer.drops().end(), std::uint64_t{0});
  }
  /// Dropped for this reason and no other, without an answer.
  void expect_dropped(const Bytes& frame, DropReason reason, std::uint16_t offload = 0) {
    const std::uint64_t before = drops(reason);
    const std::uint64_t all_before = all_drops();
    EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(frame, offload))) << to_text(reason);
    EXPECT_EQ(drops(reason), before + 1) << to_text(reason);
    EXPECT_EQ(all_drops(), all_before + 1) << to_text(reason);
    EXPECT_TRUE(sent().empty()) << to_text(reason);
  }

  Instant now = Instant::from_nanoseconds(5'000'000'000);
  nic::HeapPool pool{4096};
  TimerWheel timers{now};
  Rng rng{1};
  std::vector<RouteConfig> routes;
  IpLayer layer;
};

}  // namespace millrace::ip::test
