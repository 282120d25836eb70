// Connections that are passed through as bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/compile/filter_chain_table.h"
#include "tests/support/hello_bytes.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using ::testing::HasSubstr;

TEST(TcpProxy, AClientMayGoInTheTurnInWhichTheConnectTimeoutFires) {
  Through it(
      [](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { cluster.connect_timeout = Duration::seconds(1); });
  it->net.set_silent(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->run();
  client.reset();
  it->net.run(it->now);  // told, but not served yet
  it->now = it->now + Duration::seconds(2);
  it->timers.advance(it->now);
  it->run();
  EXPECT_EQ(it->proxy->counts().upstream_connections, 0u);
}

TEST(TcpProxy, PassesBytesBothWaysAndCountsThem) {
  Through it;
  Client& client = it->connect();
  client.send("ping");
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it.origin().connection().received(), "ping");
  it.origin().connection().send("pong!");
  it->run();
  EXPECT_EQ(client.received(), "pong!");
  EXPECT_EQ(it->proxy->counts().upstream_connections, 1u);
  client.end();
  it.origin().connection().end();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(it.origin().connection().ended());
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_EQ(it->log(), "0 - - 4/5|");
  EXPECT_EQ(it.stats().downstream_cx_total.value(), 1u);
  EXPECT_EQ(it.stats().downstream_cx_rx_bytes_total.value(), 4u);
  EXPECT_EQ(it.stats().downstream_cx_tx_bytes_total.value(), 5u);
  EXPECT_EQ(it->listener_stats().downstream_cx_total.value(), 1u);
  EXPECT_EQ(it->listener_stats().downstream_cx_destroy.value(), 1u);
  EXPECT_EQ(it->cluster().upstream_cx_total.value(), 1u);
  EXPECT_EQ(it->cluster().upstream_rq_total.value(), 1u);
  EXPECT_EQ(it->cluster().upstream_cx_rx_bytes_total.value(), 5u);
  EXPECT_EQ(it->cluster().upstream_cx_tx_bytes_total.value(), 4u);
  EXPECT_EQ(it->endpoint().cx_total.value(), 1u);
}

TEST(TcpProxy, TheServerMaySpeakFirst) {
  Through it;
  Client& client = it->connect();
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  it.origin().connection().send("220 ready\r\n");
  it->run();
  EXPECT_EQ(client.received(), "220 ready\r\n");
}

TEST(TcpProxy, EachConnectionHasAnEndpointOfItsOwn) {
  Through it;
  for (int i = 0; i < 5; ++i) it->connect().send(std::to_string(i));
  it->run();
  ASSERT_EQ(it.origin().connections(), 5u);
  std::set<std::string> all;
  for (std::size_t i = 0; i < 5; ++i) all.insert(it.origin().connection(i).received());
  EXPECT_EQ(all.size(), 5u);
}

TEST(TcpProxy, LargeTransfersBothWaysArriveWhole) {
  Through it;
  const std::string up = pattern(3'000'000);
  const std::string down = pattern(2'000'000);
  Client& client = it->connect();
  client.send(up);
  it->run();
  it.origin().connection().send(down);
  it->run();
  EXPECT_TRUE(it.origin().connection().received() == up);
  EXPECT_TRUE(client.received() == down);
}

TEST(TcpProxy, AnOriginThatDoesNotReadHoldsTheClientBack) {
  Through it([](config::TcpProxy&, config::Listener& listener, config::Cluster&) { listener.buffer_limit_bytes = 16 * 1024; });
  it.origin().pause_reading();
  const std::string all = pattern(2'000'000);
  Client& client = it->connect();
  client.send(all);
  it->run();
  // What left the client lies in the buffers of both pipes, 64 KiB each end, and in ours.
  EXPECT_GT(client.unsent(), all.size() - 4 * 64 * 1024 - 64 * 1024);
  EXPECT_GT(it.stats().downstream_cx_rx_bytes_buffered.value(), 0);
  EXPECT_LE(it.stats().downstream_cx_rx_bytes_buffered.value(), 64 * 1024);
  EXPECT_EQ(it.stats().downstream_flow_control_paused_reading_total.value(), 1u);
  it.origin().connection().set_reading(true);
  it->run();
  EXPECT_EQ(client.unsent(), 0u);
  EXPECT_TRUE(it.origin().connection().received() == all);
  EXPECT_GE(it.stats().downstream_flow_control_resumed_reading_total.value(), 1u);
}

TEST(TcpProxy, AClientThatDoesNotReadHoldsTheOriginBack) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { cluster.buffer_limit_bytes = 16 * 1024; });
  const std::string all = pattern(2'000'000);
  Client& client = it->connect();
  client.set_reading(false);
  it->run();
  it.origin().connection().send(all);
  it->run();
  EXPECT_GT(it.origin().connection().unsent(), all.size() - 5 * 64 * 1024);
  EXPECT_EQ(it->cluster().upstream_flow_control_paused_reading_total.value(), 1u);
  client.set_reading(true);
  it->run();
  EXPECT_TRUE(client.received() == all);
}

