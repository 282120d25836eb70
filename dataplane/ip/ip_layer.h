// The internet layer of one worker: frames of its ports in, transport datagrams out, and back. Answers ARP, neighbour
// discovery and ICMP echo itself, resolves next hops, holds packets while a neighbour is being resolved, puts fragments together,
// remembers path MTUs. Sans-I/O: the worker hands in received frames and takes outgoing ones from outgoing(). RFC 791, 792, 826,
// 1122, 1191, 3810, 4443, 4861, 6437, 8200. Not done: forwarding.
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
#include "dataplane/ip/destination_cache.h"
#include "dataplane/ip/icmp_responder.h"
#include "dataplane/ip/interface.h"
#include "dataplane/ip/keyed_mix.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "dataplane/ip/multicast_listener.h"
#include "dataplane/ip/neighbour_resolver.h"
#include "dataplane/ip/path_mtu_cache.h"
#include "dataplane/ip/reassembly.h"
#include "dataplane/ip/route_table.h"
#include "dataplane/ip/router_discovery.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::wire {
struct QuotedPacket;
struct EthernetView;
struct Ipv4View;
struct Ipv6Fault;
struct Ipv6View;
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
  std::uint16_t mtu = 0;  ///< of the first hop, or of the path where a router on it told us; bytes of IP packet
  std::uint8_t interface = 0;
  nic::TxOffloads tx = {};
};

/// One per worker, on one core. Keeps references to what it is given; not movable.
class IpLayer final : private ReassemblyEvents {
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
  /// A copy of a frame that another worker received (link_control.h): as receive(), but drops are counted there.
  void overhear(nic::Packet frame, Instant now);

  /// One of the addresses that were configured, in use or not yet: what may be listened on.
  [[nodiscard]] bool has_address(const IpAddress& address) const;
  /// One of our addresses, in use.
  [[nodiscard]] bool is_local(const IpAddress& address) const { return addresses_.is_local(address); }
  /// nullopt: no route; also for our own, loopback, multicast, broadcast and unspecified addresses.
  [[nodiscard]] std::optional<Path> path_to(const IpAddress& destination) const;
  /// A router on the way to `destination` takes packets of at most `mtu` bytes (0: it did not say): for the transport, once it
  /// has found that the message quotes something that it did send. Remembered for 10 minutes. Returns the MTU that path_to()
  /// tells now: never more than before, never less than 552 (IPv4) or 1,280 (IPv6); 0 when there is no path.
  std::uint16_t learn_path_mtu(const IpAddress& destination, std::size_t mtu, Instant now);

  /// `packet` starts at the transport header, with headroom for Ethernet and IP; it may have attached slices and ask for the
  /// offloads of TCP, if the path's port takes such (Path::tx). Both addresses are of one family. Queues the
  /// frame, or holds it until the neighbour answers. False when it was dropped at once, which is counted.
  bool send(nic::Packet packet, const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
            std::uint8_t traffic_class, Instant now);

  /// Tells the neighbours our addresses (gratuitous ARP, unsolicited advertisements), reports our groups, asks whether the IPv6
  /// ones are free where that is configured, and looks for routers: on each interface whose link is up. At start: tentative
  /// addresses stay unusable until then; or when taking addresses over.
  void announce(Instant now);
  /// All links are up at first. One that goes down drops what waits to be sent; one that comes up may lead to another network
  /// than before: we announce ourselves there, and neighbours have to prove that they are still there.
  void set_link_up(std::uint8_t interface, bool up, Instant now);
  [[nodiscard]] bool is_link_up(std::uint8_t interface) const { return link_.is_up(interface); }

  /// Frames to transmit on an interface, in order; valid until the next call of any member.
  [[nodiscard]] std::span<nic::Packet> outgoing(std::size_t interface) { return link_.outgoing(interface); }
  /// The port took the first `count`.
  void outgoing_taken(std::size_t interface, std::size_t count) { link_.outgoing_taken(interface, count); }

  /// Indexed by wire::DropReason.
  [[nodiscard]] const wire::DropCounters& drops() const { return link_.drops(); }
  [[nodiscard]] std::size_t unusable_routes() const { return routes_.unusable(); }
  [[nodiscard]] std::size_t neighbours() const { return resolver_.neighbours(); }
  [[nodiscard]] std::size_t reassemblies() const { return reassembly_.size(); }
  [[nodiscard]] std::size_t path_mtus() const { return path_mtus_.size(); }
  [[nodiscard]] std::size_t default_routers() const { return routers_.size(); }

 private:
  struct Arrival;  // one IP packet on its way up
  struct IcmpReply {
    std::span<const std::uint8_t> message;
    IpAddress source;
    IpAddress destination;
    RouteTable::Hop hop;
    std::size_t mtu = 0;
  };

  void announce_on(std::uint8_t interface, Instant now);
  Received receive_ipv4(nic::Packet packet, Arrival& arrival, Instant now);
  Received receive_ipv6(nic::Packet packet, Arrival& arrival, Instant now);
  Received on_fragment(nic::Packet packet, const wire::Ipv4View& view, Arrival& arrival, Instant now);
  Received on_fragment(nic::Packet packet, const wire::Ipv6View& view, Arrival& arrival, Instant now);
  [[nodiscard]] static std::optional<wire::DropReason> wrong_udp(std::span<const std::uint8_t> datagram, const Arrival& arrival);
  Received deliver(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_icmpv4(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_icmpv6(nic::Packet packet, const Arrival& arrival, Instant now);
  Received on_quote(TransportError::Kind kind, std::uint32_t mtu, const wire::QuotedPacket& quote);
  void answer_echo(nic::Packet packet, const Arrival& arrival, Instant now);
  void send_in_fragments(const IcmpReply& reply, Instant now);
  void refuse(nic::Packet packet, const Arrival& arrival, wire::DropReason reason, Instant now);
  Received on_fault(nic::Packet packet, Arrival& arrival, const wire::Ipv6Fault& fault, Instant now);
  void send_error(const IcmpResponder::ErrorMessage& message, Instant now);
  void timed_out(const Fragment& first, std::span<const std::uint8_t> about, Instant now) override;
  void dropped(wire::DropReason reason) override { link_.count(reason); }
  [[nodiscard]] std::optional<wire::DropReason> wrong_ethernet(const wire::EthernetView& frame, std::uint8_t interface) const;
  [[nodiscard]] std::optional<wire::DropReason> wrong_addresses(const Arrival& arrival) const;
  [[nodiscard]] std::uint16_t link_mtu(std::uint8_t interface, bool v4) const {
    return v4 ? link_.config(interface).mtu : link_.ipv6_mtu(interface);
  }
  [[nodiscard]] std::uint32_t flow_label(const nic::Packet& packet, const IpAddress& source, const IpAddress& destination,
                                         std::uint8_t protocol) const;
  /// `source`, if given, tells the link of a link-local destination.
  [[nodiscard]] std::optional<RouteTable::Hop> hop_to(const IpAddress& destination, const IpAddress* source) const;
  Received drop(wire::DropReason reason) {
    link_.count(reason);
    return {};
  }

  LocalAddresses addresses_;
  RouteTable routes_;
  DestinationCache destinations_;  // pairs of an address of ours and one that we may send to
  Link link_;
  NeighbourResolver resolver_;
  RouterDiscovery routers_;
  MulticastListener groups_;
  IcmpResponder icmp_;
  PathMtuCache path_mtus_;
  Reassembly reassembly_;
  KeyedMix label_hash_;
  nic::PacketPool& pool_;
  std::uint32_t fragmented_ = 0;  // datagrams
};

}  // namespace millrace::ip
