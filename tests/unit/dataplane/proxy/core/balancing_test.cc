// Which endpoint a request meets: by its hash, by health that changes while it runs, in panic.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "config/compile/hash_table.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t kEndpoints = 4;

SocketAddress address_of(std::size_t endpoint) {
  return {IpAddress::v4(198, 18, 1, static_cast<std::uint8_t>(endpoint + 1)), 8080};
}

/// A cluster of several endpoints, each of which answers with its number.
struct SeveralEndpoints : ::testing::Test {
  void start(const ProxyHarness::Change& change) {
    proxy.emplace([&](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
      for (std::size_t i = 1; i < kEndpoints; ++i) {
        config::Endpoint next = cluster.endpoints[0];
        next.address = address_of(i);
        next.cell = std::make_shared<report::EndpointCell>(static_cast<std::uint32_t>(i), 1);
        cluster.endpoints.push_back(next);
      }
      change(listener, cluster, route);
    });
    proxy->origin().answer(ok("0"));
    for (std::size_t i = 1; i < kEndpoints; ++i) {
      others_.push_back(std::make_unique<Origin>(proxy->chains, proxy->now));
      others_.back()->answer(ok(std::to_string(i)));
      proxy->net.listen(address_of(i), *others_.back());
    }
  }
  void TearDown() override {
    proxy->proxy->force_close_all(proxy->now);
    proxy->run();
    for (std::size_t i = 1; i < kEndpoints; ++i) proxy->net.close_listener(address_of(i));
    others_.clear();
    proxy.reset();
  }
  std::string meet(std::string_view path = "/", std::string_view fields = "") {
    return body_of(proxy->exchange(get(path, fields)));
  }
  void set_fault(std::size_t endpoint, bool present) {
    const config::Cluster& cluster = proxy->current_cluster();
    cluster.endpoints[endpoint].cell->set(report::EndpointFault::kEjected, present, *cluster.cell);
  }

  std::optional<ProxyHarness> proxy;
  std::vector<std::unique_ptr<Origin>> others_;
};

ProxyHarness::Change hashed(config::HashPolicy policy) {
  return [policy = std::move(policy)](config::Listener&, config::Cluster& cluster, config::Route& route) {
    cluster.load_balancing = config::LoadBalancing::kRingHash;
    std::vector<std::string> keys;
    for (const config::Endpoint& endpoint : cluster.endpoints) keys.push_back(endpoint.address.to_string());
    cluster.hash_tables.push_back(std::make_shared<config::HashTable>(
        config::build_ring(config::host_shares(cluster, std::vector<std::uint32_t>{0, 1, 2, 3}), keys, {})));
    std::get<config::ForwardAction>(route.action).hash_policies = {policy};
  };
}

using Balancing = SeveralEndpoints;

TEST_F(Balancing, EndpointsTakeTurns) {
  start([](auto&&...) {});
  std::map<std::string, int> met;
  for (int i = 0; i < 40; ++i) ++met[meet()];
  EXPECT_EQ(met.size(), kEndpoints);
  for (const auto& [endpoint, count] : met) EXPECT_EQ(count, 10) << endpoint;
  EXPECT_EQ(proxy->current_cluster().cell->membership_change.value(), 1u);
}

TEST_F(Balancing, AClusterIsMadeByItsFirstRequest) {
  start([](auto&&...) {});
  const report::ClusterCell& cell = *proxy->current_cluster().cell;
  EXPECT_EQ(cell.membership_change.value(), 1u);
  EXPECT_FALSE(cell.breakers.is_made());
  meet();
  EXPECT_TRUE(cell.breakers.is_made());
}

TEST_F(Balancing, AClusterWithOutlierDetectionIsMadeAtOnce) {
  start([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.outlier_detection.emplace(); });
  EXPECT_TRUE(proxy->current_cluster().cell->breakers.is_made());
}

TEST_F(Balancing, AnEjectedEndpointIsLeftAloneFromTheNextRequestOn) {
  start([](auto&&...) {});
  set_fault(2, true);
  for (int i = 0; i < 20; ++i) EXPECT_NE(meet(), "2");
  set_fault(2, false);
  std::map<std::string, int> met;
  for (int i = 0; i < 8; ++i) ++met[meet()];
  EXPECT_EQ(met["2"], 2);
}

TEST_F(Balancing, PanicIsCounted) {
  start([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.balancing.panic_threshold = 50; });
  for (std::size_t i = 0; i < 3; ++i) set_fault(i, true);
  std::map<std::string, int> met;
  for (int i = 0; i < 8; ++i) ++met[meet()];
  EXPECT_EQ(met.size(), kEndpoints);
  EXPECT_EQ(proxy->cluster().lb_healthy_panic.value(), 8u);
}

/// Endpoints 0 and 1 are in zone "a", 2 and 3 in "b".
ProxyHarness::Change zoned() {
  return [](config::Listener&, config::Cluster& cluster, config::Route&) {
    cluster.balancing.zone_aware.min_cluster_size = 1;
    for (const char* zone : {"a", "b"}) cluster.localities.push_back({{.region = {}, .zone = zone, .sub_zone = {}}, 0, 0});
    for (std::uint32_t i = 0; i < kEndpoints; ++i) cluster.endpoints[i].locality = i / 2;
  };
}

