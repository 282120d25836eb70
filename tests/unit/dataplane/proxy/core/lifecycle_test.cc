// Pools over time, draining, new configurations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Proxy_Pool, AnOriginThatClosesAnIdleConnectionCostsNoRequest) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.origin().connection().end();
  proxy.run();
  EXPECT_EQ(proxy.proxy->counts().upstream_connections, 0u);
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(proxy.cluster().upstream_cx_destroy_remote.value(), 1u);
  EXPECT_EQ(proxy.origin().connections(), 2u);
}

TEST(Proxy_Pool, AnEndSeenInTheSameTurnAsTheRequestIsHeeded) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.clear_received();
  client.send(get());
  proxy.origin().connection().end();
  proxy.run();  // both events come before end_of_turn()
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(proxy.origin().connections(), 2u);
}

TEST(Proxy_Pool, AResetOfAnIdleConnectionIsHeeded) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 200"));
}

TEST(Proxy_Pool, BytesThatNobodyAskedForEndAnIdleConnection) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.origin().connection().send("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
  proxy.run();
  EXPECT_EQ(proxy.proxy->counts().upstream_connections, 0u);
  EXPECT_EQ(proxy.cluster().upstream_cx_protocol_error.value(), 1u);
}

TEST(Proxy_Pool, TakesTheConnectionThatWasUsedLast) {
  ProxyHarness proxy;
  Client& first = proxy.connect();
  Client& second = proxy.connect();
  first.send(get());
  second.send(get());
  proxy.run();
  ASSERT_EQ(proxy.origin().connections(), 2u);
  for (const std::size_t last : {0u, 1u}) {
    proxy.origin().connection(1 - last).send(ok("x"));
    proxy.run();
    proxy.origin().connection(last).send(ok("x"));
    proxy.run();
    for (std::size_t i = 0; i < 2; ++i) proxy.origin().connection(i).clear_received();
    first.send(get("/again"));
    proxy.run();
    EXPECT_THAT(proxy.origin().connection(last).received(), StartsWith("GET /again"));
    second.send(get("/other"));
    proxy.run();
  }
}

TEST(Proxy_Drain, IdleConnectionsCloseAtOnce) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_FALSE(proxy.proxy->idle());
  proxy.proxy->start_drain(proxy.now);
  proxy.run();
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(proxy.proxy->idle());
  EXPECT_EQ(proxy.http().downstream_cx_drain_close.value(), 1u);
}

TEST(Proxy_Drain, RequestsInProgressFinishAndSayClose) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.proxy->start_drain(proxy.now);
  proxy.run();
  EXPECT_FALSE(client.ended());
  EXPECT_FALSE(proxy.proxy->idle());
  proxy.origin().connection().send(ok("done"));
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("connection: close\r\n"));
  EXPECT_THAT(client.received(), EndsWith("done"));
  EXPECT_TRUE(client.ended());
  client.close();
  proxy.run();
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(Proxy_Drain, ANewConnectionIsServedOnce) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.proxy->start_drain(proxy.now);
  Client& client = proxy.connect();
  proxy.run();
  EXPECT_FALSE(client.ended());
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client.ended());
}

TEST(Proxy_Drain, ForceCloseEndsEverythingAndLogsIt) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
  EXPECT_TRUE(client.was_reset());
  EXPECT_TRUE(proxy.proxy->idle());
  EXPECT_EQ(proxy.proxy->counts().upstream_connections, 0u);
  EXPECT_EQ(proxy.log(), "0 DC downstream_local_disconnect 0/0|");
}

TEST(Proxy_Reconfiguration, AnUnchangedClusterKeepsItsConnections) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.reconfigure([](auto&, auto& cluster, auto&) { cluster.connect_timeout = Duration::seconds(1); });
  proxy.exchange(get());
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_Reconfiguration, AnEndpointThatIsGoneLosesItsIdleConnections) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  const auto cell = proxy.current_cluster().endpoints[0];
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].cell = std::make_shared<report::EndpointCell>(1, 1);
    cluster.endpoints[0].address.port = 8081;
  });
  EXPECT_EQ(cell.cell->per_worker[0].cx_active.value(), 0);
  EXPECT_TRUE(proxy.origin().connection().ended());
  Origin other(proxy.chains, proxy.now);
  other.answer(ok("other"));
  proxy.net.listen({ProxyHarness::kOrigin.ip, 8081}, other);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("other"));
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
}

TEST(Proxy_Reconfiguration, ARequestInProgressKeepsTheConfigurationItBeganWith) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  for (int i = 0; i < 3; ++i) {
    proxy.reconfigure([i](auto& listener, auto&, config::Route& route) {
      listener.content_hash = 100u + static_cast<unsigned>(i);
      route.action = config::DirectResponse{.status = 200, .body = "new"};
    });
  }
  EXPECT_FALSE(client.ended());
  proxy.origin().connection().send(ok("old"));
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("old"));
  EXPECT_THAT(client.received(), HasSubstr("connection: close\r\n"));  // its listener has changed
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(proxy.exchange(get()), EndsWith("new"));
}

TEST(Proxy_Reconfiguration, NewRoutesAloneServeTheConnectionsThatAreThere) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("old"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.reconfigure(
      [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = "new"}; });
  client.clear_received();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("new"));
  EXPECT_THAT(client.received(), Not(HasSubstr("connection: close")));
}

TEST(Proxy_Reconfiguration, AChangedListenerServesItsIdleConnectionsOnceMore) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.reconfigure([](auto& listener, auto&, auto&) { listener.content_hash = 2; });
  EXPECT_FALSE(client.ended()) << "a request may be on its way";
  client.clear_received();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(client.received(), HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client.ended());
}

// The request is still arriving, so its stream is not over; what is left of the answer waits for a client that does not read.
TEST(Proxy_Lifecycle, AnAnswerThatNobodyTakesEndsWithItsTimeWhileTheRequestArrives) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = pattern(400'000)}; });
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nonly so much");
  proxy.run();
  EXPECT_EQ(proxy.http().downstream_cx_active.value(), 1);
  proxy.advance(Duration::seconds(2));
  EXPECT_TRUE(client.was_reset());
  EXPECT_EQ(proxy.http().downstream_cx_active.value(), 0);
}

}  // namespace
}  // namespace millrace::proxy::test
