#include "dataplane/ip/router_discovery.h"

#include <algorithm>

#include "dataplane/ip/nd_packet.h"
#include "dataplane/ip/path_mtu_cache.h"

namespace millrace::ip {

using wire::DropReason;

RouterDiscovery::RouterDiscovery(const LocalAddresses& addresses, const RouteTable& routes, Link& link,
                                 NeighbourResolver& resolver, TimerWheel& timers, nic::PacketPool& pool, Rng& rng)
    : addresses_(addresses), link_(link), resolver_(resolver), timers_(timers), pool_(pool), rng_(rng) {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    ports_[i].discovery = this;
    ports_[i].interface = static_cast<std::uint8_t>(i);
  }
  for (const LocalAddresses::Entry& entry : addresses_.entries()) {
    if (entry.prefix.address.is_v6()) ports_[entry.interface].wanted = !routes.has_ipv6_default(entry.interface);
  }
  resolver_.set_watcher(this);
}

RouterDiscovery::~RouterDiscovery() {
  resolver_.set_watcher(nullptr);
  while (Router* router = order_.pop_front()) routers_.destroy(router);
}

// RFC 4861 6.3.7: a random delay, so that machines that start together do not ask together.
void RouterDiscovery::start(std::uint8_t interface, Instant now) {
  Port& port = ports_[interface];
  if (!port.wanted || link_.config(interface).silent) return;  // silent ones hear what the others ask for
  port.solicitations = 0;
  timers_.arm(port.timer, now + Duration::milliseconds(rng_.below(kMaxSolicitationDelayMilliseconds)));
}

void RouterDiscovery::solicit(Port& port, Instant now) {
  const auto ours = std::ranges::find_if(addresses_.entries(), [&](const LocalAddresses::Entry& entry) {
    return entry.interface == port.interface && entry.use == LocalAddresses::Use::kUsable && entry.prefix.address.is_v6() &&
           entry.prefix.address.is_link_local();
  });
  // From an address that is still being checked nothing may be sent: then the unspecified one, without our link address.
  const bool usable = ours != addresses_.entries().end();
  const auto mac = usable ? std::optional(link_.config(port.interface).mac) : std::nullopt;
  send_nd_to_group(pool_, link_, port.interface, usable ? ours->prefix.address : IpAddress(), wire::all_routers_group(),
                   wire::kRouterSolicitationBytes + (mac ? wire::kLinkAddressOptionBytes : 0),
                   [&](std::span<std::uint8_t> bytes) { wire::write_router_solicitation(bytes, mac); });
  if (++port.solicitations < kSolicitations) timers_.arm(port.timer, now + kSolicitationInterval);
}

void RouterDiscovery::on_advertisement(const NdArrival& arrival, std::span<const std::uint8_t> message, Instant now) {
  Port& port = ports_[arrival.interface];
  if (!port.wanted) return link_.count(DropReason::kRouterNotWanted);
  const auto view = wire::RouterAdvertisement::parse(message);
  if (!view) return link_.count(view.error());
  const bool bad_mac = view->link_address && (view->link_address->is_multicast() || *view->link_address == MacAddress{});
  if (arrival.hop_limit != wire::kNdHopLimit || !arrival.source.is_link_local() || bad_mac) {
    return link_.count(DropReason::kRouterInvalid);  // RFC 4861 6.1.2
  }
  if (view->mtu >= PathMtuCache::kLeastIpv6) {
    const std::uint32_t most = link_.config(arrival.interface).mtu;
    link_.set_ipv6_mtu(arrival.interface, static_cast<std::uint16_t>(std::min(view->mtu, most)));
  }
  if (view->link_address) resolver_.learn(arrival.interface, arrival.source, *view->link_address, now);
  Router* router = find(arrival.interface, arrival.source);
  if (view->lifetime_seconds == 0) {
    if (router != nullptr) remove(*router);
    return;
  }
  port.timer.disarm();
  if (router == nullptr) {
    router = routers_.make(*this, arrival.interface, arrival.source);
    if (router == nullptr) return link_.count(DropReason::kRouterNotWanted);
    order_.push_back(*router);
  }
  timers_.arm(router->timer, now + Duration::seconds(view->lifetime_seconds));
}

std::optional<RouteTable::Hop> RouterDiscovery::preferred() const {
  const Router& router = order_.front();
  return RouteTable::Hop{router.address, router.interface, true};
}

RouterDiscovery::Router* RouterDiscovery::find(std::uint8_t interface, const IpAddress& address) {
  for (Router& router : order_) {
    if (router.interface == interface && router.address == address) return &router;
  }
  return nullptr;
}

void RouterDiscovery::remove(Router& router) {
  router.unlink();
  routers_.destroy(&router);
}

void RouterDiscovery::lost(std::uint8_t interface, const IpAddress& address) {
  if (Router* router = find(interface, address)) {
    router->unlink();
    order_.push_back(*router);
  }
}

void RouterDiscovery::no_router(std::uint8_t interface, const IpAddress& address) {
  if (Router* router = find(interface, address)) remove(*router);
}

}  // namespace millrace::ip
