// Two hosts on one wire, in virtual time and one thread: each an IpLayer and a tcp::Stack, frames moved from one to the other
// with delay, loss, reordering and duplication drawn from a seed.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "nic/heap_pool.h"

namespace millrace::test {

/// MR_SEED replays a run; else the test's own seed.
inline std::uint64_t seed_or(std::uint64_t fallback) {
  const char* text = std::getenv("MR_SEED");
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

struct LinkFaults {
  std::uint32_t loss_per_mille = 0;
  std::uint32_t duplicate_per_mille = 0;
  std::uint32_t reorder_per_mille = 0;  ///< arrive up to four delays late
  std::uint32_t corrupt_per_mille = 0;  ///< one bit behind the Ethernet header is flipped; not of ARP, which has no checksum
};

/// One host. Both share the packet pool, so that chains may go from one to the other.
class TcpHost {
 public:
  TcpHost(std::uint8_t number, const tcp::StackConfig& config, stream::ChainPool& chains, bool v6, Instant now)
      : timers(now),
        rng(number),
        address_(v6 ? *IpAddress::parse("2001:db8::" + std::to_string(number)) : IpAddress::v4(10, 0, 0, number)),
        interface_{
            .mac = {{2, 0, 0, 0, 0, number}}, .mtu = 1500, .addresses = {{address_, static_cast<std::uint8_t>(v6 ? 64 : 24)}}},
        ip({&interface_, 1}, {}, timers, chains.packets(), rng, now),
        tcp(ip, timers, chains, rng, config) {}

  [[nodiscard]] const IpAddress& address() const { return address_; }

  TimerWheel timers;
  Rng rng;

 private:
  IpAddress address_;
  ip::InterfaceConfig interface_;

 public:
  ip::IpLayer ip;
  tcp::Stack tcp;
};

/// The tests' stacks: small pools, everything else as in the gateway.
inline tcp::StackConfig small_stack(std::uint8_t secret = 1) {
  tcp::StackConfig config;
  config.secret.fill(secret);
  config.max_connections = 4'096;
  config.initial_connections = 16;
  config.max_half_open = 1'024;
  config.max_time_wait = 4'096;
  config.max_held_slices = 4'096;
  return config;
}

class TcpLink {
 public:
  explicit TcpLink(std::uint64_t seed = 1, const tcp::StackConfig& config = small_stack(), bool v6 = false,
                   std::size_t buffers = 20'000)
      : now_(Instant::from_nanoseconds(1'000'000'000)),
        rng_(seed),
        packets(buffers),
        chains(packets, 256, 4 * buffers),
        a(1, config, chains, v6, now_),
        b(2, config, chains, v6, now_) {}

  [[nodiscard]] Instant now() const { return now_; }
  void set_faults(const LinkFaults& faults) { faults_ = faults; }
  void set_delay(Duration one_way) { delay_ = one_way; }

  /// Lets virtual time pass, in turns like a worker's, skipping stretches in which nothing is due.
  void run(Duration time) {
    run_until(now_ + time, [] { return false; });
  }
  /// The same until `done`; false when the time was over first.
  bool run_until(Instant end, const std::function<bool()>& done) {
    while (true) {
      turn(a, b);
      turn(b, a);
      if (done()) return true;
      if (now_ >= end) return false;
      Instant next = std::min({end, a.timers.next_expiry(), b.timers.next_expiry()});
      if (!flying_.empty()) next = std::min(next, flying_.begin()->first);
      now_ = std::max(next, now_ + Duration::microseconds(10));
    }
  }
  [[nodiscard]] std::uint64_t frames() const { return frames_; }

 private:
  struct Flying {
    TcpHost* to;
    nic::Packet packet;
  };

  void turn(TcpHost& host, TcpHost& peer) {
    for (auto it = flying_.begin(); it != flying_.end() && it->first <= now_;) {
      if (it->second.to != &host) {
        ++it;
        continue;
      }
      nic::Packet packet = std::move(it->second.packet);
      it = flying_.erase(it);
      auto received = host.ip.receive(std::move(packet), now_);
      if (auto* datagram = std::get_if<ip::Datagram>(&received)) host.tcp.on_datagram(std::move(*datagram), now_);
      if (auto* error = std::get_if<ip::TransportError>(&received)) host.tcp.on_transport_error(*error, now_);
    }
    host.tcp.deliver_events(now_);
    host.timers.advance(now_);
    host.tcp.flush(now_);
    const auto frames = host.ip.outgoing(0);
    for (nic::Packet& frame : frames) put(frame, peer);
    host.ip.outgoing_taken(0, frames.size());
  }

  void put(nic::Packet& frame, TcpHost& to) {
    ++frames_;
    if (rng_.chance(faults_.loss_per_mille, 1'000)) return;
    const int copies = rng_.chance(faults_.duplicate_per_mille, 1'000) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      nic::Packet copy = packets.allocate();
      if (!copy) return;
      copy.append(std::as_const(frame).bytes());
      const bool arp = copy.data()[12] == 0x08 && copy.data()[13] == 0x06;
      if (!arp && rng_.chance(faults_.corrupt_per_mille, 1'000))
        copy.data()[14 + rng_.below(static_cast<std::uint32_t>(copy.size() - 14))] ^= 0x10;
      Duration delay = delay_;
      if (rng_.chance(faults_.reorder_per_mille, 1'000))
        delay = delay + Duration::nanoseconds(rng_.below(static_cast<std::uint32_t>(4 * delay_.to_nanoseconds())));
      flying_.emplace(now_ + delay, Flying{&to, std::move(copy)});
    }
  }

  Instant now_;
  Rng rng_;
  LinkFaults faults_;
  Duration delay_ = Duration::milliseconds(5);
  std::uint64_t frames_ = 0;

 public:
  nic::HeapPool packets;
  stream::ChainPool chains;
  TcpHost a;
  TcpHost b;

 private:
  std::multimap<Instant, Flying> flying_;
};

}  // namespace millrace::test
