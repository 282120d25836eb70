#include "dataplane/ip/neighbour_resolver.h"

#include "dataplane/ip/nd_packet.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/ethernet.h"

namespace millrace::ip {

using wire::ArpMessage;
using wire::DropReason;
using wire::NeighbourMessage;

namespace {

nic::Packet arp_packet(nic::PacketPool& pool, Link& link, const ArpMessage& message) {
  nic::Packet packet = pool.allocate();
  if (packet) {
    message.write({packet.append(wire::kArpBytes), wire::kArpBytes});
  } else {
    link.count(DropReason::kSendNoBuffer);
  }
  return packet;
}

}  // namespace

bool NeighbourResolver::may_be_neighbours(std::uint8_t interface, const MacAddress& mac) const {
  return !mac.is_multicast() && mac != MacAddress{} && mac != link_.config(interface).mac;
}

void NeighbourResolver::on_arp(std::uint8_t interface, std::span<const std::uint8_t> payload, Instant now) {
  const auto message = ArpMessage::parse(payload);
  if (!message) return link_.count(message.error());
  if (!may_be_neighbours(interface, message->sender_mac)) return link_.count(DropReason::kArpBadSender);
  const bool for_us = addresses_.is_local_on(message->target, interface);
  const bool request = message->operation == ArpMessage::Operation::kRequest;
  if (message->sender.is_unspecified()) {  // RFC 5227: somebody probes whether an address is free
    if (!request || !for_us) return link_.count(DropReason::kArpNotForUs);
    return send_arp_reply(interface, message->target, message->sender, message->sender_mac);
  }
  if (addresses_.is_local(message->sender)) return link_.count(DropReason::kArpConflict);
  if (is_martian_source(message->sender) || addresses_.is_broadcast(message->sender) ||
      !addresses_.on_link(message->sender, interface)) {
    return link_.count(DropReason::kArpBadSender);
  }
  if (request && for_us) {
    table_.learn(interface, message->sender, message->sender_mac, now);
    return send_arp_reply(interface, message->target, message->sender, message->sender_mac);
  }
  // A reply to us, or a gratuitous ARP of either kind (sender and target the same). Other people's requests teach us only
  // about neighbours that we know already (RFC 826's merge flag).
  const bool answer = !request && for_us;
  table_.update(interface, message->sender, {.mac = message->sender_mac, .solicited = answer, .override_ = true}, now);
  if (!answer && message->sender != message->target) link_.count(DropReason::kArpNotForUs);
}

void NeighbourResolver::on_neighbour_message(const NdArrival& arrival, std::span<const std::uint8_t> bytes, Instant now) {
  const auto message = NeighbourMessage::parse(bytes);
  if (!message) return link_.count(message.error());
  if (arrival.hop_limit != wire::kNdHopLimit) return link_.count(DropReason::kNdInvalid);
  if (message->link_address && !may_be_neighbours(arrival.interface, *message->link_address)) {
    return link_.count(DropReason::kNdInvalid);
  }
  if (message->is_advertisement) {
    on_advertisement(arrival, *message, now);
  } else {
    on_solicitation(arrival, *message, now);
  }
}

void NeighbourResolver::on_solicitation(const NdArrival& arrival, const NeighbourMessage& message, Instant now) {
  const bool detecting_duplicates = arrival.source.is_unspecified();
  if (detecting_duplicates && (message.link_address || !arrival.destination.is_multicast())) {
    return link_.count(DropReason::kNdInvalid);  // RFC 4861 7.1.1
  }
  const LocalAddresses::Entry* entry = addresses_.find(message.target, arrival.interface);
  if (entry == nullptr) return link_.count(DropReason::kNdNotForUs);
  if (entry->use != LocalAddresses::Use::kUsable) return detection_.on_solicitation(*entry, message, detecting_duplicates);
  if (!detecting_duplicates && !addresses_.on_link(arrival.source, arrival.interface)) return link_.count(DropReason::kNdInvalid);
  const NeighbourMessage answer{.is_advertisement = true,
                                .solicited = !detecting_duplicates,
                                .override_ = true,
                                .target = message.target,
                                .link_address = link_.config(arrival.interface).mac};
  const IpAddress to = detecting_duplicates ? wire::all_nodes_group() : arrival.source;
  if (message.link_address) table_.learn(arrival.interface, arrival.source, *message.link_address, now);
  if (link_.config(arrival.interface).silent) return;
  nic::Packet packet = message_packet(answer, message.target, to);
  if (!packet) return;
  if (detecting_duplicates) {
    link_.transmit(arrival.interface, wire::group_mac(to), wire::kEtherTypeIpv6, std::move(packet));
  } else if (message.link_address) {  // to who asked, without starting to probe it
    link_.transmit(arrival.interface, *message.link_address, wire::kEtherTypeIpv6, std::move(packet));
  } else {
    table_.send(arrival.interface, to, std::move(packet), now);
  }
}

void NeighbourResolver::on_advertisement(const NdArrival& arrival, const NeighbourMessage& message, Instant now) {
  if (message.solicited && arrival.destination.is_multicast()) return link_.count(DropReason::kNdInvalid);  // RFC 4861 7.1.2
  if (addresses_.is_local(message.target)) return link_.count(DropReason::kNdConflict);
  const LocalAddresses::Entry* entry = addresses_.find(message.target, arrival.interface);
  if (entry != nullptr && entry->use == LocalAddresses::Use::kTentative) return detection_.on_advertisement(*entry);
  if (!message.router && watcher_ != nullptr) watcher_->no_router(arrival.interface, message.target);  // RFC 4861 7.2.5
  table_.update(arrival.interface, message.target,
                {.mac = message.link_address, .solicited = message.solicited, .override_ = message.override_}, now);
}

void NeighbourResolver::announce(std::uint8_t interface, Instant now) {
  for (const LocalAddresses::Entry& entry : addresses_.entries()) {
    const IpAddress& address = entry.prefix.address;
    if (entry.interface != interface || entry.use != LocalAddresses::Use::kUsable || link_.config(interface).silent) continue;
    if (address.is_v4()) {
      send_arp_request(entry.interface, address, address, MacAddress::broadcast());
    } else {
      advertise(pool_, link_, entry);
    }
  }
  detection_.start(interface, now);
}

void NeighbourResolver::solicit(std::uint8_t interface, const IpAddress& address, const std::optional<MacAddress>& known) {
  const auto source = addresses_.source_for(address, interface);
  if (!source) return;  // routes only lead to interfaces that have an address of the family
  if (address.is_v4()) return send_arp_request(interface, *source, address, known.value_or(MacAddress::broadcast()));
  const NeighbourMessage message{.target = address, .link_address = link_.config(interface).mac};
  const IpAddress to = known ? address : wire::solicited_node_group(address);
  nic::Packet packet = message_packet(message, *source, to);
  if (packet) link_.transmit(interface, known ? *known : wire::group_mac(to), wire::kEtherTypeIpv6, std::move(packet));
}

bool NeighbourResolver::transmit(std::uint8_t interface, const MacAddress& mac, const IpAddress& next_hop, nic::Packet packet) {
  return link_.transmit(interface, mac, next_hop.is_v4() ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6, std::move(packet));
}

void NeighbourResolver::send_arp_request(std::uint8_t interface, const IpAddress& sender, const IpAddress& target,
                                         const MacAddress& to) {
  const MacAddress& ours = link_.config(interface).mac;
  nic::Packet packet = arp_packet(pool_, link_, {ArpMessage::Operation::kRequest, ours, sender, MacAddress{}, target});
  if (packet) link_.transmit(interface, to, wire::kEtherTypeArp, std::move(packet));
}

void NeighbourResolver::send_arp_reply(std::uint8_t interface, const IpAddress& sender, const IpAddress& target,
                                       const MacAddress& to) {
  if (link_.config(interface).silent) return;
  const MacAddress& ours = link_.config(interface).mac;
  nic::Packet packet = arp_packet(pool_, link_, {ArpMessage::Operation::kReply, ours, sender, to, target});
  if (packet) link_.transmit(interface, to, wire::kEtherTypeArp, std::move(packet));
}

nic::Packet NeighbourResolver::message_packet(const NeighbourMessage& message, const IpAddress& source,
                                              const IpAddress& destination) {
  return nd_packet(pool_, link_, source, destination, message.size(),
                   [&](std::span<std::uint8_t> bytes) { message.write(bytes); });
}

}  // namespace millrace::ip
