// What ICMP has told of paths narrower than the first hop (RFC 1191, RFC 8201): bounded, each entry 10 minutes old at most.
// Whether a message is to be believed is its user's business: TCP checks the sequence number that it quotes (RFC 5927).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/keyed_mix.h"

namespace millrace::ip {

class PathMtuCache {
 public:
  static constexpr Duration kLifetime = Duration::seconds(600);  ///< RFC 1191 6.3, RFC 8201 4
  /// 512 bytes of data in the longest usual TCP and IP headers. RFC 791 allows links of 68 bytes, but none is left, whereas a
  /// forged message for 68 makes us send 40 times the packets. Linux has the same floor (min_pmtu).
  static constexpr std::size_t kLeastIpv4 = 552;
  static constexpr std::size_t kLeastIpv6 = 1280;  ///< RFC 8200 5

  PathMtuCache(TimerWheel& timers, Rng& rng, std::size_t capacity = limits::kPathMtuEntries);
  ~PathMtuCache();
  PathMtuCache(const PathMtuCache&) = delete;
  PathMtuCache& operator=(const PathMtuCache&) = delete;

  /// A router on the way to `destination` said that it takes packets of `mtu` bytes, 0: that it takes only smaller ones (RFC 1191
  /// 5). `current` is what was believed so far. Returns what to believe now: never more than `current`.
  std::uint16_t learn(const IpAddress& destination, std::size_t mtu, std::uint16_t current, Instant now);

  /// At most `most`.
  [[nodiscard]] std::uint16_t lookup(const IpAddress& destination, std::uint16_t most) const {
    if (entries_.in_use() == 0) [[likely]]
      return most;
    const Entry* entry = find(destination);
    return entry == nullptr || entry->mtu >= most ? most : entry->mtu;
  }

  [[nodiscard]] std::size_t size() const { return entries_.in_use(); }

 private:
  struct Entry : ListNode<> {
    IpAddress destination;
    std::uint16_t mtu = 0;
    Instant expires;
    Entry* next = nullptr;  // in the bucket
  };

  [[nodiscard]] Entry** bucket_of(const IpAddress& destination) const;
  [[nodiscard]] Entry* find(const IpAddress& destination) const;
  void remove(Entry& entry);
  void on_timer(Instant now);

  TimerWheel& timers_;
  Pool<Entry> entries_;
  KeyedMix hash_;
  mutable std::vector<Entry*> buckets_;
  IntrusiveList<Entry> oldest_first_;  // all live equally long: the first expires first, and `timer_` is armed for it
  Timer timer_;
};

}  // namespace millrace::ip
