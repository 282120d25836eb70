// Two stacks on one simulated link (tests/simulation/network.h), for tests of TCP: both share a packet pool, so that chains may
// go from one to the other.
#pragma once

#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <variant>

#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "nic/heap_pool.h"
#include "tests/simulation/host.h"
#include "tests/simulation/network.h"

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
  std::uint32_t corrupt_per_mille = 0;  ///< as sim::Link::corrupt()
};

/// One of the two.
class TcpHost final : public sim::Node {
 public:
  TcpHost(std::uint8_t number, const tcp::StackConfig& config, stream::ChainPool& chains, bool v6, sim::Network& network)
      : timers(network.now()),
        rng(number),
        address_(v6 ? *IpAddress::parse("2001:db8::" + std::to_string(number)) : IpAddress::v4(10, 0, 0, number)),
        interface_{
            .mac = {{2, 0, 0, 0, 0, number}}, .mtu = 1500, .addresses = {{address_, static_cast<std::uint8_t>(v6 ? 64 : 24)}}},
        ip({&interface_, 1}, {}, timers, chains.packets(), rng, network.now()),
        tcp(ip, timers, chains, rng, config),
        port((network.add(*this), network), *this, chains.packets(), number == 1 ? "a" : "b", interface_.mac, interface_.mtu, 0) {
  }

  [[nodiscard]] const IpAddress& address() const { return address_; }
  [[nodiscard]] Instant next_due() const override { return timers.next_expiry(); }

  bool turn(Instant now) override {
    std::array<nic::Packet, 64> burst;
    const std::size_t count = port.receive(0, burst);
    for (std::size_t i = 0; i < count; ++i) {
      auto received = ip.receive(std::move(burst[i]), now);
      if (auto* datagram = std::get_if<ip::Datagram>(&received)) tcp.on_datagram(std::move(*datagram), now);
      if (auto* error = std::get_if<ip::TransportError>(&received)) tcp.on_transport_error(*error, now);
    }
    tcp.deliver_events(now);
    timers.advance(now);
    tcp.flush(now);
    const auto frames = ip.outgoing(0);
    ip.outgoing_taken(0, port.transmit(0, frames));
    return count == burst.size();
  }

  TimerWheel timers;
  Rng rng;

 private:
  IpAddress address_;
  ip::InterfaceConfig interface_;

 public:
  ip::IpLayer ip;
  tcp::Stack tcp;
  sim::Port port;
};

/// The tests' stacks: small pools, everything else as in the gateway.
inline tcp::StackConfig small_stack(std::uint8_t secret = 1) {
  tcp::StackConfig config = sim::small_stack();
  config.secret.fill(secret);
  return config;
}

class TcpLink {
 public:
  explicit TcpLink(std::uint64_t seed = 1, const tcp::StackConfig& config = small_stack(), bool v6 = false,
                   std::size_t buffers = 20'000)
      : network_(seed),
        packets(buffers),
        chains(packets, 256, 4 * buffers),
        a(1, config, chains, v6, network_),
        b(2, config, chains, v6, network_) {
    network_.join(a.port, b.port, link_, link_);
  }

  [[nodiscard]] Instant now() const { return network_.now(); }
  void set_faults(const LinkFaults& faults) {
    link_.loss_ppm = 1'000 * faults.loss_per_mille;
    link_.duplicate_ppm = 1'000 * faults.duplicate_per_mille;
    link_.reorder_ppm = 1'000 * faults.reorder_per_mille;
    link_.corrupt_ppm = 1'000 * faults.corrupt_per_mille;
    configure();
  }
  void set_delay(Duration one_way) {
    link_.delay = one_way;
    configure();
  }

  void run(Duration time) { network_.run_for(time); }
  /// The same until `done`; false when the time was over first.
  bool run_until(Instant end, const std::function<bool()>& done) { return network_.run_until(end, done); }
  [[nodiscard]] std::uint64_t frames() const { return network_.frames(); }

 private:
  void configure() {
    link_.reorder_delay = link_.delay * 4;
    a.port.link().configure(link_);
    b.port.link().configure(link_);
  }

  sim::LinkConfig link_{.delay = Duration::milliseconds(5)};
  sim::Network network_;

 public:
  nic::HeapPool packets;
  stream::ChainPool chains;
  TcpHost a;
  TcpHost b;
};

}  // namespace millrace::test
