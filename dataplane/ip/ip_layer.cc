#include "dataplane/ip/ip_layer.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/ip/arrival.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::ip {

using wire::DropReason;

IpLayer::IpLayer(std::span<const InterfaceConfig> interfaces, std::span<const RouteConfig> routes, TimerWheel& timers,
                 nic::PacketPool& pool, Rng& rng, Instant)
    : addresses_(interfaces),
      routes_(addresses_, routes),
      link_(interfaces),
      resolver_(addresses_, link_, timers, pool, rng),
      routers_(addresses_, routes_, link_, resolver_, timers, pool, rng),
      groups_(addresses_, link_, timers, pool, rng),
      icmp_(pool),
      path_mtus_(timers, rng),
      reassembly_(timers, pool, rng, *this),
      label_hash_(rng),
      pool_(pool) {
  MR_ASSERT(interfaces.size() <= limits::kMaxPorts);
}

void IpLayer::announce(Instant now) {
  for (std::size_t i = 0; i < link_.interfaces(); ++i) {
    if (link_.is_up(i)) announce_on(static_cast<std::uint8_t>(i), now);
  }
}

void IpLayer::set_link_up(std::uint8_t interface, bool up, Instant now) {
  if (up == link_.is_up(interface)) return;
  link_.set_up(interface, up);
  if (!up) return resolver_.suspend(interface);
  resolver_.doubt_neighbours(interface, now);
  announce_on(interface, now);
}

