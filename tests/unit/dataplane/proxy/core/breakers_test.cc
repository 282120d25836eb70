// What circuit breakers do to requests and connections; that limits are kept by several workers together is shown with two
// proxies on the same cells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using config::BreakerThresholds;
using report::BreakerResource;
using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

ProxyHarness::Change with(const std::function<void(BreakerThresholds&)>& change) {
  return [change](config::Listener&, config::Cluster& cluster, config::Route&) { change(cluster.breakers.thresholds[0]); };
}

/// Two workers of one gateway: what their clusters and endpoints count is shared.
struct TwoWorkers {
  explicit TwoWorkers(const ProxyHarness::Change& change)
      : first(change),
        second(
            [this, &change](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
              cluster.cell = first.current_cluster().cell;
              cluster.endpoints[0].cell = first.current_cluster().endpoints[0].cell;
              change(listener, cluster, route);
            },
            ProxyHarness::small_limits(), 1) {}

  [[nodiscard]] std::uint32_t taken(BreakerResource resource) {
    return first.current_cluster().cell->breakers.get()[0].of(resource).taken.load();
  }

  ProxyHarness first;
  ProxyHarness second;
};

TEST(Proxy_Breakers, RequestsBeyondTheLimitAreAnsweredWith503) {
  ProxyHarness proxy(with([](auto& limits) { limits.max_requests = 1; }));
  Client& first = proxy.connect();
  first.send(get("/1"));
  proxy.run();
  const std::string refused = proxy.exchange(get("/2"));
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(refused, HasSubstr("x-envoy-overloaded: true\r\n"));
  EXPECT_THAT(refused, EndsWith("reset reason: overflow"));
  EXPECT_EQ(proxy.log(), "503 UO upstream_reset_before_response_started{overflow} 0/81|");
  EXPECT_EQ(proxy.cluster().upstream_rq_pending_overflow.value(), 1u);
  proxy.origin().connection().send(ok("1"));
  proxy.run();
  EXPECT_THAT(first.received(), EndsWith("1"));
  proxy.origin().answer(ok("3"));
  EXPECT_THAT(proxy.exchange(get("/3")), EndsWith("3")) << "there is room again";
}

