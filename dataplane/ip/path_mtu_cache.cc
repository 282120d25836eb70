#include "dataplane/ip/path_mtu_cache.h"

#include <algorithm>
#include <array>

namespace millrace::ip {
namespace {

// RFC 1191 7.1: what links there are, for routers that tell nothing.
std::size_t next_plateau_below(std::size_t mtu) {
  static constexpr std::array<std::size_t, 8> kPlateaus{32'000, 17'914, 8'166, 4'352, 2'002, 1'492, 1'006, 508};
  const auto found = std::ranges::find_if(kPlateaus, [&](std::size_t plateau) { return plateau < mtu; });
  return found == kPlateaus.end() ? 0 : *found;
}

}  // namespace

PathMtuCache::PathMtuCache(TimerWheel& timers, Rng& rng, std::size_t capacity)
    : timers_(timers),
      entries_(capacity, capacity),
      hash_(rng),
      buckets_(std::bit_ceil(capacity * 2)),
      timer_(Timer::calling<&PathMtuCache::on_timer>(*this)) {}

PathMtuCache::~PathMtuCache() {
  while (Entry* entry = oldest_first_.pop_front()) entries_.destroy(entry);
}

std::uint16_t PathMtuCache::learn(const IpAddress& destination, std::size_t mtu, std::uint16_t current, Instant now) {
  if (destination.is_v4()) {
    if (mtu == 0) mtu = next_plateau_below(current);
    mtu = std::max(mtu, kLeastIpv4);
  } else if (mtu < kLeastIpv6) {
    return current;  // RFC 8201 4: to be discarded
  }
  if (mtu >= current) return current;  // RFC 8201 4: no message makes it grow
  Entry* entry = find(destination);
  if (entry == nullptr) {
    if (entries_.in_use() == entries_.limit()) remove(oldest_first_.front());
    entry = entries_.make();
    entry->destination = destination;
    Entry** bucket = bucket_of(destination);
    entry->next = *bucket;
    *bucket = entry;
  } else {
    entry->unlink();
  }
  oldest_first_.push_back(*entry);
  entry->mtu = static_cast<std::uint16_t>(mtu);
  entry->expires = now + kLifetime;
  if (!timer_.is_armed()) timers_.arm(timer_, oldest_first_.front().expires);
  return entry->mtu;
}

PathMtuCache::Entry** PathMtuCache::bucket_of(const IpAddress& destination) const {
  const std::uint64_t hash = hash_(destination, 0);
  return &buckets_[(hash ^ (hash >> 32)) & (buckets_.size() - 1)];
}

PathMtuCache::Entry* PathMtuCache::find(const IpAddress& destination) const {
  Entry* entry = *bucket_of(destination);
  while (entry != nullptr && entry->destination != destination) entry = entry->next;
  return entry;
}

void PathMtuCache::remove(Entry& entry) {
  Entry** link = bucket_of(entry.destination);
  while (*link != &entry) link = &(*link)->next;
  *link = entry.next;
  entry.unlink();
  entries_.destroy(&entry);
}

void PathMtuCache::on_timer(Instant now) {
  while (!oldest_first_.empty() && oldest_first_.front().expires <= now) remove(oldest_first_.front());
  if (!oldest_first_.empty()) timers_.arm(timer_, oldest_first_.front().expires);
}

}  // namespace millrace::ip