TEST(TcpProxy, AClientThatEndsItsSideStillGetsTheAnswer) {
  Through it;
  Client& client = it->connect();
  client.send("question");
  client.end();
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "question");
  EXPECT_TRUE(it.origin().connection().ended());
  const std::string answer = pattern(500'000);
  it.origin().connection().send(answer);
  it->run();
  EXPECT_FALSE(client.ended());
  it.origin().connection().end();
  it->run();
  EXPECT_TRUE(client.received() == answer);
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(it->proxy->idle());
}

TEST(TcpProxy, AnOriginThatEndsItsSideStillGetsTheRest) {
  Through it;
  Client& client = it->connect();
  it->run();
  it.origin().connection().end();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(it->proxy->idle());
  const std::string rest = pattern(500'000);
  client.send(rest);
  client.end();
  it->run();
  EXPECT_TRUE(it.origin().connection().received() == rest);
  EXPECT_TRUE(it.origin().connection().ended());
  EXPECT_TRUE(it->proxy->idle());
}

TEST(TcpProxy, AResetOfTheOriginResetsTheClient) {
  Through it;
  Client& client = it->connect();
  client.send("x");
  it->run();
  it.origin().connection().reset();
  it->run();
  EXPECT_TRUE(client.was_reset());
  EXPECT_EQ(it->log(), "0 UR - 1/0|");
  EXPECT_EQ(it->cluster().upstream_cx_destroy_remote.value(), 1u);
}

TEST(TcpProxy, AResetOfTheClientResetsTheOrigin) {
  Through it;
  Client& client = it->connect();
  client.send("x");
  it->run();
  client.reset();
  it->run();
  EXPECT_TRUE(it.origin().connection().was_reset());
  EXPECT_EQ(it->log(), "0 DC - 1/0|");
  EXPECT_EQ(it->cluster().upstream_cx_destroy_local.value(), 1u);
}

TEST(TcpProxy, AClientThatLeavesBeforeTheEndpointAnswers) {
  Through it;
  it->net.set_silent(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->run();
  EXPECT_EQ(it->proxy->counts().upstream_connections, 1u);
  client.reset();
  it->run();
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_EQ(it->proxy->counts().upstream_connections, 0u);
  EXPECT_EQ(it->log(), "0 DC - 0/0|");
}

TEST(TcpProxy, AnEndBeforeTheEndpointAnswersIsPassedOn) {
  Through it;
  Client& client = it->connect();
  client.send("all of it");
  client.end();
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "all of it");
  EXPECT_TRUE(it.origin().connection().ended());
}

TEST(TcpProxy, ARefusedConnectionEndsTheClients) {
  Through it;
  it->net.close_listener(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->log(), "0 UF,URX - 0/0|");
  EXPECT_EQ(it->cluster().upstream_cx_connect_fail.value(), 1u);
  EXPECT_EQ(it->cluster().upstream_cx_connect_attempts_exceeded.value(), 1u);
  EXPECT_EQ(it->endpoint().cx_connect_fail.value(), 1u);
  Client& talks = it->connect();
  talks.send("lost");
  it->run();
  EXPECT_TRUE(talks.was_reset()) << "what it has sent got lost";
}

TEST(TcpProxy, TriesAsOftenAsItMay) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.max_connect_attempts = 3; });
  it->net.close_listener(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->advance(Duration::milliseconds(10));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->cluster().upstream_cx_total.value(), 3u);
  EXPECT_EQ(it->cluster().upstream_cx_connect_fail.value(), 3u);
  EXPECT_EQ(it->cluster().upstream_cx_connect_attempts_exceeded.value(), 1u);
}

