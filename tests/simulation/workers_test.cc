// Several workers behind ports of every kind: no connection is ever with a worker that does not own it, what ports and workers
// count agrees, and where the device steers by the same rule nothing goes from worker to worker, answers of origins included.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/simulation/gateway.h"
#include "tests/simulation/host.h"
#include "tests/simulation/http_program.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kClients = 400;
constexpr std::size_t kRequestsPerClient = 3;
constexpr std::uint16_t kOriginPort = 8'000;

IpPrefix address(bool v6, int network, int host) {
  const std::string text = v6 ? "2001:db8:" + std::to_string(network) + "::" + std::to_string(host) + "/64"
                              : "198.18." + std::to_string(network) + "." + std::to_string(host) + "/24";
  return *IpPrefix::parse(text);
}

HostConfig host_config(bool v6, int network) {
  return {.name = network == 0 ? "clients" : "origin",
          .mac = {{2, 0, 0, 0, 2, static_cast<std::uint8_t>(network)}},
          .addresses = {address(v6, network, 1)},
          .stack = small_stack(),
          .packets = 16'384};
}

using Setting = std::tuple<std::uint16_t, Spread, bool>;  // workers, spread, IPv6

class WorkersTest : public ::testing::TestWithParam<Setting> {
 protected:
  WorkersTest() {
    const LinkConfig link{.delay = Duration::microseconds(100)};
    network_.join(gateway_.port(0), clients_host_.port(), link, link);
    network_.join(gateway_.port(1), origin_host_.port(), link, link);
  }
  [[nodiscard]] static std::uint16_t workers() { return std::get<0>(GetParam()); }
  [[nodiscard]] static Spread spread() { return std::get<1>(GetParam()); }
  [[nodiscard]] static bool v6() { return std::get<2>(GetParam()); }

  [[nodiscard]] static GatewayConfig config() {
    GatewayConfig config;
    config.addresses = {address(v6(), 0, 2), address(v6(), 1, 2)};
    config.endpoints = {{address(v6(), 1, 1).address, kOriginPort}};
    config.packets = 16'384;
    config.workers = workers();
    config.spread = spread();
    return config;
  }

  // Opens a connection every millisecond; looks at all flows ten times in that time.
  void load() {
    const Instant start = network_.now();
    for (std::size_t i = 0; i < kClients; ++i) {
      std::vector<std::uint64_t> requests;
      for (std::size_t k = 0; k < kRequestsPerClient; ++k) {
        requests.push_back(table_.rows.size());
        table_.rows.push_back({.plan = {.response_bytes = 100 * (i % 40), .think = Duration::milliseconds(20)}});
      }
      clients_.push_back(std::make_unique<HttpClient>(clients_host_, table_, SocketAddress{address(v6(), 0, 2).address, 80},
                                                      requests, Duration(),
                                                      start + Duration::milliseconds(static_cast<std::int64_t>(i))));
    }
    while (!table_.over() && network_.now() < start + Duration::seconds(60)) {
      network_.run_for(Duration::milliseconds(50), [&] { return table_.over(); });
      gateway_.audit_ownership(table_.findings);
    }
  }
  void settle() {
    for (int i = 0; i < 60 && (network_.run_for(Duration::seconds(5)), !gateway_.clean()); ++i) {
    }
  }

  Network network_{1};
  Gateway gateway_{network_, config()};
  Host clients_host_{network_, host_config(v6(), 0)};
  Host origin_host_{network_, host_config(v6(), 1)};
  RequestTable table_;
  HttpOrigin origin_{origin_host_, table_, kOriginPort};
  std::vector<std::unique_ptr<HttpClient>> clients_;
};

TEST_P(WorkersTest, EveryConnectionIsItsOwnersAloneAndCountersAddUp) {
  load();
  settle();
  table_.judge();
  gateway_.audit_leaks(table_.findings);
  gateway_.audit_counters(table_.findings);
  EXPECT_TRUE(table_.findings.empty()) << table_.findings.render();
  EXPECT_EQ(table_.count(RequestTable::Result::kAnswered), kClients * kRequestsPerClient);

  // A segment at the wrong worker would have been answered with RST.
  EXPECT_EQ(gateway_.published("tcp.resets_sent"), 0);
  EXPECT_EQ(gateway_.published("tcp.drop_no_connection"), 0);
  EXPECT_EQ(gateway_.published("io.hand_over_dropped"), 0);
  EXPECT_EQ(gateway_.published("tcp.passive_opens"), static_cast<std::int64_t>(kClients));

  const std::int64_t fair = static_cast<std::int64_t>(kClients) / workers();
  for (std::size_t worker = 0; worker < workers(); ++worker) {
    EXPECT_GT(gateway_.published(worker, "tcp.passive_opens"), fair / 2) << "worker " << worker;
    EXPECT_GT(gateway_.published(worker, "tcp.active_opens"), 0) << "worker " << worker;
    EXPECT_GT(gateway_.published(worker, "ip.neighbours"), 0) << "worker " << worker;
  }
  const std::int64_t taken_over = gateway_.published("io.taken_over");
  if (spread() == Spread::kByOwner) {
    EXPECT_EQ(taken_over, 0) << "the device brought every packet to its owner";
  } else {
    EXPECT_GT(taken_over, 0);
  }
}

// An oracle that never complains proves nothing.
TEST(WorkersOracle, FindsAFlowThatIsWithTheWrongWorker) {
  Network network(1);
  GatewayConfig config;
  config.addresses = {address(false, 0, 2), address(false, 1, 2)};
  config.endpoints = {{address(false, 1, 1).address, kOriginPort}};
  config.workers = 2;
  config.mistaken_owner = true;
  Gateway gateway(network, config);
  Host clients_host(network, host_config(false, 0));
  Host origin_host(network, host_config(false, 1));
  network.join(gateway.port(0), clients_host.port(), {}, {});
  network.join(gateway.port(1), origin_host.port(), {}, {});
  RequestTable table;
  table.may_break = true;
  HttpOrigin origin(origin_host, table, kOriginPort);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (std::uint64_t i = 0; i < 20; ++i) {
    table.rows.push_back({.plan = {.response_bytes = 100}});
    clients.push_back(std::make_unique<HttpClient>(clients_host, table, SocketAddress{address(false, 0, 2).address, 80},
                                                   std::vector<std::uint64_t>{i}, Duration(), network.now()));
  }
  network.run_for(Duration::seconds(2));
  gateway.audit_ownership(table.findings);
  EXPECT_TRUE(table.findings.mention("is with worker 1")) << table.findings.render();
}

std::string name_of(const ::testing::TestParamInfo<Setting>& setting) {
  const auto& [workers, spread, v6] = setting.param;
  const char* kind = spread == Spread::kOneQueue ? "OneQueue" : spread == Spread::kByOwner ? "ByOwner" : "AnotherRule";
  return std::to_string(workers) + kind + (v6 ? "Ipv6" : "Ipv4");
}

INSTANTIATE_TEST_SUITE_P(All, WorkersTest,
                         ::testing::Combine(::testing::Values(2, 4, 8),
                                            ::testing::Values(Spread::kOneQueue, Spread::kByOwner, Spread::kAnotherRule),
                                            ::testing::Bool()),
                         name_of);

}  // namespace
}  // namespace millrace::sim
