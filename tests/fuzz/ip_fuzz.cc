// The internet layer as the wire sees it: Ethernet frames into IpLayer::receive, with steps of time and packets of ours between
// them. Checked: every frame that goes out is well formed, what comes up is for us, everything is bounded, and when all timers
// have run out no buffer is missing.
//
// Input: the first byte chooses the configuration; then operations of one byte each: 0x00..0xbf a frame of as many bytes plus
// 256 * (next byte & 7), its checksums made right if that byte & 8; 0xc0..0xef time; 0xf0..0xff a packet of ours, or a path MTU.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <variant>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using fuzz::Input;
using fuzz::require;

const MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
const IpAddress kUs = IpAddress::v4(198, 18, 0, 2);
const IpAddress kUs6 = *IpAddress::parse("2001:db8::2");
const std::array kPeers{IpAddress::v4(198, 18, 0, 1), *IpAddress::parse("2001:db8::1"), IpAddress::v4(203, 0, 113, 9),
                        *IpAddress::parse("2001:db8:9::9")};
constexpr std::uint16_t kMtu = 1500;

// Mutations would else end at a checksum, nearly all of them.
void repair_checksums(std::span<std::uint8_t> frame) {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return;
  const auto packet = frame.subspan(ethernet->header_size);
  if (ethernet->type == wire::kEtherTypeIpv4 && packet.size() >= wire::kIpv4HeaderBytes) {
    const std::size_t header_size = (packet[0] & 15u) * 4;
    if (header_size < wire::kIpv4HeaderBytes || header_size > packet.size()) return;
    wire::store_be16(packet.data() + 10, 0);
    wire::store_be16(packet.data() + 10, wire::internet_checksum(packet.first(header_size)));
    const auto view = wire::Ipv4View::parse(packet, true);
    if (!view || view->is_fragment || view->protocol != wire::kProtocolIcmpv4) return;
    const auto message = packet.first(view->total_length).subspan(view->header_size);
    if (message.size() >= wire::kIcmpHeaderBytes) wire::write_icmp_checksum(message, view->source, view->destination);
  } else if (ethernet->type == wire::kEtherTypeIpv6) {
    const auto view = wire::Ipv6View::parse(packet);
    if (!view || view->is_fragment || view->protocol != wire::kProtocolIcmpv6 || view->source.is_v4()) return;
    const auto message = packet.first(view->total_length).subspan(view->header_size);
    if (message.size() >= wire::kIcmpHeaderBytes) wire::write_icmp_checksum(message, view->source, view->destination);
  }
}

class Machine {
 public:
  explicit Machine(std::uint8_t choice)
      : vlan_((choice & 1) != 0 ? std::uint16_t{5} : std::uint16_t{0}),
        interfaces_{{.mac = kOurMac,
                     .mtu = kMtu,
                     .addresses = {{kUs, 24}, {kUs6, 64}},
                     .vlan = vlan_,
                     .reassemble = (choice & 2) == 0,
                     .duplicate_probes = static_cast<std::uint8_t>((choice & 4) != 0 ? 1 : 0)}},
        routes_(choice & 8 ? std::vector<ip::RouteConfig>{} : std::vector<ip::RouteConfig>{{{IpAddress(), 0}, kPeers[1]}}),
        layer_(interfaces_, routes_, timers_, pool_, rng_, now_) {
    routes_.clear();
    if ((choice & 16) != 0) layer_.announce(now_);
  }
  ~Machine() {
    for (int i = 0; i < 20; ++i) pass(Duration::seconds(70));  // every timer is over that holds a buffer, and what it set off
    require(pool_.in_use() == 0);
    require(layer_.reassemblies() == 0 && layer_.path_mtus() == 0);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void receive(std::span<const std::uint8_t> frame, bool repair) {
    nic::Packet copy = pool_.copy_of(frame);
    if (!copy) return;
    if (repair) repair_checksums(copy.bytes());
    auto received = layer_.receive(std::move(copy), now_);
    if (const auto* datagram = std::get_if<ip::Datagram>(&received)) {
      require(datagram->protocol == ip::kProtocolTcp && layer_.is_local(datagram->destination));
      require(datagram->source.is_v4() == datagram->destination.is_v4() && !layer_.is_local(datagram->source));
      require(datagram->packet.size() <= std::max(frame.size(), limits::kReassemblyBytes));
    } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
      require(layer_.is_local(error->source));
    }
    received = {};
    check_outgoing();
  }
  void send(std::uint8_t what) {
    const IpAddress& to = kPeers[what & 3];
    if ((what & 4) != 0) {
      layer_.learn_path_mtu(to, what * 97u, now_);
      const auto path = layer_.path_to(to);
      require(!path || (path->mtu <= kMtu && path->mtu >= (to.is_v4() ? 552 : 1280)));
      return;
    }
    nic::Packet packet = pool_.allocate();
    packet.append(20);
    std::fill_n(packet.data(), 20, what);
    layer_.send(std::move(packet), to.is_v4() ? kUs : kUs6, to, ip::kProtocolTcp, 0, now_);
    check_outgoing();
  }
  void pass(Duration time) {
    now_ = now_ + time;
    timers_.advance(now_);
    check_outgoing();
  }

