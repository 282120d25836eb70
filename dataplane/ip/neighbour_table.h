// The cache of neighbours' link addresses, for ARP and neighbour discovery alike (RFC 826, RFC 1122 2.3.2, RFC 4861 5.1 and 7.3).
// Knows states, timers and waiting packets; what a solicitation looks like is its NeighbourEvents' business.
//
//   incomplete --answer--> reachable --15..45 s--> stale --used--> delay --5 s--> probing --answer--> reachable
//       |                                            |               |               |
//       +-- 3 requests, 1 s apart, no answer         +-- 10 min      +-- answer      +-- 3 unicast requests, 1 s apart
//       v   (packets dropped, counted)               v   unused      v               v
//      gone                                         gone          reachable         gone
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::ip {

/// What the table asks for. None of these may call back into the table.
class NeighbourEvents {
 public:
  /// Ask who has `address`: everybody, or only `known` (is it still there?).
  virtual void solicit(std::uint8_t interface, const IpAddress& address, const std::optional<MacAddress>& known) = 0;
  /// The neighbour is known: `packet` starts at its IP header.
  virtual bool transmit(std::uint8_t interface, const MacAddress& mac, const IpAddress& next_hop, nic::Packet packet) = 0;
  virtual void dropped(wire::DropReason reason) = 0;
  /// A neighbour that was used does not answer any more, or never did.
  virtual void lost(std::uint8_t interface, const IpAddress& address) = 0;

 protected:
  ~NeighbourEvents() = default;
};

class NeighbourTable {
 public:
  static constexpr int kRequests = 3;
  static constexpr Duration kRequestInterval = Duration::seconds(1);
  static constexpr Duration kBaseReachable = Duration::seconds(30);   ///< times 0.5 to 1.5, at random (RFC 4861 6.3.2)
  static constexpr Duration kFirstProbeDelay = Duration::seconds(5);  ///< RFC 4861 DELAY_FIRST_PROBE_TIME
  static constexpr Duration kStaleLifetime = Duration::seconds(600);
  /// Packets that may wait in the whole table.
  static constexpr std::size_t kTotalPending = 512;

  NeighbourTable(TimerWheel& timers, Rng& rng, NeighbourEvents& events, std::size_t capacity = limits::kNeighbourEntries);
  ~NeighbourTable();
  NeighbourTable(const NeighbourTable&) = delete;
  NeighbourTable& operator=(const NeighbourTable&) = delete;

  /// Transmits `packet`, or lets it wait; of too many the oldest is dropped. False when this packet was dropped.
  bool send(std::uint8_t interface, const IpAddress& next_hop, nic::Packet packet, Instant now);

  /// A neighbour that asked us for something has told its link address: makes an entry if there is none.
  void learn(std::uint8_t interface, const IpAddress& address, const MacAddress& mac, Instant now);

  /// A neighbour answered or announced itself: changes an existing entry only (RFC 4861 7.2.5).
  struct Advertisement {
    std::optional<MacAddress> mac = {};
    bool solicited = false;  ///< an answer to a request of ours
    bool override_ = true;   ///< replaces another address that we know
  };
  void update(std::uint8_t interface, const IpAddress& address, const Advertisement& advertisement, Instant now);

  /// The interface may lead to another network now: its reachable neighbours are stale.
  void doubt(std::uint8_t interface, Instant now);

  [[nodiscard]] std::size_t size() const { return entries_.in_use(); }
  [[nodiscard]] std::size_t pending() const { return pending_; }  ///< packets
  /// The link address that send() would use now.
  [[nodiscard]] std::optional<MacAddress> mac_of(std::uint8_t interface, const IpAddress& address) const;

 private:
  enum class State : std::uint8_t { kIncomplete, kReachable, kStale, kDelay, kProbing };
  struct Entry;

  [[nodiscard]] Entry** bucket_of(std::uint8_t interface, const IpAddress& address) const;
  [[nodiscard]] Entry* find(std::uint8_t interface, const IpAddress& address) const;
  Entry* create(std::uint8_t interface, const IpAddress& address);
  void evict_one();
  void remove(Entry& entry, wire::DropReason reason);
  void ask(Entry& entry, Instant now);
  void wait(Entry& entry, nic::Packet packet);
  void resolved(Entry& entry, const MacAddress& mac, bool reachable, Instant now);
  void set_reachable(Entry& entry, Instant now);
  void set_stale(Entry& entry, Instant now);
  void contest(Entry& entry, const MacAddress& mac, Instant now);
  void on_timer(Entry& entry, Instant now);

  TimerWheel& timers_;
  Rng& rng_;
  NeighbourEvents& events_;
  Pool<Entry> entries_;
  mutable std::vector<Entry*> buckets_;  // chains; twice as many as entries, a power of two
  std::uint64_t hash_seed_;
  std::size_t pending_ = 0;
  std::size_t incomplete_count_ = 0;
  IntrusiveList<Entry> incomplete_;  // oldest first
  IntrusiveList<Entry> unused_;      // known, but nothing was ever sent to them; oldest first
  IntrusiveList<Entry> known_;       // least recently used first
};

struct NeighbourTable::Entry : ListNode<> {
  Entry(NeighbourTable& owner, std::uint8_t on, const IpAddress& of)
      : table(owner), address(of), interface(on), timer(Timer::calling<&Entry::on_timer>(*this)) {}
  void on_timer(Instant now) { table.on_timer(*this, now); }

  NeighbourTable& table;
  IpAddress address;
  MacAddress mac;  // meaningless while incomplete
  std::uint8_t interface;
  State state = State::kIncomplete;
  bool contested = false;  // another link address took its place unasked: no delay before it has to prove itself
  std::uint8_t requests = 0;
  std::uint8_t waiting_count = 0;
  std::array<nic::Packet, limits::kNeighbourPendingPackets> waiting;  // oldest first
  Timer timer;
  Entry* next = nullptr;  // in the bucket
};

}  // namespace millrace::ip