TEST(TcpProxy, ALaterAttemptMaySucceed) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.max_connect_attempts = 2; });
  Client& client = it->connect();
  it->net.fail_connects(stream::CloseReason::kNoPort);
  client.send("hello");
  it->run();
  EXPECT_FALSE(client.gone());
  it->net.fail_connects({});
  it->advance(Duration::milliseconds(10));
  EXPECT_EQ(it.origin().connection().received(), "hello");
  client.end();
  it.origin().connection().end();
  it->run();
  EXPECT_EQ(it->log(), "0 - - 5/0|");
}

TEST(TcpProxy, EndlessAttemptsThatFailOnTheSpotDoNotStopTheWorker) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.max_connect_attempts = 4'000'000'000; });
  Client& client = it->connect();
  it->net.fail_connects(stream::CloseReason::kNoRoute);
  it->advance(Duration::milliseconds(50));
  EXPECT_FALSE(client.gone());
  EXPECT_GT(it->cluster().upstream_cx_connect_fail.value(), 10u);
}

TEST(TcpProxy, AnEndpointThatDoesNotAnswerInTimeHasFailed) {
  Through it;
  it->net.set_silent(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->advance(Duration::milliseconds(4'900));
  EXPECT_FALSE(client.ended());
  it->advance(Duration::milliseconds(200));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->cluster().upstream_cx_connect_timeout.value(), 1u);
  EXPECT_EQ(it->log(), "0 UF,URX - 0/0|");
}

TEST(TcpProxy, WithoutACluster) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.clusters = {{"nowhere", 1}}; });
  Client& client = it->connect();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->log(), "0 NC - 0/0|");
  EXPECT_EQ(it.stats().downstream_cx_no_route.value(), 1u);
}

TEST(TcpProxy, WithoutAHealthyEndpoint) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) {
    cluster.endpoints.clear();
    cluster.healthy_weight = 0;
  });
  Client& client = it->connect();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->log(), "0 UH - 0/0|");
  EXPECT_EQ(it->cluster().upstream_cx_none_healthy.value(), 1u);
  // The harness looks at the endpoint's counters at its end.
  it->reconfigure([](config::Listener&, config::Cluster& cluster, config::Route&) {
    cluster.endpoints.push_back(
        {.address = ProxyHarness::kOrigin, .healthy = true, .weight = 1, .cell = std::make_shared<report::EndpointCell>(0, 1)});
    cluster.healthy_weight = 1;
  });
  Client& served = it->connect();
  served.send("x");
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "x");
}

TEST(TcpProxy, IdleConnectionsEnd) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.idle_timeout = Duration::seconds(10); });
  Client& client = it->connect();
  it->run();
  for (int i = 0; i < 4; ++i) {
    it->advance(Duration::seconds(6));
    (i % 2 == 0 ? static_cast<Peer&>(client) : it.origin().connection()).send("x");
    it->run();
  }
  it->advance(Duration::milliseconds(9'900));
  EXPECT_FALSE(client.ended());
  it->advance(Duration::milliseconds(200));
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(it.origin().connection().ended());
  EXPECT_EQ(it.stats().idle_timeout.value(), 1u);
  EXPECT_TRUE(it->proxy->idle());
}

TEST(TcpProxy, AConnectionThatIsStuckIsResetWhenItIsIdleForTooLong) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.idle_timeout = Duration::seconds(10); });
  it.origin().pause_reading();
  Client& client = it->connect();
  client.send(pattern(1'000'000));
  it->advance(Duration::seconds(11));
  EXPECT_EQ(it.stats().idle_timeout.value(), 1u);
  EXPECT_TRUE(it.origin().connection().was_reset());
  EXPECT_EQ(it->proxy->counts().downstream_connections, 0u);
}

TEST(TcpProxy, ConnectionsLiveForALimitedTime) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) { proxy.max_connection_duration = Duration::seconds(10); });
  Client& client = it->connect();
  for (int i = 0; i < 9; ++i) {
    client.send("x");
    it->advance(Duration::seconds(1));
  }
  EXPECT_FALSE(client.ended());
  it->advance(Duration::seconds(2));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.stats().max_downstream_connection_duration.value(), 1u);
  EXPECT_EQ(it->log(), "0 DT - 9/0|");
}

TEST(TcpProxy, ADrainLeavesConnectionsAloneUntilTheEnd) {
  Through it;
  Client& client = it->connect();
  client.send("a");
  it->run();
  it->proxy->start_drain(it->now);
  it->run();
  EXPECT_FALSE(it->proxy->idle());
  client.send("b");
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "ab");
  it->proxy->force_close_all(it->now);
  it->run();
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_TRUE(client.was_reset());
  EXPECT_TRUE(it.origin().connection().was_reset());
  EXPECT_EQ(it->log(), "0 LR - 2/0|");
}

