// Requests and connections to an aggregate: which of its members serves them, and what is counted where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr SocketAddress kSecond{IpAddress::v4(198, 18, 1, 2), 8080};

/// A route to the aggregate "both", whose members are "origin" and "second".
struct Aggregate {
  explicit Aggregate(const ProxyHarness::Change& change = {})
      : proxy([&](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
          action_of(route).clusters[0].name = "both";
          listener.chains[0].http()->access_logs[0].format =
              *config::compile_format("%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n");
          if (change) change(listener, cluster, route);
        }),
        second(proxy.chains, proxy.now),
        second_stats(proxy.add_cluster("second", kSecond)),
        stats(proxy.add_aggregate("both", {"origin", "second"})) {
    proxy.origin().answer(ok("first"));
    second.answer(ok("second"));
    proxy.net.listen(kSecond, second);
  }
  ~Aggregate() {
    proxy.proxy->force_close_all(proxy.now);
    proxy.run();
  }
  Aggregate(const Aggregate&) = delete;
  Aggregate& operator=(const Aggregate&) = delete;

  void set_fault(bool present) {
    const config::Cluster& origin = proxy.current_cluster();
    origin.endpoints[0].cell->set(report::EndpointFault::kFailedHealthCheck, present, *origin.cell);
  }

  ProxyHarness proxy;
  Origin second;
  report::ClusterStats& second_stats;
  report::ClusterStats& stats;
};

TEST(Proxy_Aggregate, TheFirstMemberServesAndCounts) {
  Aggregate setup;
  for (int i = 0; i < 5; ++i) EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_total.value(), 5u);
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_2xx.value(), 5u);
  EXPECT_EQ(setup.stats.upstream_rq_total.value(), 0u);
  EXPECT_EQ(setup.stats.upstream_cx_total.value(), 0u);
  EXPECT_THAT(setup.proxy.log(), StartsWith("200 - both 1|"));
}

TEST(Proxy_Aggregate, TheNextServesWhileTheFirstIsNotHealthy) {
  Aggregate setup;
  setup.set_fault(true);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("second"));
  EXPECT_EQ(setup.second_stats.upstream_rq_total.value(), 1u);
  setup.set_fault(false);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
}

TEST(Proxy_Aggregate, FollowsTheEndpointsOfItsMembers) {
  Aggregate setup;
  const auto set_healthy = [&](bool healthy) {
    setup.proxy.reconfigure(
        [&](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.endpoints[0].healthy = healthy; });
  };
  set_healthy(false);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("second"));
  set_healthy(true);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
  std::vector<config::Endpoint> endpoints;
  const auto swap_endpoints = [&](config::Listener&, config::Cluster& cluster, config::Route&) {
    std::swap(cluster.endpoints, endpoints);
  };
  setup.proxy.reconfigure(swap_endpoints);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("second")) << "the first member has no endpoints";
  setup.proxy.reconfigure(swap_endpoints);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
}

TEST(Proxy_Aggregate, WithoutAnybodyItIs503) {
  Aggregate setup;
  setup.set_fault(true);
  setup.proxy.remove_last_cluster();
  setup.proxy.add_aggregate("both", {"origin"});
  EXPECT_THAT(setup.proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(setup.proxy.log(), "503 UH both 0|");
}

TEST(Proxy_Aggregate, InPanicTheMemberDecides) {
  Aggregate setup([](auto&, config::Cluster& cluster, auto&) { cluster.balancing.panic_threshold = 50; });
  setup.proxy.remove_last_cluster();
  setup.proxy.add_aggregate("both", {"origin"});
  setup.set_fault(true);
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
  EXPECT_EQ(setup.proxy.cluster().lb_healthy_panic.value(), 1u);
}

TEST(Proxy_Aggregate, GoneItLeavesItsMembers) {
  Aggregate setup;
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
  setup.proxy.remove_last_cluster();
  EXPECT_THAT(setup.proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  setup.proxy.reconfigure([](auto&, auto&, config::Route& route) { action_of(route).clusters[0].name = "origin"; });
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("first"));
}

TEST(Proxy_Aggregate, TheCircuitBreakersAreTheMembers) {
  Aggregate setup([](auto&, config::Cluster& cluster, auto&) { cluster.breakers.thresholds[0].max_requests = 0; });
  EXPECT_THAT(setup.proxy.exchange(get()), EndsWith("reset reason: overflow"));
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_pending_overflow.value(), 1u);
  EXPECT_EQ(setup.stats.upstream_rq_pending_overflow.value(), 0u);
}

TEST(Proxy_Aggregate, ARetryGoesToTheNextMemberWithPreviousPriorities) {
  Aggregate setup([](auto&, auto&, config::Route& route) {
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::kConnectFailure);
    policy->priority_update_frequency = 1;
    action_of(route).retry = policy;
  });
  setup.proxy.net.close_listener(ProxyHarness::kOrigin);
  Client& client = setup.proxy.connect();
  client.send(get());
  setup.proxy.advance(Duration::seconds(1));
  EXPECT_THAT(client.received(), EndsWith("second"));
  EXPECT_EQ(setup.stats.upstream_rq_retry.value(), 1u) << "of a request to the aggregate";
  EXPECT_EQ(setup.proxy.log(), "200 - both 2|");
}

TEST(Proxy_Aggregate, ItsOwnLimitOfRetriesHolds) {
  Aggregate setup([](auto&, config::Cluster& cluster, config::Route& route) {
    cluster.breakers.thresholds[0].max_retries = 0;
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    action_of(route).retry = policy;
  });
  setup.proxy.origin().answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
  Client& client = setup.proxy.connect();
  client.send(get());
  setup.proxy.advance(Duration::seconds(1));
  EXPECT_EQ(setup.stats.upstream_rq_retry.value(), 1u) << "the member allows none";
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_retry_overflow.value(), 0u);
}

TEST(Proxy_Aggregate, ConnectionsArePassedThroughToIt) {
  Through it([](config::TcpProxy& tcp, auto&, auto&) { tcp.clusters[0].name = "both"; });
  report::ClusterStats& stats = it->add_aggregate("both", {"origin"});
  Client& client = it->connect();
  client.send("ping");
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it.origin().connection().received(), "ping");
  EXPECT_EQ(it->cluster().upstream_cx_total.value(), 1u);
  EXPECT_EQ(it->cluster().upstream_cx_tx_bytes_total.value(), 4u);
  EXPECT_EQ(stats.upstream_cx_total.value(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
