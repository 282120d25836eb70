// The internet layer of one worker: frames of its ports in, transport datagrams out, and back. Answers ARP, neighbour
// discovery and ICMP echo itself, resolves next hops, holds packets while a neighbour is being resolved. Sans-I/O: the worker
// hands in received frames and takes outgoing ones from outgoing(). RFC 791, 792, 826, 1122, 4443, 4861, 8200. Not done:
// forwarding, reassembly (fragments are dropped and counted), path MTU memory, DAD, router discovery, MLD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/icmp_responder.h"
#include "dataplane/ip/interface.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "dataplane/ip/neighbour_resolver.h"
#include "dataplane/ip/route_table.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::wire {
struct QuotedPacket;
struct EthernetView;
}  // namespace millrace::wire

namespace millrace::ip {

/// A transport datagram for one of our addresses: `packet` starts at the transport header and ends with the IP payload.
struct Datagram {
  nic::Packet packet;
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;  ///< DSCP and ECN
};

/// What an ICMP error says about something that we sent; the quoted bytes are the transport header's first 8.
struct TransportError {
  enum class Kind : std::uint8_t { kUnreachable, kPortUnreachable, kPacketTooBig, kTimeExceeded };
  Kind kind = Kind::kUnreachable;
  std::uint16_t mtu = 0;  ///< for kPacketTooBig; 0 when the router did not say
  IpAddress source;       ///< ours
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint8_t quoted[8] = {};
};

/// How a destination is reached.
struct Path {
  IpAddress source;       ///< the address of ours to send from
  std::uint16_t mtu = 0;  ///< of the first hop, bytes of IP packet
  std::uint8_t interface = 0;
  bool tx_tcp_checksum = false;  ///< set Offload::kFillTcpChecksum and put the pseudo-header sum, instead of the checksum
};

/// One per worker, on one core. Keeps references to what it is given; not movable.
class IpLayer {
 public:
  /// Interfaces with an IPv6 address also get the link-local one of their MAC. Routes whose gateway is on no interface's
  /// network are left out: unusable_routes() tells how many.
  IpLayer(std::span<const InterfaceConfig> interfaces, std::span<const RouteConfig> routes, TimerWheel& timers,
          nic::PacketPool& pool, Rng& rng, Instant now);
  IpLayer(const IpLayer&) = delete;
  IpLayer& operator=(const IpLayer&) = delete;

  /// monostate: consumed here, or dropped and counted.
  using Received = std::variant<std::monostate, Datagram, TransportError>;
  /// One frame from the port packet.port(). May queue answers on outgoing(). Transport checksums are the transport's business.
  [[nodiscard]] Received receive(nic::Packet frame, Instant now);

  /// One of our addresses.
  [[nodiscard]] bool is_local(const IpAddress& address) const { return addresses_.is_local(address); }
  /// nullopt: no route; also for our own, loopback, multicast, broadcast and unspecified addresses.
  [[nodiscard]] std::optional<Path> path_to(const IpAddress& destination) const;

  /// `packet` starts at the transport header, with headroom for Ethernet and IP. Both addresses are of one family. Queues the
  /// frame, or holds it until the neighbour answers. False when it was dropped at once, which is counted.
  bool send(nic::Packet packet, const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
            std::uint8_t traffic_class, Instant now);

  /// Tells the neighbours our addresses (gratuitous ARP, unsolicited advertisements): at start, or when taking addresses over.
  void announce(Instant now) { resolver_.announce(now); }

  /// Frames to transmit on an interface, in order; valid until the next call of any member.
  [[nodiscard]] std::span<nic::Packet> outgoing(std::size_t interface) { return link_.outgoing(interface); }
  /// The port took the first `count`.
  void outgoing_taken(std::size_t interface, std::size_t count) { link_.outgoing_taken(interface, count); }

  /// Indexed by wire::DropReason.
  [[nodiscard]] const wire::DropCounters& drops() const { return link_.drops(); }
  [[nodiscard]] std::size_t unusable_routes() const { return routes_.unusable(); }
  [[nodiscard]] std::size_t neighbours() const { return resolver_.neighbours(); }

 private:
  struct Arrival;  // one IP packet on its way up

  Received receive_ipv4(nic::Packet packet, Arrival& arrival, Instant now);
  Received receive_ipv6(nic::Packet packet, Arrival& arrival, Instant now);
  Received deliver(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_icmpv4(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_icmpv6(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_quote(TransportError::Kind kind, std::uint32_t mtu, const wire::QuotedPacket& quote);
  void answer_echo(nic::Packet packet, const Arrival& arrival, Instant now);
  void refuse(nic::Packet packet, const Arrival& arrival, wire::DropReason reason, Instant now);
  [[nodiscard]] std::optional<wire::DropReason> wrong_ethernet(const wire::EthernetView& frame, std::uint8_t interface) const;
  [[nodiscard]] std::optional<wire::DropReason> wrong_addresses(const Arrival& arrival) const;
  /// `source`, if given, tells the link of a link-local destination.
  [[nodiscard]] std::optional<RouteTable::Hop> hop_to(const IpAddress& destination, const IpAddress* source) const;
  Received drop(wire::DropReason reason) {
    link_.count(reason);
    return {};
  }

  LocalAddresses addresses_;
  RouteTable routes_;
  Link link_;
  NeighbourResolver resolver_;
  IcmpResponder icmp_;
};

}  // namespace millrace::ip