/// As many gateways in zone "a", and as many in "b".
std::shared_ptr<config::Cluster> gateways(std::shared_ptr<report::ClusterCell> cell, std::size_t a, std::size_t b) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = cell->name;
  cluster->cell = std::move(cell);
  for (const char* zone : {"a", "b"}) cluster->localities.push_back({{.region = {}, .zone = zone, .sub_zone = {}}, 0, 0});
  for (std::uint32_t i = 0; i < a + b; ++i) {
    cluster->endpoints.push_back({.address = address_of(100 + i),
                                  .locality = i < a ? 0u : 1u,
                                  .cell = std::make_shared<report::EndpointCell>(100 + i, 1)});
  }
  return cluster;
}

TEST_F(Balancing, RequestsStayInTheZoneAsTheLocalClusterAllows) {
  start(zoned());
  const auto met = [&] {
    std::map<std::string, int> counts;
    for (int i = 0; i < 40; ++i) ++counts[meet()];
    return counts["0"] + counts["1"];
  };
  EXPECT_EQ(met(), 20) << "there is no local cluster";
  const auto cell = std::make_shared<report::ClusterCell>(1, "gateways", 1);
  const auto even = gateways(cell, 2, 2);
  proxy->set_local_cluster(even, "a");
  EXPECT_EQ(met(), 40);
  EXPECT_EQ(proxy->cluster().lb_zone_routing_all_directly.value(), 40u);
  even->endpoints[2].cell->set(report::EndpointFault::kEjected, true, *cell);
  EXPECT_NEAR(met(), 30, 7) << "two thirds of the gateways, half of the endpoints";
  proxy->set_local_cluster(gateways(cell, 1, 3), "a");
  EXPECT_EQ(met(), 40) << "it has changed, and a quarter of the gateways is here";
  set_fault(0, true);
  set_fault(1, true);
  EXPECT_EQ(met(), 0) << "nobody is healthy here";
  EXPECT_EQ(proxy->cluster().lb_recalculate_zone_structures.value(), 4u) << "for each change of either, once";
}

TEST_F(Balancing, TheLocalClusterItselfHasNoZones) {
  start(zoned());
  const auto cell = std::make_shared<report::ClusterCell>(1, "gateways", 1);
  proxy->set_local_cluster(gateways(cell, 6, 6), "a");
  proxy->reconfigure(
      [](config::Listener&, config::Cluster&, config::Route& route) { action_of(route).clusters[0].name = "gateways"; });
  static_cast<void>(meet());
  EXPECT_EQ(cell->per_worker[0].lb_recalculate_zone_structures.value(), 0u);
  EXPECT_EQ(cell->per_worker[0].lb_zone_routing_all_directly.value(), 0u);
}

TEST(Proxy_DropOverload, APartOfTheRequestsIsAnsweredWith503) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route&) {
    cluster.balancing.drop_overload_per_million = 250'000;
    listener.chains[0].http()->access_logs.clear();
  });
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  for (int i = 0; i < 1'000; ++i) {
    client.send(get());
    proxy.run();
  }
  const auto dropped = proxy.cluster().upstream_rq_drop_overload.value();
  EXPECT_NEAR(static_cast<double>(dropped), 250.0, 50.0);
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 1'000 - dropped);
}

TEST(Proxy_DropOverload, TheAnswerSaysWhy) {
  const auto drop_all = [](auto&, config::Cluster& cluster, auto&) { cluster.balancing.drop_overload_per_million = 1'000'000; };
  ProxyHarness proxy(drop_all);
  const std::string answer = proxy.exchange(get());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("x-envoy-drop-overload: true\r\n"));
  EXPECT_THAT(answer, EndsWith("drop overload"));
  EXPECT_THAT(proxy.log(), StartsWith("503 DO drop_overload "));
  proxy.reconfigure([](config::Listener& listener, auto&, auto&) {
    listener.chains[0].http()->suppress_envoy_headers = true;
    listener.content_hash = 2;
  });
  EXPECT_THAT(proxy.exchange(get()), Not(HasSubstr("x-envoy-drop-overload")));
}

TEST_F(Balancing, AHeaderKeepsItsEndpoint) {
  start(hashed({.source = config::HashPolicy::Source::kHeader, .name = "x-user", .rewrite = {}, .cookie_attributes = {}}));
  std::map<std::string, int> met;
  for (int user = 0; user < 20; ++user) {
    const std::string field = "x-user: " + std::to_string(user) + "\r\n";
    const std::string first = meet("/", field);
    ++met[first];
    for (int i = 0; i < 3; ++i) EXPECT_EQ(meet("/", field), first);
  }
  EXPECT_EQ(met.size(), kEndpoints);
}

TEST_F(Balancing, AClientWithoutACookieGetsOne) {
  start(hashed({.source = config::HashPolicy::Source::kCookie,
                .name = "user",
                .rewrite = {},
                .cookie_attributes = "; Max-Age=60; HttpOnly"}));
  const std::string answer = proxy->exchange(get());
  const std::size_t at = answer.find("set-cookie: user=\"");
  ASSERT_NE(at, std::string::npos) << answer;
  const std::string cookie = answer.substr(at + 12, answer.find(';', at) - at - 12);
  EXPECT_THAT(answer, HasSubstr("; Max-Age=60; HttpOnly\r\n"));
  for (int i = 0; i < 5; ++i) {
    const std::string again = proxy->exchange(get("/", "cookie: " + cookie + "\r\n"));
    EXPECT_EQ(body_of(again), body_of(answer));
    EXPECT_THAT(again, Not(HasSubstr("set-cookie")));
  }
}

}  // namespace
}  // namespace millrace::proxy::test