 private:
  void check_outgoing() {
    const auto frames = layer_.outgoing(0);
    for (nic::Packet& frame : frames) {
      check(std::as_const(frame).bytes(), frame);
      frame = {};
    }
    layer_.outgoing_taken(0, frames.size());
    require(layer_.neighbours() <= limits::kNeighbourEntries && layer_.reassemblies() <= limits::kReassemblyDatagrams);
    require(layer_.default_routers() <= limits::kDefaultRouters);
  }

  void check(std::span<const std::uint8_t> frame, const nic::Packet& packet) {
    const auto view = wire::EthernetView::parse(frame);
    require(view && view->source == kOurMac && view->vlan == vlan_ && view->header_size == (vlan_ != 0 ? 18 : 14));
    const auto payload = frame.subspan(view->header_size);
    require(payload.size() <= kMtu);
    switch (view->type) {
      case wire::kEtherTypeArp: require(wire::ArpMessage::parse(payload).has_value()); break;
      case wire::kEtherTypeIpv4: check_ipv4(payload); break;
      case wire::kEtherTypeIpv6: check_ipv6(payload); break;
      default: require(false);
    }
    if (packet.l2_size() != 0) require(packet.l2_size() == view->header_size);
  }
  static void check_ipv4(std::span<const std::uint8_t> packet) {
    const auto view = wire::Ipv4View::parse(packet, false);
    require(view && view->total_length == packet.size() && view->source == kUs && !ip::is_martian_source(view->destination));
    require(view->destination != kUs);
    if (view->protocol == wire::kProtocolIcmpv4) require(wire::IcmpView::parse_v4(packet.subspan(view->header_size)).has_value());
  }
  void check_ipv6(std::span<const std::uint8_t> packet) const {
    const auto view = wire::Ipv6View::parse(packet);
    require(view && view->total_length == packet.size());
    require(layer_.is_local(view->source) || (view->source.is_unspecified() && view->destination.is_multicast()));
    if (view->protocol != wire::kProtocolIcmpv6) return;
    const auto message = packet.subspan(view->header_size);
    const auto icmp = wire::IcmpView::parse_v6(message, view->source, view->destination);
    require(icmp.has_value());
    if (icmp->type < wire::Icmpv6Type::kEchoRequest) {  // RFC 4443 2.4
      require(!view->destination.is_multicast() && packet.size() <= 1280 && !wire::carries_icmpv6_error(icmp->body));
    }
  }

  const std::uint16_t vlan_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  nic::HeapPool pool_{2'048};
  TimerWheel timers_{now_};
  Rng rng_{1};
  std::vector<ip::InterfaceConfig> interfaces_;
  std::vector<ip::RouteConfig> routes_;
  ip::IpLayer layer_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({data, size});
  Machine machine(input.byte());
  while (!input.empty()) {
    const std::uint8_t operation = input.byte();
    if (operation < 0xc0) {
      const std::uint8_t high = input.byte();
      machine.receive(input.take(operation + std::size_t{256} * (high & 7)), (high & 8) != 0);
    } else if (operation < 0xf0) {
      machine.pass(Duration::milliseconds(std::int64_t{1} << (operation & 15)));
    } else {
      machine.send(operation);
    }
  }
  return 0;
}
