// Duplicate address detection (RFC 4862 5.4): asks the link whether another host has our IPv6 addresses before they are used. All
// addresses are asked for at once, without the random delay of 5.4.2: a gateway comes up alone, and shall serve after a second.
// Probes carry a nonce, so that a link that sends them back makes no duplicates (RFC 7527). A duplicate is counted and stays
// unused until the next start; no other address takes its place. Not done: optimistic addresses (RFC 4429).
#pragma once

#include <cstdint>

#include "dataplane/base/addresses.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "dataplane/wire/neighbour_discovery.h"
#include "nic/packet.h"

namespace millrace::ip {

class DuplicateDetection {
 public:
  static constexpr Duration kProbeInterval = Duration::seconds(1);  ///< RetransTimer of RFC 4861 10

  DuplicateDetection(LocalAddresses& addresses, Link& link, TimerWheel& timers, nic::PacketPool& pool, Rng& rng)
      : addresses_(addresses),
        link_(link),
        timers_(timers),
        pool_(pool),
        nonce_(rng.next() >> 16),
        timer_(Timer::calling<&DuplicateDetection::on_timer>(*this)) {}

  /// Begins to ask for the tentative addresses; nothing when it has begun already.
  void start(Instant now);

  /// A solicitation for an address of the interface that is not usable; `probe`: from a host that has no address itself.
  void on_solicitation(const LocalAddresses::Entry& entry, const wire::NeighbourMessage& message, bool probe);
  /// An advertisement of such an address.
  void on_advertisement(const LocalAddresses::Entry& entry) { set_duplicate(entry); }

 private:
  void on_timer(Instant now);
  void set_duplicate(const LocalAddresses::Entry& entry);

  LocalAddresses& addresses_;
  Link& link_;
  TimerWheel& timers_;
  nic::PacketPool& pool_;
  std::uint64_t nonce_;  // 48 bits
  int rounds_ = 0;       // of probes that were sent
  Timer timer_;
};

/// Tells all nodes whose link address goes with an IPv6 address of ours (RFC 4861 7.2.6).
void advertise(nic::PacketPool& pool, Link& link, const LocalAddresses::Entry& entry);

}  // namespace millrace::ip
