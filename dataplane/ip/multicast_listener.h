// Tells the link's routers and switches which IPv6 groups we are in (MLDv2, RFC 3810): switches that snoop would else keep
// solicitations for our addresses from us. The groups are the solicited-node groups of our addresses, the tentative ones too,
// which never change after the start but by a duplicate; nobody is told of all-nodes (RFC 3810 5). Not done: sources, leaving,
// MLDv1 (its queries are answered in version 2), IPv4's IGMP (we are in no group of it).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "nic/packet.h"

namespace millrace::ip {

class MulticastListener {
 public:
  static constexpr int kRobustness = 2;  ///< reports of a change (RFC 3810 9.1, 9.11)
  static constexpr Duration kReportInterval = Duration::seconds(1);

  MulticastListener(const LocalAddresses& addresses, Link& link, TimerWheel& timers, nic::PacketPool& pool, Rng& rng);

  /// Reports all groups of the interface, twice a second apart.
  void start(std::uint8_t interface, Instant now);

  /// A query, its checksum verified: answered after a random time within what it allows.
  void on_query(std::uint8_t interface, std::uint8_t hop_limit, const IpAddress& source, std::span<const std::uint8_t> message,
                Instant now);

 private:
  struct Port {
    void on_timer(Instant now) { listener->report(*this, now); }
    MulticastListener* listener = nullptr;
    std::uint8_t interface = 0;
    int changes_left = 0;  // reports of the change that are still due
    std::vector<IpAddress> groups;
    Timer timer = Timer::calling<&Port::on_timer>(*this);
  };

  void report(Port& port, Instant now);
  void send(const Port& port, std::span<const IpAddress> groups, bool change);

  const LocalAddresses& addresses_;
  Link& link_;
  TimerWheel& timers_;
  nic::PacketPool& pool_;
  Rng& rng_;
  std::array<Port, limits::kMaxPorts> ports_;
};

}  // namespace millrace::ip
