#include "dataplane/ip/ip_layer.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::ip {

using wire::DropReason;

struct IpLayer::Arrival {
  std::uint8_t interface = 0;
  bool group_frame = false;  // broadcast or multicast on the link
  IpAddress source;
  IpAddress destination;
  std::uint16_t header_size = 0;
  std::uint16_t protocol_at = 0;  // IPv6: offset of the field that names `protocol`
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
};

IpLayer::IpLayer(std::span<const InterfaceConfig> interfaces, std::span<const RouteConfig> routes, TimerWheel& timers,
                 nic::PacketPool& pool, Rng& rng, Instant)
    : addresses_(interfaces),
      routes_(addresses_, routes),
      link_(interfaces),
      resolver_(addresses_, link_, timers, pool, rng),
      icmp_(pool) {
  MR_ASSERT(interfaces.size() <= limits::kMaxPorts);
}

IpLayer::Received IpLayer::receive(nic::Packet frame, Instant now) {
  const std::uint8_t interface = frame.port();
  if (interface >= link_.interfaces()) return drop(DropReason::kUnknownPort);
  const auto ethernet = wire::EthernetView::parse(frame.bytes());
  if (!ethernet) return drop(ethernet.error());
  if (const auto wrong = wrong_ethernet(*ethernet, interface)) return drop(*wrong);
  frame.remove_prefix(ethernet->header_size);
  Arrival arrival;
  arrival.interface = interface;
  arrival.group_frame = ethernet->destination.is_multicast();
  switch (ethernet->type) {
    case wire::kEtherTypeIpv4: return receive_ipv4(std::move(frame), arrival, now);
    case wire::kEtherTypeIpv6: return receive_ipv6(std::move(frame), arrival, now);
    case wire::kEtherTypeArp: resolver_.on_arp(interface, frame.bytes(), now); return {};
    default: return drop(DropReason::kEthernetUnknownType);
  }
}

std::optional<DropReason> IpLayer::wrong_ethernet(const wire::EthernetView& frame, std::uint8_t interface) const {
  if (frame.vlan != 0) return DropReason::kEthernetVlan;
  if (frame.source.is_multicast()) return DropReason::kEthernetSourceMulticast;
  if (!frame.destination.is_multicast() && frame.destination != link_.config(interface).mac) return DropReason::kEthernetNotForUs;
  return std::nullopt;
}

IpLayer::Received IpLayer::receive_ipv4(nic::Packet packet, Arrival& arrival, Instant now) {
  const bool verified = (packet.offload() & nic::Offload::kIpChecksumGood) != 0;
  const auto view = wire::Ipv4View::parse(packet.bytes(), verified);
  if (!view) return drop(view.error());
  packet.truncate(view->total_length);
  if (view->is_source_routed) return drop(DropReason::kIpv4SourceRoute);
  arrival.source = view->source;
  arrival.destination = view->destination;
  arrival.header_size = view->header_size;
  arrival.protocol = view->protocol;
  arrival.traffic_class = view->traffic_class;
  arrival.hop_limit = view->ttl;
  if (const auto wrong = wrong_addresses(arrival)) return drop(*wrong);
  if (view->is_fragment) return drop(DropReason::kIpv4Fragment);
  return deliver(std::move(packet), arrival, now);
}

IpLayer::Received IpLayer::receive_ipv6(nic::Packet packet, Arrival& arrival, Instant now) {
  const auto view = wire::Ipv6View::parse(packet.bytes());
  if (!view) return drop(view.error());
  packet.truncate(view->total_length);
  arrival.source = view->source;
  arrival.destination = view->destination;
  arrival.header_size = view->header_size;
  arrival.protocol_at = view->protocol_at;
  arrival.protocol = view->protocol;
  arrival.traffic_class = view->traffic_class;
  arrival.hop_limit = view->hop_limit;
  // A mapped IPv4 address on the wire would be taken for the IPv4 address everywhere above.
  if (view->source.is_v4()) return drop(DropReason::kMartianSource);
  if (view->destination.is_v4()) return drop(DropReason::kMartianDestination);
  if (const auto wrong = wrong_addresses(arrival)) return drop(*wrong);
  if (view->is_fragment) return drop(DropReason::kIpv6Fragment);
  return deliver(std::move(packet), arrival, now);
}