TEST(Proxy_Breakers, ARequestThatIsRefusedLeavesTheConnectionToOthers) {
  ProxyHarness proxy(with([](auto& limits) { limits.max_requests = 0; }));
  proxy.origin().answer(ok("never"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.origin().connections(), 1u) << "the connection waits for better times";
  proxy.reconfigure(with([](auto& limits) { limits.max_requests = 1; }));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("never"));
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_Breakers, PrioritiesHaveConnectionsAndLimitsOfTheirOwn) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.breakers.thresholds[0].max_requests = 0; });
  proxy.origin().answer(ok("good"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  proxy.reconfigure([](auto&, auto&, config::Route& route) {
    std::get<config::ForwardAction>(route.action).priority = config::RoutingPriority::kHigh;
  });
  EXPECT_THAT(proxy.exchange(get()), EndsWith("good"));
  EXPECT_EQ(proxy.origin().connections(), 2u);
  const auto& use = proxy.cluster().breakers;
  EXPECT_EQ(use[0].of(BreakerResource::kConnections).value(), 1);
  EXPECT_EQ(use[1].of(BreakerResource::kConnections).value(), 1);
}

TEST(Proxy_Breakers, ConnectionsToAnEndpointMayBeLimited) {
  ProxyHarness proxy(
      [](auto&, auto& cluster, auto&) { cluster.breakers.max_connections_per_endpoint = {1, config::kUnlimited}; });
  Client& first = proxy.connect();
  first.send(get("/1"));
  proxy.run();
  Client& second = proxy.connect();
  second.send(get("/2"));
  proxy.run();
  EXPECT_EQ(proxy.origin().connections(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_cx_overflow.value(), 1u);
  proxy.origin().connection().clear_received();
  proxy.origin().connection().send(ok("1"));
  proxy.run();
  EXPECT_THAT(proxy.origin().connection().received(), StartsWith("GET /2 "));
}

TEST(Proxy_Breakers, PoolsBeyondTheLimitAreNoUpstream) {
  ProxyHarness proxy(with([](auto& limits) { limits.max_connection_pools = 0; }));
  const std::string refused = proxy.exchange(get());
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(refused, EndsWith("no healthy upstream"));
  EXPECT_THAT(proxy.log(), StartsWith("503 UH no_healthy_upstream"));
  EXPECT_EQ(proxy.cluster().upstream_cx_pool_overflow.value(), 1u);
}

TEST(Proxy_Breakers, APoolHasAPlaceAsLongAsItHasAConnection) {
  ProxyHarness proxy(with([](auto& limits) { limits.max_connection_pools = 1; }));
  proxy.origin().answer(ok("good"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("good"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("good"));
  const auto& pools = proxy.cluster().breakers[0].of(BreakerResource::kConnectionPools);
  EXPECT_EQ(pools.value(), 1);
  proxy.origin().connection().close();
  proxy.run();
  EXPECT_EQ(pools.value(), 0);
}

TEST(Proxy_Breakers, WhatIsInProgressIsCountedOnceAndGivenBack) {
  ProxyHarness proxy;
  auto& use = proxy.cluster().breakers[0];
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_EQ(use.of(BreakerResource::kConnections).value(), 1);
  EXPECT_EQ(use.of(BreakerResource::kRequests).value(), 1);
  EXPECT_EQ(use.of(BreakerResource::kPendingRequests).value(), 0);
  client.reset();
  proxy.run();
  for (const auto resource : {BreakerResource::kConnections, BreakerResource::kRequests, BreakerResource::kConnectionPools})
    EXPECT_EQ(use.of(resource).value(), 0);
}

TEST(Proxy_Breakers, WithoutLimitsNothingIsShared) {
  TwoWorkers workers(with([](auto& limits) {
    limits = {.max_connections = config::kUnlimited,
              .max_pending_requests = config::kUnlimited,
              .max_requests = config::kUnlimited,
              .max_retries = config::kUnlimited,
              .retry_budget = {},
              .track_remaining = true};
  }));
  workers.first.origin().answer(ok("good"));
  EXPECT_THAT(workers.first.exchange(get()), EndsWith("good"));
  for (const auto resource : {BreakerResource::kConnections, BreakerResource::kPendingRequests, BreakerResource::kRequests})
    EXPECT_EQ(workers.taken(resource), 0u);
  EXPECT_EQ(workers.first.cluster().breakers[0].of(BreakerResource::kConnections).value(), 1);
}

TEST(Proxy_BreakersOfTwoWorkers, LimitRequestsTogether) {
  TwoWorkers workers(with([](auto& limits) { limits.max_requests = 1; }));
  workers.first.connect().send(get());
  workers.first.run();
  EXPECT_THAT(workers.second.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(workers.second.cluster().upstream_rq_pending_overflow.value(), 1u);
  workers.first.origin().connection().send(ok("done"));
  workers.first.run();
  workers.second.origin().answer(ok("good"));
  EXPECT_THAT(workers.second.exchange(get()), EndsWith("good"));
}

TEST(Proxy_BreakersOfTwoWorkers, LimitWaitingRequestsTogether) {
  TwoWorkers workers(with([](auto& limits) { limits.max_pending_requests = 1; }));
  workers.first.net.set_silent(ProxyHarness::kOrigin);
  workers.first.connect().send(get());
  workers.first.run();
  EXPECT_THAT(workers.second.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(workers.second.origin().connections(), 0u);
}

// As in Envoy: connections are not shared between workers, and a request must not wait for what never comes.
TEST(Proxy_BreakersOfTwoWorkers, LimitConnectionsTogetherButForTheFirstOfEach) {
  TwoWorkers workers(with([](auto& limits) { limits.max_connections = 1; }));
  workers.first.connect().send(get());
  workers.first.run();
  for (int i = 0; i < 3; ++i) workers.second.connect().send(get());
  workers.second.run();
  EXPECT_EQ(workers.second.origin().connections(), 1u);
  EXPECT_GE(workers.second.cluster().upstream_cx_overflow.value(), 1u);
  EXPECT_EQ(workers.taken(BreakerResource::kConnections), 2u);
}

TEST(TcpProxy_Breakers, LimitConnections) {
  Through it(
      [](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { cluster.breakers.thresholds[0].max_connections = 1; });
  Client& first = it->connect();
  it->run();
  Client& second = it->connect();
  it->run();
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(it->log(), "0 UO - 0/0|");
  EXPECT_EQ(it->cluster().upstream_cx_overflow.value(), 1u);
  first.close();
  it.origin().connection().close();
  it->run();
  Client& third = it->connect();
  third.send("x");
  it->run();
  EXPECT_EQ(it.origin().connection(1).received(), "x");
}

TEST(TcpProxy_Breakers, LimitConnectionsOnTheirWayAsWaitingRequests) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) {
    cluster.breakers.thresholds[0].max_pending_requests = 1;
  });
  it->net.set_silent(ProxyHarness::kOrigin);
  it->connect();
  it->run();
  Client& second = it->connect();
  it->run();
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(it->cluster().upstream_rq_pending_overflow.value(), 1u);
  EXPECT_EQ(it->cluster().breakers[0].of(BreakerResource::kConnections).value(), 1);
}

}  // namespace
}  // namespace millrace::proxy::test
