#include "dataplane/ip/reassembly.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

namespace millrace::ip {

using wire::DropReason;

struct Reassembly::Datagram : ListNode<> {
  Datagram(Reassembly& owner, const Fragment& of)
      : reassembly(owner), key(of), timer(Timer::calling<&Datagram::on_timeout>(*this)) {}
  void on_timeout(Instant now) { reassembly.on_timeout(*this, now); }

  [[nodiscard]] std::uint8_t* payload() { return packet.data() + header_size; }
  [[nodiscard]] std::size_t room() const { return packet.size() - header_size; }
  /// What the fragment's place, [from, end) in bytes, has to do with those before it.
  enum class Place : std::uint8_t { kFree, kDuplicate, kOverlap };
  [[nodiscard]] Place place_of(std::size_t from, std::span<const std::uint8_t> bytes, std::size_t end);
  [[nodiscard]] bool contradicts_end(std::size_t end, bool more) const;
  void put(const Fragment& fragment, std::span<const std::uint8_t> bytes);

  Reassembly& reassembly;
  Fragment key;                       // of the first fragment (offset 0) once that is here
  std::optional<DropReason> refused;  // then there is no packet
  nic::Packet packet;                 // header_size bytes of header, then all the room that the buffer has
  std::uint16_t header_size = 0;      // 0: the first fragment is not here
  std::uint16_t first_size = 0;       // payload of the first fragment, bytes
  std::uint16_t total = 0;            // payload of the datagram, bytes; 0: the last fragment is not here
  std::uint16_t received = 0;         // bytes; no byte counts twice
  std::uint16_t highest = 0;          // end of the received payload that lies furthest
  std::uint8_t fragments = 0;
  std::uint8_t ecn_seen = 0;  // one bit per codepoint
  Units have;                 // units received
  Units starts;               // units at which a fragment began
  Timer timer;
  Datagram* next = nullptr;  // in the bucket
};

Reassembly::Reassembly(TimerWheel& timers, nic::PacketPool& pool, Rng& rng, ReassemblyEvents& events, std::size_t capacity)
    : timers_(timers),
      pool_(pool),
      events_(events),
      datagrams_(capacity, capacity),
      hash_(rng),
      buckets_(std::bit_ceil(capacity * 2)) {}

Reassembly::~Reassembly() {
  while (!oldest_first_.empty()) remove(oldest_first_.front());
}

nic::Packet Reassembly::add(const Fragment& fragment, std::span<const std::uint8_t> bytes, Instant now) {
  using Place = Datagram::Place;
  const auto drop = [this](DropReason reason) {
    events_.dropped(reason);
    return nic::Packet();
  };
  Datagram* datagram = find(fragment);
  if (datagram == nullptr) datagram = create(fragment, now);
  if (datagram == nullptr) return drop(DropReason::kFragmentNoBuffer);
  if (datagram->refused) return drop(*datagram->refused);
  const auto payload = bytes.subspan(fragment.header_size);
  const std::size_t end = fragment.offset + payload.size();
  if (end > datagram->room() || (fragment.offset == 0 && fragment.header_size > limits::kPacketHeadroomBytes)) {
    return refuse(*datagram, DropReason::kFragmentTooBig);
  }
  if (datagram->contradicts_end(end, fragment.more)) return refuse(*datagram, DropReason::kFragmentOverlap);
  const Place place = datagram->place_of(fragment.offset, payload, end);
  if (place == Place::kDuplicate) return drop(DropReason::kFragmentDuplicate);
  if (place == Place::kOverlap) return refuse(*datagram, DropReason::kFragmentOverlap);
  if (datagram->fragments == limits::kReassemblyFragments) return refuse(*datagram, DropReason::kFragmentTooMany);
  datagram->put(fragment, bytes);
  if (datagram->total == 0 || datagram->received != datagram->total) return {};
  return finish(*datagram);
}

// The last fragment says where the datagram ends: nothing may lie beyond, and no other may say otherwise.
bool Reassembly::Datagram::contradicts_end(std::size_t end, bool more) const {
  if (more) return total != 0 && end >= total;
  return total != 0 ? end != total : end < highest;
}

Reassembly::Datagram::Place Reassembly::Datagram::place_of(std::size_t from, std::span<const std::uint8_t> bytes,
                                                           std::size_t end) {
  const std::size_t begin_unit = from / kUnitBytes;
  const std::size_t end_unit = (end + kUnitBytes - 1) / kUnitBytes;
  bool any = false;
  bool same = starts[begin_unit] && (end_unit == kUnits || !have[end_unit] || starts[end_unit]);
  for (std::size_t unit = begin_unit; unit < end_unit; ++unit) {
    any |= have[unit];
    same &= have[unit] && (unit == begin_unit || !starts[unit]);
  }
  if (!any) return Place::kFree;
  same = same && end <= highest && std::memcmp(payload() + from, bytes.data(), bytes.size()) == 0;
  return same ? Place::kDuplicate : Place::kOverlap;
}

void Reassembly::Datagram::put(const Fragment& fragment, std::span<const std::uint8_t> bytes) {
  const auto content = bytes.subspan(fragment.header_size);
  const std::size_t end = fragment.offset + content.size();
  std::memcpy(payload() + fragment.offset, content.data(), content.size());
  if (fragment.offset == 0) {
    std::memcpy(packet.prepend(fragment.header_size), bytes.data(), fragment.header_size);
    header_size = fragment.header_size;
    first_size = static_cast<std::uint16_t>(content.size());
    key = fragment;
  }
  for (std::size_t unit = fragment.offset / kUnitBytes; unit * kUnitBytes < end; ++unit) have.set(unit);
  starts.set(fragment.offset / kUnitBytes);
  if (!fragment.more) total = static_cast<std::uint16_t>(end);
  received = static_cast<std::uint16_t>(received + content.size());
  highest = static_cast<std::uint16_t>(std::max<std::size_t>(highest, end));
  ecn_seen = static_cast<std::uint8_t>(ecn_seen | 1 << fragment.ecn);
  ++fragments;
}

nic::Packet Reassembly::finish(Datagram& datagram) {
  constexpr int kNotCapable = 1 << 0;
  constexpr int kCongested = 1 << 3;
  const bool congested = (datagram.ecn_seen & kCongested) != 0;
  // RFC 3168 5.3: a mark on what could not be marked says that somebody meddled.
  if (congested && (datagram.ecn_seen & kNotCapable) != 0) return refuse(datagram, DropReason::kFragmentOverlap);
  nic::Packet whole = std::move(datagram.packet);
  whole.truncate(std::size_t{datagram.header_size} + datagram.total);
  make_whole(whole, datagram.key, congested);
  remove(datagram);
  return whole;
}

// The key stays until the timeout: later fragments of the datagram are refused, too (RFC 5722 4).
nic::Packet Reassembly::refuse(Datagram& datagram, DropReason reason) {
  events_.dropped(reason);
  datagram.refused = reason;
  datagram.packet = {};
  return {};
}

void Reassembly::on_timeout(Datagram& datagram, Instant now) {
  if (!datagram.refused) {
    events_.dropped(DropReason::kReassemblyTimeout);
    if (datagram.header_size != 0) {
      const std::size_t size = std::size_t{datagram.header_size} + datagram.first_size;
      events_.timed_out(datagram.key, std::as_const(datagram.packet).bytes().first(size), now);
    }
  }
  remove(datagram);
}

Reassembly::Datagram** Reassembly::bucket_of(const Fragment& key) {
  const std::uint64_t rest = std::uint64_t{key.identification} << 16 | std::uint64_t{key.protocol} << 8 | key.interface;
  const std::uint64_t hash = hash_(key.source, key.destination, rest);
  return &buckets_[(hash ^ (hash >> 32)) & (buckets_.size() - 1)];
}

Reassembly::Datagram* Reassembly::find(const Fragment& key) {
  Datagram* datagram = *bucket_of(key);
  const auto same = [&](const Fragment& other) {
    return other.identification == key.identification && other.protocol == key.protocol && other.interface == key.interface &&
           other.source == key.source && other.destination == key.destination;
  };
  while (datagram != nullptr && !same(datagram->key)) datagram = datagram->next;
  return datagram;
}

Reassembly::Datagram* Reassembly::create(const Fragment& key, Instant now) {
  nic::Packet packet = pool_.allocate();
  if (!packet) return nullptr;
  packet.append(std::min(packet.tailroom(), limits::kReassemblyBytes));
  if (datagrams_.in_use() == datagrams_.limit()) {
    if (!oldest_first_.front().refused) events_.dropped(DropReason::kReassemblyEvicted);
    remove(oldest_first_.front());
  }
  Datagram* datagram = datagrams_.make(*this, key);
  datagram->packet = std::move(packet);
  Datagram** bucket = bucket_of(key);
  datagram->next = *bucket;
  *bucket = datagram;
  oldest_first_.push_back(*datagram);
  timers_.arm(datagram->timer, now + (key.source.is_v4() ? kTimeoutIpv4 : kTimeoutIpv6));
  return datagram;
}

void Reassembly::remove(Datagram& datagram) {
  Datagram** link = bucket_of(datagram.key);
  while (*link != &datagram) link = &(*link)->next;
  *link = datagram.next;
  datagram.unlink();
  datagrams_.destroy(&datagram);
}

}  // namespace millrace::ip
