// Puts fragments together (RFC 791 3.2, RFC 815, RFC 8200 4.5, RFC 5722, RFC 6946, RFC 8900). Each fragment is copied to its
// place in one packet buffer per datagram, so that thousands of tiny fragments pin no buffers; larger datagrams than that are
// refused.
//
//   buffer:  | headroom, in its end the first fragment's header | payload, in units of 8 bytes: `have` and `starts` are bitmaps |
//
// Overlap refuses the datagram, what has come of it and what will, in IPv6 (RFC 5722 4) and just so in IPv4: no sender overlaps,
// and systems that disagree on who wins let attackers hide bytes. An exact duplicate is passed over.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/fragment.h"
#include "dataplane/ip/keyed_mix.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::ip {

class ReassemblyEvents {
 public:
  /// A datagram is given up whose first fragment came: `about` is that, from its IP header on.
  virtual void timed_out(const Fragment& first, std::span<const std::uint8_t> about, Instant now) = 0;
  virtual void dropped(wire::DropReason reason) = 0;

 protected:
  ~ReassemblyEvents() = default;
};

class Reassembly {
 public:
  static constexpr Duration kTimeoutIpv4 = Duration::seconds(30);  ///< as Linux; RFC 1122 3.3.2 would have 60
  static constexpr Duration kTimeoutIpv6 = Duration::seconds(60);  ///< RFC 8200 4.5

  Reassembly(TimerWheel& timers, nic::PacketPool& pool, Rng& rng, ReassemblyEvents& events,
             std::size_t capacity = limits::kReassemblyDatagrams);
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// `packet` is the fragment that `fragment` describes, from its IP header on. Returns the datagram that it completes, with an
  /// ordinary IP header, its checksum right; an empty packet otherwise.
  [[nodiscard]] nic::Packet add(const Fragment& fragment, std::span<const std::uint8_t> packet, Instant now);

  /// Datagrams under way, those that were refused and are remembered among them.
  [[nodiscard]] std::size_t size() const { return datagrams_.in_use(); }

 private:
  static constexpr std::size_t kUnitBytes = 8;
  static constexpr std::size_t kUnits = limits::kReassemblyBytes / kUnitBytes;
  using Units = std::bitset<kUnits>;
  struct Datagram;

  [[nodiscard]] Datagram** bucket_of(const Fragment& key);
  [[nodiscard]] Datagram* find(const Fragment& key);
  [[nodiscard]] Datagram* create(const Fragment& key, Instant now);
  void remove(Datagram& datagram);
  nic::Packet refuse(Datagram& datagram, wire::DropReason reason);
  nic::Packet finish(Datagram& datagram);
  void on_timeout(Datagram& datagram, Instant now);

  TimerWheel& timers_;
  nic::PacketPool& pool_;
  ReassemblyEvents& events_;
  Pool<Datagram> datagrams_;
  KeyedMix hash_;
  std::vector<Datagram*> buckets_;  // chains; twice as many as datagrams, a power of two
  IntrusiveList<Datagram> oldest_first_;
};

}  // namespace millrace::ip
