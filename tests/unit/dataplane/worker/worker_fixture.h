// A whole worker between a client and an origin, in virtual time: frames in, frames out.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "dataplane/worker/worker.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/heap_trap.h"
#include "tests/support/proxy_snapshot.h"
#include "tests/support/scripted_http.h"
#include "tests/support/slab_pool.h"

namespace millrace::worker {

inline constexpr IpAddress kGateway = IpAddress::v4(198, 18, 0, 2);
inline constexpr IpAddress kHost = IpAddress::v4(198, 18, 0, 1);
inline const std::string kResponse = "HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + std::string(64, 'b');

inline std::shared_ptr<config::Snapshot> proxy_snapshot(std::uint64_t version = 1) {
  return test::make_snapshot({.listener = {kGateway, 80}, .endpoints = {{kHost, 8000}}, .version = version});
}

// The worker as a node of the simulated network; what its turns take from the heap can be counted.
class WorkerNode final : public sim::Node {
 public:
  bool turn(Instant now) override {
    bool busy = false;
    if (trapped) {
      const test::HeapTrap trap;
      busy = worker->turn(now);
    } else {
      busy = worker->turn(now);
    }
    report->log.drain(
        [this](std::uint32_t, std::string_view first, std::string_view second) { log.append(first).append(second); });
    return busy;
  }
  [[nodiscard]] Instant next_due() const override { return worker->next_due(); }

  Worker* worker = nullptr;
  report::WorkerReport* report = nullptr;
  std::string log;
  bool trapped = false;
};

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    node_.worker = &worker_;
    node_.report = &report_;
    const sim::LinkConfig link{.delay = Duration::microseconds(50)};
    network_.join(gateway_port_, host_.port(), link, link);
    slot_.publish(snapshot_);
  }
  ~WorkerTest() override { worker_.stop(now()); }

  WorkerConfig config() {
    WorkerConfig config;
    config.ports = {{.port = &gateway_port_}};
    config.interfaces = {{.mac = gateway_port_.info().mac, .mtu = 1500, .addresses = {{kGateway, 24}}}};
    config.seed = 42;
    config.kernel = &kernel_;
    return config;
  }
  sim::HostConfig host_config() {
    return {
        .name = "host", .mac = *MacAddress::parse("02:00:00:00:00:01"), .addresses = {{kHost, 24}}, .stack = sim::small_stack()};
  }

  [[nodiscard]] Instant now() const { return network_.now(); }
  void step() { network_.run_for(Duration::microseconds(50)); }
  template <typename Condition>
  bool run_until(Condition condition, Duration time = Duration::seconds(2)) {
    // In slices: each begins with a turn, as a thread that sleeps wakes up now and then.
    const Instant end = now() + time;
    while (now() < end) {
      if (network_.run_for(Duration::milliseconds(10), condition)) return true;
    }
    return false;
  }

  test::FakeKernel kernel_;
  sim::Network network_{1};
  test::SlabPool gateway_packets_{4096};
  WorkerNode node_;
  sim::Port gateway_port_{(network_.add(node_), network_),
                          node_,
                          gateway_packets_,
                          "gateway",
                          *MacAddress::parse("02:00:00:00:00:02"),
                          std::uint16_t{1'500},
                          std::uint8_t{0}};
  std::shared_ptr<config::Snapshot> snapshot_ = proxy_snapshot();
  config::SnapshotSlot slot_;
  Control control_;
  report::WorkerReport report_{0, 1 << 20};
  Worker worker_{config(), gateway_packets_, slot_, control_, report_, now()};
  sim::Host host_{network_, host_config()};
  test::ScriptedOrigin origin_{host_, {kHost, 8000}, kResponse};
  test::ScriptedClient client_{host_, "GET /path HTTP/1.1\r\nHost: example.org\r\nUser-Agent: sim\r\n\r\n", 64};
};

}  // namespace millrace::worker
