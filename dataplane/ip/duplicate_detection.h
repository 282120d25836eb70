// Duplicate address detection (RFC 4862 5.4): asks the link whether another host has our IPv6 addresses before they are used. All
// addresses are asked for at once, without the random delay of 5.4.2: a gateway comes up alone, and shall serve after a second.
// Probes carry a nonce, so that a link that sends them back makes no duplicates (RFC 7527). A duplicate is counted and stays
// unused until the next start; no other address takes its place. Not done: optimistic addresses (RFC 4429).
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/addresses.h"
#include "dataplane/base/limits.h"
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
      : addresses_(addresses), link_(link), timers_(timers), pool_(pool), chance_(rng.next() >> 16) {
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      ports_[i].detection = this;
      ports_[i].interface = static_cast<std::uint8_t>(i);
    }
  }

  /// Begins to ask for the tentative addresses of the interface; nothing when it has begun already.
  void start(std::uint8_t interface, Instant now);
  /// Nothing can be asked there: the next start() begins anew.
  void stop(std::uint8_t interface);

  /// A solicitation for an address of the interface that is not usable; `probe`: from a host that has no address itself.
  void on_solicitation(const LocalAddresses::Entry& entry, const wire::NeighbourMessage& message, bool probe);
  /// An advertisement of such an address.
  void on_advertisement(const LocalAddresses::Entry& entry) { set_duplicate(entry); }

 private:
  struct Port {
    void on_timer(Instant now) { detection->next_round(*this, now); }
    DuplicateDetection* detection = nullptr;
    std::uint8_t interface = 0;
    int rounds = 0;  // of probes that were sent
    Timer timer = Timer::calling<&Port::on_timer>(*this);
  };

  void next_round(Port& port, Instant now);
  void set_duplicate(const LocalAddresses::Entry& entry);
  [[nodiscard]] std::uint64_t nonce(std::uint8_t interface) const {
    const std::uint64_t shared = link_.config(interface).probe_nonce;
    return shared != 0 ? shared : chance_;
  }

  LocalAddresses& addresses_;
  Link& link_;
  TimerWheel& timers_;
  nic::PacketPool& pool_;
  std::uint64_t chance_;  // 48 bits
  std::array<Port, limits::kMaxPorts> ports_;
};

/// Tells all nodes whose link address goes with an IPv6 address of ours (RFC 4861 7.2.6).
void advertise(nic::PacketPool& pool, Link& link, const LocalAddresses::Entry& entry);

}  // namespace millrace::ip