std::optional<DropReason> IpLayer::wrong_addresses(const Arrival& arrival) const {
  const IpAddress& to = arrival.destination;
  if (to.is_unspecified() || to.is_loopback()) return DropReason::kMartianDestination;
  const bool group_allowed = arrival.protocol == wire::kProtocolIcmpv6 && to.is_v6() && to.is_multicast() &&
                             addresses_.is_group_of(to, arrival.interface);
  // A host that has no address yet solicits from :: to see whether one is free.
  const bool without_address = arrival.source.is_unspecified() && group_allowed;
  if (!without_address && (is_martian_source(arrival.source) || addresses_.is_broadcast(arrival.source))) {
    return DropReason::kMartianSource;
  }
  if (addresses_.is_local(arrival.source)) return DropReason::kMartianOwnSource;
  if (addresses_.is_local(to)) {
    return arrival.group_frame ? std::optional(DropReason::kUnicastInGroupFrame) : std::nullopt;  // RFC 1122 3.3.6
  }
  if (group_allowed) return std::nullopt;
  return to.is_multicast() || addresses_.is_broadcast(to) ? DropReason::kGroupNotForUs : DropReason::kNotForUs;
}

IpLayer::Received IpLayer::deliver(nic::Packet packet, const Arrival& arrival, Instant now) {
  packet.remove_prefix(arrival.header_size);
  const bool v4 = arrival.source.is_v4();
  if (arrival.protocol == kProtocolTcp) {
    return Datagram{std::move(packet), arrival.source, arrival.destination, arrival.protocol, arrival.traffic_class};
  }
  if (v4 && arrival.protocol == wire::kProtocolIcmpv4) return on_icmpv4(std::move(packet), arrival, now);
  if (!v4 && arrival.protocol == wire::kProtocolIcmpv6) return on_icmpv6(std::move(packet), arrival, now);
  if (arrival.protocol == wire::kProtocolUdp) {
    constexpr std::size_t kUdpHeaderBytes = 8;
    if (packet.size() < kUdpHeaderBytes) return drop(DropReason::kUdpTruncated);
    refuse(std::move(packet), arrival, DropReason::kUdpNoPort, now);
    return {};
  }
  refuse(std::move(packet), arrival, DropReason::kUnknownProtocol, now);
  return {};
}

IpLayer::Received IpLayer::on_icmpv4(nic::Packet packet, const Arrival& arrival, Instant now) {
  using Kind = TransportError::Kind;
  const auto view = wire::IcmpView::parse_v4(packet.bytes());
  if (!view) return drop(view.error());
  if (view->type == wire::Icmpv4Type::kEchoRequest) {
    answer_echo(std::move(packet), arrival, now);
    return {};
  }
  if (view->type != wire::Icmpv4Type::kUnreachable && view->type != wire::Icmpv4Type::kTimeExceeded &&
      view->type != wire::Icmpv4Type::kParameterProblem) {
    return drop(DropReason::kIcmpIgnored);
  }
  const auto quote = wire::QuotedPacket::parse_v4(view->body);
  if (!quote) return drop(quote.error());
  if (view->type == wire::Icmpv4Type::kTimeExceeded) return on_quote(Kind::kTimeExceeded, 0, *quote);
  if (view->type == wire::Icmpv4Type::kParameterProblem) return on_quote(Kind::kUnreachable, 0, *quote);
  if (view->code == 4) return on_quote(Kind::kPacketTooBig, view->rest & 0xffff, *quote);  // RFC 1191 4
  return on_quote(view->code == 2 || view->code == 3 ? Kind::kPortUnreachable : Kind::kUnreachable, 0, *quote);
}

IpLayer::Received IpLayer::on_icmpv6(nic::Packet packet, const Arrival& arrival, Instant now) {
  using Kind = TransportError::Kind;
  const auto view = wire::IcmpView::parse_v6(packet.bytes(), arrival.source, arrival.destination);
  if (!view) return drop(view.error());
  if (view->type == wire::Icmpv6Type::kNeighbourSolicitation || view->type == wire::Icmpv6Type::kNeighbourAdvertisement) {
    resolver_.on_neighbour_message({arrival.interface, arrival.hop_limit, arrival.source, arrival.destination}, packet.bytes(),
                                   now);
    return {};
  }
  if (arrival.destination.is_multicast()) return drop(DropReason::kGroupNotForUs);
  if (view->type == wire::Icmpv6Type::kEchoRequest) {
    answer_echo(std::move(packet), arrival, now);
    return {};
  }
  if (view->type < wire::Icmpv6Type::kUnreachable || view->type > wire::Icmpv6Type::kParameterProblem) {
    return drop(DropReason::kIcmpIgnored);
  }
  const auto quote = wire::QuotedPacket::parse_v6(view->body);
  if (!quote) return drop(quote.error());
  switch (view->type) {
    case wire::Icmpv6Type::kPacketTooBig: return on_quote(Kind::kPacketTooBig, view->rest, *quote);
    case wire::Icmpv6Type::kTimeExceeded: return on_quote(Kind::kTimeExceeded, 0, *quote);
    case wire::Icmpv6Type::kUnreachable:
      return on_quote(view->code == 4 ? Kind::kPortUnreachable : Kind::kUnreachable, 0, *quote);
    default: return on_quote(Kind::kUnreachable, 0, *quote);
  }
}