void IpLayer::announce_on(std::uint8_t interface, Instant now) {
  groups_.start(interface, now);  // before the probes: their answers have to reach us
  resolver_.announce(interface, now);
  routers_.start(interface, now);
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

void IpLayer::overhear(nic::Packet frame, Instant now) {
  link_.set_overhearing(true);
  static_cast<void>(receive(std::move(frame), now));
  link_.set_overhearing(false);
}

std::optional<DropReason> IpLayer::wrong_ethernet(const wire::EthernetView& frame, std::uint8_t interface) const {
  if (frame.vlan != link_.config(interface).vlan) return DropReason::kEthernetVlan;
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
  if (view->is_fragment) [[unlikely]]
    return on_fragment(std::move(packet), *view, arrival, now);
  return deliver(std::move(packet), arrival, now);
}

IpLayer::Received IpLayer::receive_ipv6(nic::Packet packet, Arrival& arrival, Instant now) {
  const auto view = wire::Ipv6View::parse(packet.bytes());
  if (!view) return on_fault(std::move(packet), arrival, view.error(), now);
  packet.truncate(view->total_length);
  arrival.source = view->source;
  arrival.destination = view->destination;
  arrival.header_size = view->header_size;
  arrival.protocol_at = view->protocol_at;
  arrival.protocol = view->protocol;
  arrival.traffic_class = view->traffic_class;
  arrival.hop_limit = view->hop_limit;
  arrival.fragment_header |= view->fragment_named_at != 0;
  // A mapped IPv4 address on the wire would be taken for the IPv4 address everywhere above.
  if (view->source.is_v4()) return drop(DropReason::kMartianSource);
  if (view->destination.is_v4()) return drop(DropReason::kMartianDestination);
  if (const auto wrong = wrong_addresses(arrival)) return drop(*wrong);
  if (view->is_fragment) [[unlikely]]
    return on_fragment(std::move(packet), *view, arrival, now);
  return deliver(std::move(packet), arrival, now);
}

// `packet` ends with its IP packet, whose addresses are good.
IpLayer::Received IpLayer::on_fragment(nic::Packet packet, const wire::Ipv4View& view, Arrival& arrival, Instant now) {
  if (!link_.config(arrival.interface).reassemble) return drop(DropReason::kIpv4Fragment);
  auto fragment = fragment_of(std::as_const(packet).bytes(), view);
  if (!fragment) return drop(fragment.error());
  fragment->interface = arrival.interface;
  nic::Packet whole = reassembly_.add(*fragment, std::as_const(packet).bytes(), now);
  if (!whole) return {};
  arrival.reassembled = true;
  return receive_ipv4(std::move(whole), arrival, now);
}

IpLayer::Received IpLayer::on_fragment(nic::Packet packet, const wire::Ipv6View& view, Arrival& arrival, Instant now) {
  if (!link_.config(arrival.interface).reassemble) return drop(DropReason::kIpv6Fragment);
  if (arrival.reassembled) return drop(DropReason::kIpv6BadFragment);
  // No group message that we know is that long, and no neighbour discovery message may be in fragments (RFC 6980).
  if (arrival.destination.is_multicast()) return drop(DropReason::kGroupNotForUs);
  auto fragment = fragment_of(std::as_const(packet).bytes(), view);
  if (!fragment) return on_fault(std::move(packet), arrival, fragment.error(), now);
  fragment->interface = arrival.interface;
  nic::Packet whole = reassembly_.add(*fragment, std::as_const(packet).bytes(), now);
  if (!whole) return {};
  arrival.reassembled = true;
  return receive_ipv6(std::move(whole), arrival, now);
}

std::optional<DropReason> IpLayer::wrong_addresses(const Arrival& arrival) const {
  const IpAddress& to = arrival.destination;
  const auto local_arrival = [&]() -> std::optional<DropReason> {  // RFC 1122 3.3.6
    return arrival.group_frame ? std::optional(DropReason::kUnicastInGroupFrame) : std::nullopt;
  };
  if (destinations_.find(to, arrival.source, addresses_.version()) != nullptr) return local_arrival();  // we send there, too
  if (to.is_unspecified() || to.is_loopback()) return DropReason::kMartianDestination;
  const bool group_allowed = arrival.protocol == wire::kProtocolIcmpv6 && to.is_v6() && to.is_multicast() &&
                             addresses_.is_group_of(to, arrival.interface);
  // A host that has no address yet solicits from :: to see whether one is free.
  const bool without_address = arrival.source.is_unspecified() && group_allowed;
  if (!without_address && (is_martian_source(arrival.source) || addresses_.is_broadcast(arrival.source))) {
    return DropReason::kMartianSource;
  }
  if (addresses_.is_local(arrival.source)) return DropReason::kMartianOwnSource;
  if (addresses_.is_local(to)) return local_arrival();
  if (group_allowed) return std::nullopt;
  return to.is_multicast() || addresses_.is_broadcast(to) ? DropReason::kGroupNotForUs : DropReason::kNotForUs;
}

// Nobody listens on UDP here; but only what arrived intact is answered (RFC 1122 4.1.3.4, RFC 8200 8.1).
std::optional<DropReason> IpLayer::wrong_udp(std::span<const std::uint8_t> datagram, const Arrival& arrival) {
  constexpr std::size_t kHeaderBytes = 8;
  if (datagram.size() < kHeaderBytes) return DropReason::kUdpTruncated;
  const std::size_t length = wire::load_be16(datagram.data() + 4);
  if (length < kHeaderBytes || length > datagram.size()) return DropReason::kUdpTruncated;
  if (wire::load_be16(datagram.data() + 6) == 0) {
    return arrival.source.is_v4() ? std::nullopt : std::optional(DropReason::kUdpBadChecksum);
  }
  const std::uint32_t pseudo =
      wire::pseudo_header_sum(arrival.source, arrival.destination, wire::kProtocolUdp, static_cast<std::uint32_t>(length));
  const bool intact = wire::checksum_finish(wire::checksum_add(pseudo, datagram.first(length))) == 0;
  return intact ? std::nullopt : std::optional(DropReason::kUdpBadChecksum);
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
    if (const auto wrong = wrong_udp(packet.bytes(), arrival)) return drop(*wrong);
    refuse(std::move(packet), arrival, DropReason::kUdpNoPort, now);
    return {};
  }
  refuse(std::move(packet), arrival, DropReason::kUnknownProtocol, now);
  return {};
}

bool IpLayer::has_address(const IpAddress& address) const {
  return std::ranges::any_of(addresses_.entries(), [&](const auto& entry) { return entry.prefix.address == address; });
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
  const auto hop = routes_.lookup(destination);
  return hop || destination.is_v4() ? hop : routers_.default_router();
}