TEST(TcpProxy, GoesOnUnderItsOldConfigurationWhenTheListenerChanges) {
  Through it;
  Client& client = it->connect();
  client.send("a");
  it->run();
  it->reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].tcp()->idle_timeout = Duration::seconds(1);
    listener.content_hash = 2;
  });
  it->reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) { listener.content_hash = 3; });
  it->advance(Duration::seconds(5));
  client.send("b");
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "ab");
  Client& later = it->connect();
  it->advance(Duration::seconds(2));
  EXPECT_TRUE(later.ended());
}

TEST(TcpProxy, ChoosesClustersByWeight) {
  Through it([](config::TcpProxy& proxy, auto&, auto&) {
    proxy.clusters = {{"origin", 3}, {"nowhere", 1}};
    proxy.total_weight = 4;
  });
  for (int i = 0; i < 200; ++i) {
    Client& client = it->connect();
    it->run();
    client.reset();
    it->run();
  }
  EXPECT_NEAR(static_cast<double>(it.stats().downstream_cx_no_route.value()), 50, 20);
}

TEST(TcpProxy, TheServerNameMayNameTheCluster) {
  std::shared_ptr<report::InspectorCell> inspectors = std::make_shared<report::InspectorCell>(0, "inspectors", 1);
  Through it([&](config::TcpProxy& proxy, config::Listener& listener, config::Cluster&) {
    proxy.clusters = {{"nowhere", 1}};
    proxy.cluster_from_server_name = true;
    config::Format format;
    format.elements.push_back({config::FormatCommand::kRequestedServerName, {}, {}, {}});
    format.elements.push_back({config::FormatCommand::kLiteral, " ", {}, {}});
    format.elements.push_back({config::FormatCommand::kUpstreamCluster, {}, {}, {}});
    proxy.access_logs = {{.sink = 0, .format = format}};
    listener.inspection.tls = true;
    listener.inspection.cell = inspectors;
  });
  const auto visit = [&](std::string name) {
    Client& client = it->connect();
    client.send(::millrace::test::hello_bytes({.server_name = std::move(name)}));
    it->run();
    client.reset();
    it->run();
  };
  visit("origin");
  visit("");
  visit("unknown.example");
  EXPECT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it->log(), "origin origin|- -|unknown.example -|");
}

TEST(TcpProxy, AStrayTransportErrorIsTold) {
  Through it;
  Client& client = it->connect();
  client.send("x");
  it->run();
  it->net.reset_all();
  it->run();
  EXPECT_TRUE(client.was_reset());
  EXPECT_THAT(it->log(), HasSubstr(" DC "));
}

TEST(TcpProxy, TakesNothingFromTheHeapOnceItRuns) {
  Through it;
  for (int i = 0; i < 70; ++i) it->connect().send("warm");
  it->run();
  for (std::size_t i = 0; i < 70; ++i) it.origin().connection(i).reset();
  it->run();
  AllocationTrap::count = 0;
  Client& client = it->connect();
  client.send(pattern(100'000));
  it->run();
  it.origin().connection(70).send(pattern(100'000));
  it->run();
  // The test's own ends allocate, but not while the proxy works.
  EXPECT_LE(AllocationTrap::count, 1u) << "the pipe that connect() makes";
}

TEST(TcpProxy, LogsWhenTheEndpointHasAnsweredAndWhileItLasts) {
  Through it([](config::TcpProxy& proxy, config::Listener&, config::Cluster&) {
    proxy.log_when_connected = true;
    proxy.log_interval = Duration::seconds(10);
  });
  Client& client = it->connect();
  client.send("ping");
  it->run();
  EXPECT_EQ(it->log(), "0 - - 0/0|") << "nothing is read before";
  it->advance(Duration::seconds(11));
  EXPECT_EQ(it->log(), "0 - - 4/0|");
  client.send("more");
  it->advance(Duration::seconds(10));
  EXPECT_EQ(it->log(), "0 - - 8/0|");
  client.reset();
  it->run();
  EXPECT_THAT(it->log(), ::testing::EndsWith(" 8/0|")) << "and its end";
  it->advance(Duration::seconds(60));
  EXPECT_EQ(it->log(), "");
}

}  // namespace
}  // namespace millrace::proxy::test
