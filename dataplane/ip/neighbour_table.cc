#include "dataplane/ip/neighbour_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace millrace::ip {

using wire::DropReason;

NeighbourTable::NeighbourTable(TimerWheel& timers, Rng& rng, NeighbourEvents& events, std::size_t capacity)
    : timers_(timers),
      rng_(rng),
      events_(events),
      entries_(capacity, capacity),
      buckets_(std::bit_ceil(capacity * 2)),
      hash_seed_(rng.next()) {}

NeighbourTable::~NeighbourTable() {
  while (Entry* entry = incomplete_.pop_front()) entries_.destroy(entry);
  while (Entry* entry = unused_.pop_front()) entries_.destroy(entry);
  while (Entry* entry = known_.pop_front()) entries_.destroy(entry);
}

bool NeighbourTable::send(std::uint8_t interface, const IpAddress& next_hop, nic::Packet packet, Instant now) {
  Entry* entry = find(interface, next_hop);
  if (entry == nullptr) {
    entry = create(interface, next_hop);
    ask(*entry, now);
  }
  if (entry->state == State::kIncomplete) {
    if (pending_ == kTotalPending && entry->waiting_count == 0) {
      events_.dropped(DropReason::kNeighbourPendingFull);
      return false;
    }
    wait(*entry, std::move(packet));
    return true;
  }
  entry->unlink();
  known_.push_back(*entry);
  if (entry->state == State::kStale && entry->contested) {
    entry->state = State::kProbing;
    ask(*entry, now);
  } else if (entry->state == State::kStale) {
    entry->state = State::kDelay;
    timers_.arm(entry->timer, now + kFirstProbeDelay);
  }
  return events_.transmit(interface, entry->mac, next_hop, std::move(packet));
}

void NeighbourTable::learn(std::uint8_t interface, const IpAddress& address, const MacAddress& mac, Instant now) {
  Entry* entry = find(interface, address);
  if (entry == nullptr) {
    resolved(*create(interface, address), mac, false, now);
  } else if (entry->state == State::kIncomplete) {
    resolved(*entry, mac, false, now);
  } else if (entry->mac != mac) {
    contest(*entry, mac, now);
  }
}

void NeighbourTable::update(std::uint8_t interface, const IpAddress& address, const Advertisement& advertisement, Instant now) {
  Entry* entry = find(interface, address);
  if (entry == nullptr) return;
  if (entry->state == State::kIncomplete) {
    if (advertisement.mac) resolved(*entry, *advertisement.mac, advertisement.solicited, now);
    return;
  }
  const bool other = advertisement.mac && *advertisement.mac != entry->mac;
  if (other && !advertisement.override_) {
    if (entry->state == State::kReachable) set_stale(*entry, now);
    return;
  }
  // Who claims to answer what was not asked has confirmed nothing: another link address has to prove itself first.
  if (advertisement.solicited && (!other || entry->state == State::kProbing)) {
    if (other) entry->mac = *advertisement.mac;
    set_reachable(*entry, now);
  } else if (other) {
    contest(*entry, *advertisement.mac, now);
  }
}

void NeighbourTable::doubt(std::uint8_t interface, Instant now) {
  for (IntrusiveList<Entry>* list : {&unused_, &known_}) {
    for (Entry& entry : *list) {
      if (entry.interface == interface && entry.state == State::kReachable) set_stale(entry, now);
    }
  }
}

std::optional<MacAddress> NeighbourTable::mac_of(std::uint8_t interface, const IpAddress& address) const {
  const Entry* entry = find(interface, address);
  if (entry == nullptr || entry->state == State::kIncomplete) return std::nullopt;
  return entry->mac;
}

// Seeded, so that nobody outside can aim at one bucket.
NeighbourTable::Entry** NeighbourTable::bucket_of(std::uint8_t interface, const IpAddress& address) const {
  std::uint64_t halves[2];
  std::memcpy(halves, address.bytes().data(), sizeof(halves));
  std::uint64_t hash = (halves[0] ^ hash_seed_) * 0x9e3779b97f4a7c15;
  hash = (std::rotl(hash, 29) ^ halves[1] ^ interface) * 0xbf58476d1ce4e5b9;
  return &buckets_[(hash ^ (hash >> 32)) & (buckets_.size() - 1)];
}

NeighbourTable::Entry* NeighbourTable::find(std::uint8_t interface, const IpAddress& address) const {
  Entry* entry = *bucket_of(interface, address);
  while (entry != nullptr && (entry->interface != interface || entry->address != address)) entry = entry->next;
  return entry;
}

