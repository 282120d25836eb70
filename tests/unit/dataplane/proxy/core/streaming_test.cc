// Large bodies, slow ends, bounded memory, switched protocols.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::uint32_t kLimit = 32 * 1024;

void small_buffers(config::Listener& listener, config::Cluster& cluster, config::Route& route) {
  listener.buffer_limit_bytes = kLimit;
  cluster.buffer_limit_bytes = kLimit;
  std::get<config::ForwardAction>(route.action).timeout = Duration();
}

// Sends `text` in pieces of random size and lets the proxy run between them.
void send_in_pieces(ProxyHarness& proxy, Peer& peer, std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = std::min<std::size_t>(text.size(), 1 + proxy.rng.below(60'000));
    peer.send(text.substr(0, size));
    text.remove_prefix(size);
    proxy.run();
  }
}

TEST(Proxy_Streaming, TenMegabytesUpInRandomPieces) {
  ProxyHarness proxy(small_buffers);
  const std::string body = pattern(10'000'000);
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n");
  send_in_pieces(proxy, client, body);
  EXPECT_TRUE(body_of(proxy.origin().connection().received()) == body);
  proxy.origin().connection().send(ok("got it"));
  proxy.run();
  EXPECT_EQ(proxy.log(), "200 - via_upstream 10000000/6|");
}

TEST(Proxy_Streaming, TenMegabytesDownInRandomPieces) {
  ProxyHarness proxy(small_buffers);
  const std::string body = pattern(10'000'000);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n");
  send_in_pieces(proxy, proxy.origin().connection(), body);
  EXPECT_TRUE(body_of(client.received()) == body);
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/10000000|");
}

TEST(Proxy_Streaming, BothDirectionsAtOnceAndChunked) {
  ProxyHarness proxy(small_buffers);
  std::string chunks;
  for (int i = 0; i < 200; ++i) {
    const std::size_t size = 1 + proxy.rng.below(20'000);
    char line[16];
    std::snprintf(line, sizeof(line), "%zx\r\n", size);
    chunks += line + pattern(size) + "\r\n";
  }
  chunks += "0\r\n\r\n";
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  std::string_view up = chunks;
  std::string_view down = chunks;
  while (!up.empty() || !down.empty()) {
    const std::size_t size = 1 + proxy.rng.below(30'000);
    client.send(up.substr(0, size));
    up.remove_prefix(std::min(size, up.size()));
    proxy.origin().connection().send(down.substr(0, size / 2));
    down.remove_prefix(std::min(size / 2, down.size()));
    proxy.run();
  }
  EXPECT_THAT(proxy.origin().connection().received(), EndsWith("0\r\n\r\n"));
  EXPECT_THAT(client.received(), EndsWith("0\r\n\r\n"));
  EXPECT_THAT(proxy.log(), StartsWith("200 - via_upstream "));
}

TEST(Proxy_Backpressure, ASlowClientStopsTheOrigin) {
  ProxyHarness proxy(small_buffers);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.set_reading(false);
  const std::string body = pattern(2'000'000);
  OriginConnection& origin = proxy.origin().connection();
  origin.send("HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + body);
  proxy.run();
  // What left the origin: pipes of 64 KiB four times, the input of 64 KiB, two limits of 32 KiB.
  EXPECT_GT(origin.unsent(), body.size() - 600'000);
  const std::size_t stuck = origin.unsent();
  proxy.run();
  EXPECT_EQ(origin.unsent(), stuck);
  EXPECT_EQ(proxy.cluster().upstream_flow_control_paused_reading_total.value(),
            proxy.cluster().upstream_flow_control_resumed_reading_total.value() + 1);
  // All buffers of this test, the origin's own included, hold not much more than the bytes that wait.
  EXPECT_LT(proxy.packets.in_use(), body.size() / 2000 + 100);
  client.set_reading(true);
  proxy.run();
  EXPECT_TRUE(body_of(client.received()) == body);
  EXPECT_EQ(proxy.cluster().upstream_flow_control_paused_reading_total.value(),
            proxy.cluster().upstream_flow_control_resumed_reading_total.value());
}

TEST(Proxy_Backpressure, TheWorkersShareBoundsWhatTheConfigurationAllows) {
  ProxyLimits limits = ProxyHarness::small_limits();
  limits.connection_buffer_bytes = kLimit;
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { std::get<config::ForwardAction>(route.action).timeout = Duration(); },
      limits);  // buffers of 1 MiB, as the configuration's defaults say
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.set_reading(false);
  OriginConnection& origin = proxy.origin().connection();
  origin.send("HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + pattern(2'000'000));
  proxy.run();
  EXPECT_GT(origin.unsent(), std::size_t{2'000'000 - 600'000});
  client.set_reading(true);
  proxy.run();
  EXPECT_TRUE(body_of(client.received()) == pattern(2'000'000));
}

TEST(Proxy_Backpressure, ASlowOriginStopsTheClient) {
  ProxyHarness proxy(small_buffers);
  proxy.origin().pause_reading();
  Client& client = proxy.connect();
  const std::string body = pattern(2'000'000);
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n" + body);
  proxy.run();
  EXPECT_GT(client.unsent(), body.size() - 600'000);
  EXPECT_EQ(proxy.http().downstream_flow_control_paused_reading_total.value(),
            proxy.http().downstream_flow_control_resumed_reading_total.value() + 1);
  EXPECT_GT(proxy.cluster().upstream_flow_control_backed_up_total.value(), 0u);
  proxy.origin().connection().set_reading(true);
  proxy.run();
  EXPECT_TRUE(body_of(proxy.origin().connection().received()) == body);
  EXPECT_EQ(proxy.http().downstream_flow_control_paused_reading_total.value(),
            proxy.http().downstream_flow_control_resumed_reading_total.value());
  EXPECT_EQ(proxy.cluster().upstream_flow_control_backed_up_total.value(),
            proxy.cluster().upstream_flow_control_drained_total.value());
}

TEST(Proxy_Backpressure, AnUnconnectedOriginHoldsTheClientBack) {
  ProxyHarness proxy(small_buffers);
  proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n" + pattern(2'000'000));
  proxy.run();
  EXPECT_GT(client.unsent(), 1'500'000u);
}

TEST(Proxy_Backpressure, AClientThatPipelinesAndNeverReadsIsHeldBack) {
  for (const bool direct : {false, true}) {
    ProxyHarness proxy([direct](auto& listener, auto& cluster, config::Route& route) {
      small_buffers(listener, cluster, route);
      if (direct) route.action = config::DirectResponse{.status = 200, .body = pattern(4000)};
    });
    proxy.origin().answer(ok(pattern(4000)));
    Client& client = proxy.connect();
    client.set_reading(false);
    std::string requests;
    for (int i = 0; i < 3000; ++i) requests += get();
    client.send(requests);
    proxy.run();
    EXPECT_LT(proxy.http().downstream_rq_total.value(), 200u);  // 64 KiB in each pipe, 32 KiB in the codec
    EXPECT_LT(proxy.packets.in_use(), 600u);
    client.set_reading(true);
    proxy.run();
    EXPECT_EQ(proxy.http().downstream_rq_2xx.value(), 3000u);
    EXPECT_EQ(proxy.http().downstream_rq_active.value(), 0);
  }
}

TEST(Proxy_Backpressure, ASlowClientThatLeavesFreesEverything) {
  ProxyHarness proxy(small_buffers);
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + pattern(2'000'000));
  proxy.run();
  client.reset();
  proxy.run();
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_EQ(proxy.proxy->counts().requests, 0u);
  EXPECT_THAT(proxy.log(), StartsWith("200 DC downstream_remote_disconnect"));
}

constexpr std::string_view kAsk = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
constexpr std::string_view kAgree = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

void with_websocket(config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[0].http()->websocket = true; }

TEST(Proxy_Upgrade, CarriesOpaqueBytesBothWays) {
  ProxyHarness proxy(with_websocket);
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  OriginConnection& origin = proxy.origin().connection();
  EXPECT_THAT(origin.received(), HasSubstr("upgrade: websocket\r\n"));
  origin.clear_received();
  origin.send(std::string(kAgree) + "from origin");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_THAT(client.received(), HasSubstr("upgrade: websocket\r\n"));
  EXPECT_THAT(client.received(), EndsWith("from origin"));
  client.send("GET is just bytes now");
  proxy.run();
  EXPECT_EQ(origin.received(), "GET is just bytes now");
  EXPECT_EQ(proxy.http().downstream_cx_upgrades_active.value(), 1);
  client.end();
  proxy.run();
  EXPECT_TRUE(origin.ended());
  origin.send("last words");
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("last words"));
  EXPECT_FALSE(client.ended());
  origin.end();
  proxy.run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.http().downstream_cx_upgrades_total.value(), 1u);
  EXPECT_EQ(proxy.http().downstream_cx_upgrades_active.value(), 0);
  EXPECT_EQ(proxy.log(), "101 - via_upstream 21/21|");
}

TEST(Proxy_Upgrade, TheOriginMayEndFirst) {
  ProxyHarness proxy(with_websocket);
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  OriginConnection& origin = proxy.origin().connection();
  origin.clear_received();
  origin.send(kAgree);
  origin.end();
  proxy.run();
  EXPECT_TRUE(client.ended());
  client.send("still talking");
  proxy.run();
  EXPECT_EQ(origin.received(), "still talking");
  client.end();
  proxy.run();
  EXPECT_TRUE(origin.ended());
  EXPECT_EQ(proxy.log(), "101 - via_upstream 13/0|");
}

TEST(Proxy_Upgrade, OutlivesTheRoutesTimeoutButNotTheIdleTimeout) {
  ProxyHarness proxy([](auto& listener, auto& cluster, auto& route) {
    with_websocket(listener, cluster, route);
    listener.chains[0].http()->stream_idle_timeout = Duration::seconds(60);
  });
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  proxy.origin().connection().send(kAgree);
  proxy.advance(Duration::seconds(50));
  EXPECT_FALSE(client.gone());
  client.send("ping");
  proxy.advance(Duration::seconds(50));
  EXPECT_FALSE(client.gone());
  proxy.advance(Duration::seconds(11));
  EXPECT_TRUE(client.was_reset());
  EXPECT_THAT(proxy.log(), StartsWith("101 SI stream_idle_timeout"));
}

TEST(Proxy_Upgrade, AnOriginMayRefuse) {
  ProxyHarness proxy(with_websocket);
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  proxy.origin().connection().clear_received();
  proxy.origin().connection().send("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno");
  proxy.run();
  EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(proxy.log(), "400 - via_upstream 0/2|");
  // Both connections go on.
  client.send(get("/next"));
  proxy.run();
  EXPECT_THAT(proxy.origin().connection().received(), StartsWith("GET /next "));
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_Upgrade, IsRefusedWhereNotConfigured) {
  ProxyHarness proxy;
  EXPECT_THAT(proxy.exchange(kAsk), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(proxy.log(), "403 - upgrade_failed 0/0|");
  EXPECT_EQ(proxy.http().downstream_rq_ws_on_non_ws_route.value(), 1u);
}

TEST(Proxy_Upgrade, ADeadOriginResetsTheClient) {
  ProxyHarness proxy(with_websocket);
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  proxy.origin().connection().send(kAgree);
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_TRUE(client.was_reset());
  EXPECT_THAT(proxy.log(), StartsWith("101 UC "));
}

TEST(Proxy_Upgrade, BackpressureHoldsForOpaqueBytes) {
  ProxyHarness proxy([](auto& listener, auto& cluster, auto& route) {
    small_buffers(listener, cluster, route);
    with_websocket(listener, cluster, route);
  });
  Client& client = proxy.connect();
  client.send(kAsk);
  proxy.run();
  OriginConnection& origin = proxy.origin().connection();
  origin.send(kAgree);
  proxy.run();
  client.set_reading(false);
  origin.send(pattern(1'000'000));
  proxy.run();
  EXPECT_GT(origin.unsent(), 400'000u);
  client.clear_received();
  client.set_reading(true);
  proxy.run();
  EXPECT_TRUE(client.received() == pattern(1'000'000));
}

TEST(Proxy_Memory, ASteadyStateAllocatesNothingPerRequest) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("hello"));
  Client& client = proxy.connect();
  const auto round = [&] {
    client.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nx-test: some value\r\n\r\n");
    proxy.run();
    client.clear_received();
    proxy.log();
  };
  for (int i = 0; i < 10; ++i) round();
  AllocationTrap::count = 0;
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(AllocationTrap::count, 0u);
  EXPECT_EQ(proxy.report.requests.value(), 110u);
}

TEST(Proxy_Memory, ASteadyStateAllocatesNothingPerConnection) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("hello", "connection: close\r\n"));
  const auto round = [&] {
    Client& client = proxy.connect();
    client.send(get("/", "connection: close\r\n"));
    proxy.run();
    client.close();
    proxy.run();
  };
  for (int i = 0; i < 10; ++i) round();
  // The pipes allocate inside run(): only what the proxy asks the connector for is not ours.
  AllocationTrap::count = 0;
  for (int i = 0; i < 50; ++i) round();
  EXPECT_LE(AllocationTrap::count, 50u * 2);  // a pipe per connect(): the stream and at times the list of them
  EXPECT_EQ(proxy.proxy->counts().chunks, 0u);
}

TEST(Proxy_Memory, ThousandConnectionsLeaveNothingBehind) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("hello"));
  for (int i = 0; i < 1000; ++i) {
    Client& client = proxy.connect();
    client.send(get());
    if (i % 3 != 0) proxy.run();
    if (i % 2 == 0)
      client.reset();
    else
      client.close();
    proxy.run();
  }
  const ProxyCounts counts = proxy.proxy->counts();
  EXPECT_EQ(counts.downstream_connections, 0u);
  EXPECT_EQ(counts.requests, 0u);
  EXPECT_EQ(counts.chunks, 0u);
  EXPECT_EQ(proxy.http().downstream_cx_total.value(), proxy.http().downstream_cx_destroy.value());
}

}  // namespace
}  // namespace millrace::proxy::test