std::optional<Path> IpLayer::path_to(const IpAddress& destination) const {
  const auto hop = hop_to(destination, nullptr);
  if (!hop) return std::nullopt;
  // Our address on the gateway's network; a link-local gateway says nothing of which that is.
  const bool by_destination = destination.is_link_local() || (hop->next.is_v6() && hop->next.is_link_local());
  const auto source = addresses_.source_for(by_destination ? destination : hop->next, hop->interface);
  if (!source) return std::nullopt;
  const std::uint16_t mtu = path_mtus_.lookup(destination, link_mtu(hop->interface, destination.is_v4()));
  return Path{*source, mtu, hop->interface, link_.config(hop->interface).tx};
}

std::uint16_t IpLayer::learn_path_mtu(const IpAddress& destination, std::size_t mtu, Instant now) {
  const auto path = path_to(destination);
  return path ? path_mtus_.learn(destination, mtu, path->mtu, now) : std::uint16_t{0};
}

// RFC 6437 3: the same for all packets of a flow, different flows' labels look random to others, never 0. ICMP has no flows:
// behind its type stands a checksum.
std::uint32_t IpLayer::flow_label(const nic::Packet& packet, const IpAddress& source, const IpAddress& destination,
                                  std::uint8_t protocol) const {
  constexpr std::size_t kPortBytes = 4;
  const bool ports = protocol != wire::kProtocolIcmpv6 && packet.size() >= kPortBytes;
  const std::uint64_t rest = std::uint64_t{protocol} << 32 | (ports ? wire::load_be32(packet.data()) : 0);
  const std::uint64_t hash = label_hash_(source, destination, rest);
  return std::max(static_cast<std::uint32_t>(hash >> 44), 1u);
}

bool IpLayer::send(nic::Packet packet, const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                   std::uint8_t traffic_class, Instant now) {
  const auto refused = [this](DropReason reason) {
    link_.count(reason);
    return false;
  };
  const RouteTable::Hop* known = destinations_.find(source, destination, addresses_.version());
  std::optional<RouteTable::Hop> found;
  if (known == nullptr) {
    if (!addresses_.is_local(source) || source.is_v4() != destination.is_v4()) return refused(DropReason::kSendBadSource);
    found = hop_to(destination, &source);
    if (!found) return refused(DropReason::kSendNoRoute);
    if (!found->learned) destinations_.remember(source, destination, addresses_.version(), *found);
  }
  const RouteTable::Hop hop = known == nullptr ? *found : *known;
  if (!link_.is_up(hop.interface)) return refused(DropReason::kSendLinkDown);
  const bool v4 = destination.is_v4();
  const std::size_t header_size = v4 ? wire::kIpv4HeaderBytes : wire::kIpv6HeaderBytes;
  const InterfaceConfig& config = link_.config(hop.interface);
  const std::size_t size = packet.total_size();
  const bool segmented = (packet.offload() & nic::Offload::kSegmentTcp) != 0;
  const std::size_t most = segmented ? 0xffff : link_mtu(hop.interface, v4);
  if (size + header_size > most) return refused(DropReason::kSendTooBig);
  const std::uint32_t label = v4 ? 0 : flow_label(packet, source, destination, protocol);
  const auto payload = static_cast<std::uint16_t>(size);
  const std::span<std::uint8_t> header(packet.prepend(header_size), header_size);
  auto offload = static_cast<std::uint16_t>(packet.offload() & (nic::Offload::kFillTcpChecksum | nic::Offload::kSegmentTcp));
  if (v4) {
    if (config.tx.ip_checksum) offload |= nic::Offload::kFillIpChecksum;
    wire::write_ipv4_header(header, {source, destination, payload, protocol, traffic_class}, config.tx.ip_checksum);
  } else {
    wire::write_ipv6_header(header, {.source = source,
                                     .destination = destination,
                                     .payload_length = payload,
                                     .protocol = protocol,
                                     .traffic_class = traffic_class,
                                     .flow_label = label});
  }
  packet.set_offload(offload);
  packet.set_header_sizes(link_.header_size(hop.interface), static_cast<std::uint8_t>(header_size));
  return resolver_.send(hop.interface, hop.next, std::move(packet), now);
}

}  // namespace millrace::ip
