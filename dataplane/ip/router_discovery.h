// Default routers that announce themselves (RFC 4861 6.3), for interfaces that have an IPv6 address and no configured IPv6
// default route: solicits them at start, keeps a bounded list with lifetimes, takes the link's MTU. What is configured always
// goes first. Not done: prefixes (our addresses and networks are configured), hop limit, reachable and retransmission times,
// preferences (RFC 4191), redirects.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "dataplane/ip/neighbour_resolver.h"
#include "dataplane/ip/route_table.h"
#include "nic/packet.h"

namespace millrace::ip {

class RouterDiscovery final : private NeighbourWatcher {
 public:
  // RFC 4861 10.
  static constexpr int kSolicitations = 3;
  static constexpr Duration kSolicitationInterval = Duration::seconds(4);
  static constexpr std::uint32_t kMaxSolicitationDelayMilliseconds = 1000;

  RouterDiscovery(const LocalAddresses& addresses, const RouteTable& routes, Link& link, NeighbourResolver& resolver,
                  TimerWheel& timers, nic::PacketPool& pool, Rng& rng);
  ~RouterDiscovery();

  /// Begins to solicit on the interface.
  void start(std::uint8_t interface, Instant now);

  /// A router advertisement, its checksum verified.
  void on_advertisement(const NdArrival& arrival, std::span<const std::uint8_t> message, Instant now);

  /// The router to use for what no route leads to.
  [[nodiscard]] std::optional<RouteTable::Hop> default_router() const {
    if (routers_.in_use() == 0) return std::nullopt;
    return preferred();
  }
  [[nodiscard]] std::size_t size() const { return routers_.in_use(); }

 private:
  struct Router : ListNode<> {
    Router(RouterDiscovery& owner, std::uint8_t on, const IpAddress& of)
        : discovery(owner), address(of), interface(on), timer(Timer::calling<&Router::on_expiry>(*this)) {}
    void on_expiry(Instant) { discovery.remove(*this); }
    RouterDiscovery& discovery;
    IpAddress address;
    std::uint8_t interface;
    Timer timer;
  };
  struct Port {
    void on_timer(Instant now) { discovery->solicit(*this, now); }
    RouterDiscovery* discovery = nullptr;
    std::uint8_t interface = 0;
    bool wanted = false;
    int solicitations = 0;
    Timer timer = Timer::calling<&Port::on_timer>(*this);
  };

  [[nodiscard]] std::optional<RouteTable::Hop> preferred() const;
  void solicit(Port& port, Instant now);
  [[nodiscard]] Router* find(std::uint8_t interface, const IpAddress& address);
  void remove(Router& router);
  void lost(std::uint8_t interface, const IpAddress& address) override;
  void no_router(std::uint8_t interface, const IpAddress& address) override;

  const LocalAddresses& addresses_;
  Link& link_;
  NeighbourResolver& resolver_;
  TimerWheel& timers_;
  nic::PacketPool& pool_;
  Rng& rng_;
  std::array<Port, limits::kMaxPorts> ports_;
  Pool<Router> routers_{limits::kDefaultRouters, limits::kDefaultRouters};
  mutable IntrusiveList<Router> order_;  // the first is used; one that does not answer goes behind the others (RFC 4861 6.3.6)
};

}  // namespace millrace::ip
