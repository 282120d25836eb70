// ICMP of the internet layer: what comes in, and the errors that go out. May an error be sent at all (never about an error, a
// group, a broadcast, a fragment but the first, to a source that is none: RFC 1122 3.2.2, RFC 4443 2.4)? That is decided here.
#include <algorithm>
#include <utility>

#include "dataplane/ip/arrival.h"
#include "dataplane/ip/fragment.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::ip {

using wire::DropReason;

namespace {

bool is_icmpv4_error(std::uint8_t type) {
  constexpr std::uint8_t kSourceQuench = 4;
  constexpr std::uint8_t kRedirect = 5;
  return type == wire::Icmpv4Type::kUnreachable || type == kSourceQuench || type == kRedirect ||
         type == wire::Icmpv4Type::kTimeExceeded || type == wire::Icmpv4Type::kParameterProblem;
}

}  // namespace

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
  const bool neighbour =
      view->type == wire::Icmpv6Type::kNeighbourSolicitation || view->type == wire::Icmpv6Type::kNeighbourAdvertisement;
  if (neighbour || view->type == wire::Icmpv6Type::kRouterAdvertisement) {
    if (arrival.fragment_header) return drop(DropReason::kNdFragmented);  // RFC 6980 5
    const NdArrival nd{arrival.interface, arrival.hop_limit, arrival.source, arrival.destination};
    if (neighbour) {
      resolver_.on_neighbour_message(nd, packet.bytes(), now);
    } else {
      routers_.on_advertisement(nd, packet.bytes(), now);
    }
    return {};
  }
  if (view->type == wire::Icmpv6Type::kListenerQuery) {
    groups_.on_query(arrival.interface, arrival.hop_limit, arrival.source, packet.bytes(), now);
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
  if (!icmp_.may_reply(now)) return link_.count(DropReason::kIcmpEchoRateLimited);
  IcmpResponder::turn_into_reply(packet.bytes(), arrival.destination, arrival.source);
  packet.set_offload(0);
  const bool v4 = arrival.source.is_v4();
  const auto hop = hop_to(arrival.source, &arrival.destination);
  const std::size_t header_size = v4 ? wire::kIpv4HeaderBytes : wire::kIpv6HeaderBytes;
  const std::size_t mtu = hop ? path_mtus_.lookup(arrival.source, link_mtu(hop->interface, v4)) : packet.size() + header_size;
  if (packet.size() + header_size <= mtu) {
    send(std::move(packet), arrival.destination, arrival.source, arrival.protocol, 0, now);
    return;
  }
  const IcmpReply reply{.message = std::as_const(packet).bytes(),
                        .source = arrival.destination,
                        .destination = arrival.source,
                        .hop = *hop,
                        .mtu = mtu};
  send_in_fragments(reply, now);
}

// The only packets of ours that need it: the echo came in fragments, too. RFC 791 3.2, RFC 8200 4.5; the identification cannot be
// guessed from another (RFC 7739).
void IpLayer::send_in_fragments(const IcmpReply& reply, Instant now) {
  const bool v4 = reply.source.is_v4();
  const std::uint64_t hash = label_hash_(reply.source, reply.destination, std::uint64_t{1} << 40 | fragmented_++);
  const auto identification = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t headers = v4 ? wire::kIpv4HeaderBytes : wire::kIpv6HeaderBytes + wire::kIpv6FragmentHeaderBytes;
  const std::size_t most = (reply.mtu - headers) / 8 * 8;
  for (std::size_t offset = 0; offset < reply.message.size(); offset += most) {
    const auto part = reply.message.subspan(offset, std::min(most, reply.message.size() - offset));
    const FragmentFields fields{.source = reply.source,
                                .destination = reply.destination,
                                .identification = identification,
                                .offset = static_cast<std::uint16_t>(offset),
                                .protocol = v4 ? wire::kProtocolIcmpv4 : wire::kProtocolIcmpv6,
                                .more = offset + part.size() < reply.message.size()};
    nic::Packet packet = pool_.allocate();
    if (!packet) return link_.count(DropReason::kSendNoBuffer);
    packet.append(part);
    prepend_fragment_header(packet, fields);
    if (!resolver_.send(reply.hop.interface, reply.hop.next, std::move(packet), now)) return;
  }
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
  send_error(message, now);
}

// A packet whose IPv6 headers do not hold: `packet` may end with padding.
IpLayer::Received IpLayer::on_fault(nic::Packet packet, Arrival& arrival, const wire::Ipv6Fault& fault, Instant now) {
  link_.count(fault.reason);
  if (fault.answer == wire::Ipv6Fault::Answer::kNone) return {};
  const std::span<const std::uint8_t> bytes = std::as_const(packet).bytes();  // at least a fixed header
  const IpAddress source = IpAddress::v6(bytes.subspan<8, 16>());
  const IpAddress destination = IpAddress::v6(bytes.subspan<24, 16>());
  if (source.is_v4() || is_martian_source(source) || addresses_.is_local(source) || wire::carries_icmpv6_error(bytes)) return {};
  std::optional<IpAddress> ours;
  if (!destination.is_multicast() && addresses_.is_local(destination) && !arrival.group_frame) {
    ours = destination;
  } else if (fault.answer == wire::Ipv6Fault::Answer::kAlways && addresses_.is_group_of(destination, arrival.interface)) {
    ours = addresses_.source_for(source, arrival.interface);
  }
  if (!ours) return {};
  const std::size_t size = wire::kIpv6HeaderBytes + wire::load_be16(bytes.data() + 4);
  send_error({.type = wire::Icmpv6Type::kParameterProblem,
              .code = fault.code,
              .rest = fault.pointer,
              .source = *ours,
              .destination = source,
              .about = bytes.first(std::min(size, bytes.size()))},
             now);
  return {};
}

void IpLayer::send_error(const IcmpResponder::ErrorMessage& message, Instant now) {
  auto error = icmp_.error(message, now);
  if (!error) return link_.count(error.error());
  const std::uint8_t protocol = message.source.is_v4() ? wire::kProtocolIcmpv4 : wire::kProtocolIcmpv6;
  send(std::move(*error), message.source, message.destination, protocol, 0, now);
}

// RFC 792, RFC 8200 4.5. Only of datagrams to one of our addresses from one that is somebody's: others are not put together.
void IpLayer::timed_out(const Fragment& first, std::span<const std::uint8_t> about, Instant now) {
  constexpr std::uint8_t kReassemblyTimeExceeded = 1;
  const bool v4 = first.source.is_v4();
  const bool error = v4 ? first.protocol == wire::kProtocolIcmpv4 && is_icmpv4_error(about[first.header_size])
                        : wire::carries_icmpv6_error(about);
  if (error) return;
  send_error({.type = v4 ? wire::Icmpv4Type::kTimeExceeded : wire::Icmpv6Type::kTimeExceeded,
              .code = kReassemblyTimeExceeded,
              .source = first.destination,
              .destination = first.source,
              .about = about},
             now);
}

}  // namespace millrace::ip
