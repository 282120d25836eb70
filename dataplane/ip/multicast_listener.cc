#include "dataplane/ip/multicast_listener.h"

#include <algorithm>

#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/neighbour_discovery.h"

namespace millrace::ip {
namespace {

constexpr std::size_t kRecordBytes = 20;
constexpr std::size_t kRecordsPerReport = 40;  // 40 + 8 + 8 + 40 * 20 bytes: within any MTU

// ff02::16: all routers that speak MLDv2.
IpAddress all_mld_routers_group() {
  const std::array<std::uint8_t, 16> bytes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16};
  return IpAddress::v6(bytes);
}

}  // namespace

MulticastListener::MulticastListener(const LocalAddresses& addresses, Link& link, TimerWheel& timers, nic::PacketPool& pool,
                                     Rng& rng)
    : addresses_(addresses), link_(link), timers_(timers), pool_(pool), rng_(rng) {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    ports_[i].listener = this;
    ports_[i].interface = static_cast<std::uint8_t>(i);
  }
  for (const LocalAddresses::Entry& entry : addresses.entries()) {
    if (entry.prefix.address.is_v4()) continue;
    std::vector<IpAddress>& groups = ports_[entry.interface].groups;
    const IpAddress group = wire::solicited_node_group(entry.prefix.address);
    if (std::ranges::find(groups, group) == groups.end()) groups.push_back(group);
  }
}

void MulticastListener::start(std::uint8_t interface, Instant now) {
  Port& port = ports_[interface];
  if (port.groups.empty() || link_.config(interface).silent) return;
  port.changes_left = kRobustness;
  report(port, now);
}

void MulticastListener::on_query(std::uint8_t interface, std::uint8_t hop_limit, const IpAddress& source,
                                 std::span<const std::uint8_t> message, Instant now) {
  constexpr std::size_t kQueryBytes = 24;
  Port& port = ports_[interface];
  if (message.size() < kQueryBytes || hop_limit != 1 || !source.is_link_local() || port.groups.empty()) {
    return link_.count(wire::DropReason::kMldInvalid);  // RFC 3810 5.1.14
  }
  if (link_.config(interface).silent) return;
  // Of the answers that are due the first serves all: a query for one group is answered for all groups, too.
  if (port.timer.is_armed()) return;
  // Codes from 32,768 on are floating-point numbers above 32 seconds (RFC 3810 5.1.3): sooner than allowed is always right.
  const std::uint32_t most = std::min<std::uint32_t>(wire::load_be16(message.data() + 4), 32'768);
  timers_.arm(port.timer, now + Duration::milliseconds(rng_.below(most + 1)));
}

void MulticastListener::report(Port& port, Instant now) {
  const bool change = port.changes_left > 0;
  for (std::span<const IpAddress> rest = port.groups; !rest.empty();) {
    const auto part = rest.first(std::min(rest.size(), kRecordsPerReport));
    send(port, part, change);
    rest = rest.subspan(part.size());
  }
  if (change && --port.changes_left > 0) timers_.arm(port.timer, now + kReportInterval);
}

// RFC 3810 5.2: hop limit 1, a router alert in a hop-by-hop header; from :: while no link-local address is usable (5.2.13).
void MulticastListener::send(const Port& port, std::span<const IpAddress> groups, bool change) {
  constexpr std::uint8_t kReport = 143;
  constexpr std::uint8_t kModeIsExclude = 2;
  constexpr std::uint8_t kChangeToExclude = 4;
  static constexpr std::array<std::uint8_t, 8> kRouterAlert{wire::kProtocolIcmpv6, 0, 5, 2, 0, 0, 1, 0};
  const auto ours = std::ranges::find_if(addresses_.entries(), [&](const LocalAddresses::Entry& entry) {
    return entry.interface == port.interface && entry.use == LocalAddresses::Use::kUsable && entry.prefix.address.is_v6() &&
           entry.prefix.address.is_link_local();
  });
  const IpAddress source = ours == addresses_.entries().end() ? IpAddress() : ours->prefix.address;
  const IpAddress destination = all_mld_routers_group();
  nic::Packet packet = pool_.allocate();
  if (!packet) return link_.count(wire::DropReason::kSendNoBuffer);
  const std::size_t size = wire::kIcmpHeaderBytes + groups.size() * kRecordBytes;
  const std::span<std::uint8_t> message(packet.append(size), size);
  wire::write_icmp_header(message, kReport, 0, static_cast<std::uint32_t>(groups.size()));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto record = message.subspan(wire::kIcmpHeaderBytes + i * kRecordBytes, kRecordBytes);
    wire::store_be32(record.data(), std::uint32_t{change ? kChangeToExclude : kModeIsExclude} << 24);  // excluding no source
    std::ranges::copy(groups[i].bytes(), record.begin() + 4);
  }
  wire::write_icmp_checksum(message, source, destination);
  std::ranges::copy(kRouterAlert, packet.prepend(kRouterAlert.size()));
  wire::write_ipv6_header({packet.prepend(wire::kIpv6HeaderBytes), wire::kIpv6HeaderBytes},
                          {.source = source,
                           .destination = destination,
                           .payload_length = static_cast<std::uint16_t>(kRouterAlert.size() + size),
                           .protocol = 0,  // hop-by-hop
                           .hop_limit = 1});
  link_.transmit(port.interface, wire::group_mac(destination), wire::kEtherTypeIpv6, std::move(packet));
}

}  // namespace millrace::ip
