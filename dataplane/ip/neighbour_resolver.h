// Speaks ARP (RFC 826, RFC 5227 announcements) and neighbour discovery (RFC 4861 7.2) for the neighbour table: answers who asks
// for us, asks for others, announces. Not done: IPv4 conflict detection (RFC 5227), defence of an address that another host
// claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
#include "dataplane/ip/duplicate_detection.h"
#include "dataplane/ip/link.h"
#include "dataplane/ip/local_addresses.h"
#include "dataplane/ip/neighbour_table.h"
#include "dataplane/wire/neighbour_discovery.h"
#include "nic/packet.h"

namespace millrace::ip {

/// How a neighbour discovery message came; its checksum is verified.
struct NdArrival {
  std::uint8_t interface = 0;
  std::uint8_t hop_limit = 0;
  IpAddress source;
  IpAddress destination;
};

/// Who has to know what becomes of routers. Must not call back into the resolver.
class NeighbourWatcher {
 public:
  /// A neighbour does not answer.
  virtual void lost(std::uint8_t interface, const IpAddress& address) = 0;
  /// A neighbour says that it is no router.
  virtual void no_router(std::uint8_t interface, const IpAddress& address) = 0;

 protected:
  ~NeighbourWatcher() = default;
};

class NeighbourResolver final : private NeighbourEvents {
 public:
  NeighbourResolver(LocalAddresses& addresses, Link& link, TimerWheel& timers, nic::PacketPool& pool, Rng& rng)
      : addresses_(addresses),
        link_(link),
        pool_(pool),
        table_(timers, rng, *this),
        detection_(addresses, link, timers, pool, rng) {}
  void set_watcher(NeighbourWatcher* watcher) { watcher_ = watcher; }

  /// `packet` starts at its IP header. False when dropped, which is counted.
  bool send(std::uint8_t interface, const IpAddress& next_hop, nic::Packet packet, Instant now) {
    return table_.send(interface, next_hop, std::move(packet), now);
  }

  /// An ARP packet, padding included.
  void on_arp(std::uint8_t interface, std::span<const std::uint8_t> payload, Instant now);

  /// A neighbour discovery message of type 135 or 136.
  void on_neighbour_message(const NdArrival& arrival, std::span<const std::uint8_t> message, Instant now);

  /// A gratuitous ARP or an unsolicited advertisement for each of our usable addresses there; the tentative ones are asked for.
  void announce(std::uint8_t interface, Instant now);
  /// Nothing can be asked there until announce().
  void suspend(std::uint8_t interface) { detection_.stop(interface); }
  /// Who was reachable there has to answer again.
  void doubt_neighbours(std::uint8_t interface, Instant now) { table_.doubt(interface, now); }

  /// A neighbour told its link address.
  void learn(std::uint8_t interface, const IpAddress& address, const MacAddress& mac, Instant now) {
    table_.learn(interface, address, mac, now);
  }

  [[nodiscard]] std::size_t neighbours() const { return table_.size(); }

 private:
  void solicit(std::uint8_t interface, const IpAddress& address, const std::optional<MacAddress>& known) override;
  bool transmit(std::uint8_t interface, const MacAddress& mac, const IpAddress& next_hop, nic::Packet packet) override;
  void dropped(wire::DropReason reason) override { link_.count(reason); }
  void lost(std::uint8_t interface, const IpAddress& address) override {
    if (watcher_ != nullptr) watcher_->lost(interface, address);
  }

  /// A link address that another host may have.
  [[nodiscard]] bool may_be_neighbours(std::uint8_t interface, const MacAddress& mac) const;
  void on_solicitation(const NdArrival& arrival, const wire::NeighbourMessage& message, Instant now);
  void on_advertisement(const NdArrival& arrival, const wire::NeighbourMessage& message, Instant now);
  void send_arp_request(std::uint8_t interface, const IpAddress& sender, const IpAddress& target, const MacAddress& to);
  void send_arp_reply(std::uint8_t interface, const IpAddress& sender, const IpAddress& target, const MacAddress& to);
  /// The IPv6 packet of a message; false when there is no buffer, which is counted.
  [[nodiscard]] nic::Packet message_packet(const wire::NeighbourMessage& message, const IpAddress& source,
                                           const IpAddress& destination);

  const LocalAddresses& addresses_;
  Link& link_;
  nic::PacketPool& pool_;
  NeighbourTable table_;
  DuplicateDetection detection_;
  NeighbourWatcher* watcher_ = nullptr;
};

}  // namespace millrace::ip