NeighbourTable::Entry* NeighbourTable::create(std::uint8_t interface, const IpAddress& address) {
  if (entries_.in_use() == entries_.limit()) evict_one();
  Entry* entry = entries_.make(*this, interface, address);
  Entry** bucket = bucket_of(interface, address);
  entry->next = *bucket;
  *bucket = entry;
  incomplete_.push_back(*entry);
  ++incomplete_count_;
  return entry;
}

// Those who do not answer may not push out more than half of those who did, and those who only told us of themselves, be they
// ever so many, none that we talk to.
void NeighbourTable::evict_one() {
  const bool crowded = incomplete_count_ > entries_.limit() / 2;
  if (!crowded && !unused_.empty()) {
    remove(unused_.front(), DropReason::kNeighbourTableFull);
  } else if (crowded || known_.empty()) {
    remove(incomplete_.front(), DropReason::kNeighbourTableFull);
  } else {
    remove(known_.front(), DropReason::kNeighbourTableFull);
  }
}

void NeighbourTable::remove(Entry& entry, DropReason reason) {
  for (std::size_t i = 0; i < entry.waiting_count; ++i) events_.dropped(reason);
  pending_ -= entry.waiting_count;
  if (entry.state == State::kIncomplete) --incomplete_count_;
  Entry** link = bucket_of(entry.interface, entry.address);
  while (*link != &entry) link = &(*link)->next;
  *link = entry.next;
  entry.unlink();
  entries_.destroy(&entry);
}

void NeighbourTable::ask(Entry& entry, Instant now) {
  ++entry.requests;
  timers_.arm(entry.timer, now + kRequestInterval);
  events_.solicit(entry.interface, entry.address, entry.state == State::kProbing ? std::optional(entry.mac) : std::nullopt);
}

// RFC 4861 7.2.2: when too many wait, the oldest makes room.
void NeighbourTable::wait(Entry& entry, nic::Packet packet) {
  if (entry.waiting_count == entry.waiting.size() || pending_ == kTotalPending) {
    events_.dropped(DropReason::kNeighbourPendingFull);
    std::ranges::move(entry.waiting.begin() + 1, entry.waiting.begin() + entry.waiting_count, entry.waiting.begin());
    --entry.waiting_count;
    --pending_;
  }
  entry.waiting[entry.waiting_count++] = std::move(packet);
  ++pending_;
}

void NeighbourTable::resolved(Entry& entry, const MacAddress& mac, bool reachable, Instant now) {
  entry.mac = mac;
  incomplete_.remove(entry);
  --incomplete_count_;
  (entry.waiting_count > 0 ? known_ : unused_).push_back(entry);
  if (reachable) {
    set_reachable(entry, now);
  } else {
    set_stale(entry, now);
  }
  const std::size_t count = entry.waiting_count;
  pending_ -= count;
  entry.waiting_count = 0;
  for (std::size_t i = 0; i < count; ++i) events_.transmit(entry.interface, mac, entry.address, std::move(entry.waiting[i]));
}

void NeighbourTable::set_reachable(Entry& entry, Instant now) {
  entry.state = State::kReachable;
  entry.contested = false;
  entry.requests = 0;
  timers_.arm(entry.timer, now + kBaseReachable * (500 + rng_.below(1001)) / 1000);
}

void NeighbourTable::set_stale(Entry& entry, Instant now) {
  entry.state = State::kStale;
  entry.requests = 0;
  timers_.arm(entry.timer, now + kStaleLifetime);
}

void NeighbourTable::contest(Entry& entry, const MacAddress& mac, Instant now) {
  entry.mac = mac;
  entry.contested = true;
  set_stale(entry, now);
}

void NeighbourTable::on_timer(Entry& entry, Instant now) {
  switch (entry.state) {
    case State::kReachable: set_stale(entry, now); return;
    case State::kStale: remove(entry, DropReason::kNeighbourUnresolved); return;
    case State::kDelay:
      entry.state = State::kProbing;
      ask(entry, now);
      return;
    case State::kIncomplete:
    case State::kProbing:
      if (entry.requests < kRequests) {
        ask(entry, now);
      } else {
        const IpAddress address = entry.address;
        const std::uint8_t interface = entry.interface;
        remove(entry, DropReason::kNeighbourUnresolved);
        events_.lost(interface, address);
      }
      return;
  }
}

}  // namespace millrace::ip