IpLayer::Received IpLayer::on_quote(TransportError::Kind kind, std::uint32_t mtu, const wire::QuotedPacket& quote) {
  if (!addresses_.is_local(quote.source)) return drop(DropReason::kIcmpBadQuote);
  TransportError error{kind, static_cast<std::uint16_t>(std::min(mtu, 0xffffu)), quote.source, quote.destination, quote.protocol,
                       {}};
  std::ranges::copy(quote.transport, error.quoted);
  return error;
}

void IpLayer::answer_echo(nic::Packet packet, const Arrival& arrival, Instant now) {
  IcmpResponder::turn_into_reply(packet.bytes(), arrival.destination, arrival.source);
  packet.set_offload(0);
  send(std::move(packet), arrival.destination, arrival.source, arrival.protocol, 0, now);
}

// Only for packets whose source and destination wrong_addresses() let pass as unicast, and that are no ICMP.
void IpLayer::refuse(nic::Packet packet, const Arrival& arrival, DropReason reason, Instant now) {
  link_.count(reason);
  if (arrival.destination.is_multicast()) return;
  const bool v4 = arrival.source.is_v4();
  const bool port = reason == DropReason::kUdpNoPort;
  packet.prepend(arrival.header_size);  // the header still stands there
  IcmpResponder::ErrorMessage message{.source = arrival.destination, .destination = arrival.source, .about = packet.bytes()};
  if (v4) {
    message.type = wire::Icmpv4Type::kUnreachable;
    message.code = port ? 3 : 2;
  } else if (port) {
    message.type = wire::Icmpv6Type::kUnreachable;
    message.code = 4;
  } else {
    message.type = wire::Icmpv6Type::kParameterProblem;
    message.code = 1;  // unrecognised next header
    message.rest = arrival.protocol_at;
  }
  auto error = icmp_.error(message, now);
  if (!error) return link_.count(error.error());
  send(std::move(*error), arrival.destination, arrival.source, v4 ? wire::kProtocolIcmpv4 : wire::kProtocolIcmpv6, 0, now);
}

std::optional<RouteTable::Hop> IpLayer::hop_to(const IpAddress& destination, const IpAddress* source) const {
  if (is_martian_source(destination) || addresses_.is_broadcast(destination) || addresses_.is_local(destination))
    return std::nullopt;
  if (source != nullptr && destination.is_v6() && destination.is_link_local()) {
    // Link-local addresses say nothing about the link; the address of ours that is used does.
    for (const LocalAddresses::Entry& entry : addresses_.entries()) {
      if (entry.prefix.address == *source) return RouteTable::Hop{destination, entry.interface};
    }
  }
  return routes_.lookup(destination);
}

std::optional<Path> IpLayer::path_to(const IpAddress& destination) const {
  const auto hop = hop_to(destination, nullptr);
  if (!hop) return std::nullopt;
  const bool link_local = destination.is_link_local();
  const auto source = addresses_.source_for(link_local ? destination : hop->next, hop->interface);
  if (!source) return std::nullopt;
  const InterfaceConfig& config = link_.config(hop->interface);
  return Path{*source, config.mtu, hop->interface, config.tx_tcp_checksum};
}

bool IpLayer::send(nic::Packet packet, const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                   std::uint8_t traffic_class, Instant now) {
  const auto refused = [this](DropReason reason) {
    link_.count(reason);
    return false;
  };
  if (!addresses_.is_local(source) || source.is_v4() != destination.is_v4()) return refused(DropReason::kSendBadSource);
  const auto hop = hop_to(destination, &source);
  if (!hop) return refused(DropReason::kSendNoRoute);
  const bool v4 = destination.is_v4();
  const std::size_t header_size = v4 ? wire::kIpv4HeaderBytes : wire::kIpv6HeaderBytes;
  const InterfaceConfig& config = link_.config(hop->interface);
  if (packet.size() + header_size > config.mtu) return refused(DropReason::kSendTooBig);
  const auto payload = static_cast<std::uint16_t>(packet.size());
  const std::span<std::uint8_t> header(packet.prepend(header_size), header_size);
  auto offload = static_cast<std::uint16_t>(packet.offload() & nic::Offload::kFillTcpChecksum);
  if (v4) {
    if (config.tx_ip_checksum) offload |= nic::Offload::kFillIpChecksum;
    wire::write_ipv4_header(header, {source, destination, payload, protocol, traffic_class}, config.tx_ip_checksum);
  } else {
    wire::write_ipv6_header(header, {source, destination, payload, protocol, traffic_class});
  }
  packet.set_offload(offload);
  packet.set_header_sizes(wire::kEthernetHeaderBytes, static_cast<std::uint16_t>(header_size));
  return resolver_.send(hop->interface, hop->next, std::move(packet), now);
}

}  // namespace millrace::ip
