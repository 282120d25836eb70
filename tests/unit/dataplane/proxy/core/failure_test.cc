// What goes wrong, what the client gets for it, and what the access log says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Proxy_Failures, NoRouteIs404) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { route.match.path.text = "/only"; });
  EXPECT_THAT(proxy.exchange(get("/other")), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_EQ(proxy.log(), "404 NR route_not_found 0/0|");
  EXPECT_EQ(proxy.http().no_route.value(), 1u);
}

TEST(Proxy_Failures, NoClusterIsTheConfiguredStatus) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    auto& action = std::get<config::ForwardAction>(route.action);
    action.clusters[0].name = "missing";
    action.cluster_not_found_status = 500;
  });
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 500 "));
  EXPECT_EQ(proxy.log(), "500 NC cluster_not_found 0/0|");
  EXPECT_EQ(proxy.http().no_cluster.value(), 1u);
}

TEST(Proxy_Failures, NoHealthyEndpointIs503) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].healthy = false;
    cluster.healthy_weight = 0;
  });
  const std::string response = proxy.exchange(get());
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(body_of(response), "no healthy upstream");
  EXPECT_EQ(proxy.log(), "503 UH no_healthy_upstream 0/19|");
  EXPECT_EQ(proxy.cluster().upstream_cx_none_healthy.value(), 1u);
}

TEST(Proxy_Failures, ARefusedConnectionIs503) {
  ProxyHarness proxy;
  proxy.net.close_listener(ProxyHarness::kOrigin);
  const std::string response = proxy.exchange(get());
  EXPECT_EQ(body_of(response),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, "
            "transport failure reason: connection refused");
  EXPECT_THAT(proxy.log(), StartsWith("503 UF upstream_reset_before_response_started{remote_connection_failure} 0/"));
  EXPECT_EQ(proxy.cluster().upstream_cx_connect_fail.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_pending_failure_eject.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 0u);
}

TEST(Proxy_Failures, AConnectThatCannotEvenStartIs503) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  proxy.run();
  proxy.net.fail_connects(stream::CloseReason::kNoRoute);
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("reset reason: local connection failure"));
  EXPECT_THAT(proxy.log(), StartsWith("503 UF "));
}

TEST(Proxy_Failures, AConnectThatGetsNoAnswerTimesOut) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, auto&) { cluster.connect_timeout = Duration::milliseconds(250); });
  proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(240));
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(proxy.cluster().upstream_rq_pending_active.value(), 1);
  proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(client.received(), EndsWith("reset reason: connection timeout"));
  EXPECT_EQ(proxy.cluster().upstream_cx_connect_timeout.value(), 1u);
  EXPECT_THAT(proxy.log(), StartsWith("503 UF upstream_reset_before_response_started{connection_timeout}"));
}

TEST(Proxy_Failures, ARecoveredOriginServesAgain) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("back"));
  proxy.net.close_listener(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 503 "));
  proxy.net.listen(ProxyHarness::kOrigin, proxy.origin());
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("back"));
}

TEST(Proxy_Failures, AnOriginThatClosesBeforeItsResponseIs503) {
  for (const bool by_reset : {false, true}) {
    ProxyHarness proxy;
    Client& client = proxy.connect();
    client.send(get());
    proxy.run();
    if (by_reset)
      proxy.origin().connection().reset();
    else
      proxy.origin().connection().end();
    proxy.run();
    EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
    EXPECT_EQ(body_of(client.received()),
              "upstream connect error or disconnect/reset before headers. reset reason: connection termination");
    EXPECT_THAT(proxy.log(), StartsWith("503 UC upstream_reset_before_response_started{connection_termination} 0/"));
    EXPECT_EQ(proxy.cluster().upstream_rq_rx_reset.value(), 1u);
    EXPECT_FALSE(client.gone());
  }
}

TEST(Proxy_Failures, OfAResponseThatBreaksOffTheClientGetsWhatThereIsAndTheEnd) {
  for (const bool by_reset : {false, true}) {
    ProxyHarness proxy;
    Client& client = proxy.connect();
    client.send(get());
    proxy.run();
    proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    proxy.run();
    if (by_reset)
      proxy.origin().connection().reset();
    else
      proxy.origin().connection().end();
    proxy.run();
    EXPECT_THAT(client.received(), AllOf(HasSubstr("content-length: 10\r\n"), EndsWith("\r\n\r\nhalf")));
    EXPECT_TRUE(client.ended());
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(proxy.log(), "200 UC upstream_reset_after_response_started{connection_termination} 0/4|");
    EXPECT_EQ(proxy.http().downstream_rq_tx_reset.value(), 1u);
  }
}

TEST(Proxy_Failures, WhatBreaksOffInOneTurnIsNotLostEither) {
  ProxyHarness proxy;
  proxy.origin().on_bytes([](OriginConnection& connection) {
    connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    connection.end();
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("4\r\nhalf\r\n")) << "no last chunk";
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(client.was_reset());
}

TEST(Proxy_Failures, AResponseOfWhichTheEndOfTheConnectionIsTheEndIsReset) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->accept_http_10 = true; });
  Client& client = proxy.connect();
  client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  proxy.run();
  proxy.origin().connection().end();
  proxy.run();
  EXPECT_TRUE(client.was_reset()) << "it would be taken for a whole one";
}

TEST(Proxy_Failures, AClientThatDoesNotReadHoldsWhatBrokeOffNoLongerThanItsDelay) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + pattern(200'000));
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_FALSE(client.gone());
  proxy.advance(Duration::seconds(10));
  EXPECT_TRUE(client.was_reset());
}

TEST(Proxy_Failures, AResponseInFrontOfAResetIsNotLost) {
  ProxyHarness proxy;
  proxy.origin().on_bytes([](OriginConnection& connection) { connection.send(ok("all of it")); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("all of it"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/9|");
}

TEST(Proxy_Failures, AMalformedResponseIs502) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("SMTP ready\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 502 "));
  EXPECT_THAT(client.received(), EndsWith("reset reason: protocol error"));
  EXPECT_THAT(proxy.log(), StartsWith("502 UPE upstream_reset_before_response_started{protocol_error}"));
  EXPECT_EQ(proxy.cluster().upstream_cx_protocol_error.value(), 1u);
  EXPECT_TRUE(proxy.origin().connection().ended());
}

TEST(Proxy_Failures, AMalformedRequestIs400AndTheConnectionCloses) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nhost : a\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(client.received(), HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(proxy.log(), StartsWith("400 DPE "));
  EXPECT_EQ(proxy.http().downstream_cx_protocol_error.value(), 1u);
}

TEST(Proxy_Failures, HeadersThatAreTooLargeAre431) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->max_request_headers_bytes = 1024; });
  const std::string response = proxy.exchange(get("/", "x-large: " + std::string(2000, 'x') + "\r\n"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(proxy.log(), StartsWith("431 DPE "));
}

TEST(Proxy_Failures, ABrokenBodyIs400AndTheOriginIsCutOff) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  proxy.run();
  client.send("zz\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_THAT(proxy.log(), StartsWith("400 DPE "));
}

TEST(Proxy_Failures, AClientThatGoesAwayCancelsTheUpstreamRequest) {
  for (const bool by_reset : {false, true}) {
    ProxyHarness proxy;
    Client& client = proxy.connect();
    client.send(get());
    proxy.run();
    if (by_reset)
      client.reset();
    else
      client.close();
    proxy.run();
    EXPECT_TRUE(proxy.origin().connection().was_reset());
    EXPECT_EQ(proxy.log(), "0 DC downstream_remote_disconnect 0/0|");
    EXPECT_EQ(proxy.http().downstream_cx_destroy_remote_active_rq.value(), 1u);
    EXPECT_EQ(proxy.http().downstream_rq_rx_reset.value(), 1u);
    EXPECT_EQ(proxy.cluster().upstream_cx_destroy_local_with_active_rq.value(), 1u);
  }
}

TEST(Proxy_Failures, AClientThatGoesAwayInsideItsRequestIsLogged) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("GET / HT");
  proxy.run();
  client.close();
  proxy.run();
  EXPECT_EQ(proxy.log(), "0 DC downstream_remote_disconnect 0/0|");
}

TEST(Proxy_Failures, AClientThatGoesAwayWhileItsRequestWaitsLeavesTheQueue) {
  ProxyHarness proxy;
  proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.close();
  proxy.run();
  EXPECT_EQ(proxy.cluster().upstream_rq_pending_active.value(), 0);
  EXPECT_EQ(proxy.cluster().upstream_rq_cancelled.value(), 1u);
}

TEST(Proxy_Failures, AClientThatConnectsAndLeavesIsNoRequest) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  proxy.run();
  client.close();
  proxy.run();
  EXPECT_EQ(proxy.log(), "");
  EXPECT_EQ(proxy.http().downstream_cx_destroy_remote.value(), 1u);
  EXPECT_EQ(proxy.http().downstream_cx_active.value(), 0);
}

TEST(Proxy_Failures, ConnectIsRefused) {
  ProxyHarness proxy;
  const std::string response = proxy.exchange("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 4"));
  EXPECT_EQ(proxy.origin().connections(), 0u);
}

TEST(Proxy_Failures, AnEscapedSlashIsRejectedWhereConfigured) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) {
    listener.chains[0].http()->escaped_slashes = config::HttpConnectionManager::EscapedSlashes::kReject;
  });
  EXPECT_THAT(proxy.exchange(get("/a%2fb")), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(proxy.http().downstream_rq_failed_path_normalization.value(), 1u);
}

TEST(Proxy_Limits, AFullQueueIsAnsweredWith503) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.breakers.thresholds[0].max_pending_requests = 1; });
  proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& waiting = proxy.connect();
  waiting.send(get());
  proxy.run();
  const std::string response = proxy.exchange(get());
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(response, HasSubstr("x-envoy-overloaded: true\r\n"));
  EXPECT_THAT(response, EndsWith("reset reason: overflow"));
  EXPECT_THAT(proxy.log(), StartsWith("503 UO "));
  EXPECT_EQ(proxy.cluster().upstream_rq_pending_overflow.value(), 1u);
}

TEST(Proxy_Limits, RequestsBeyondTheConnectionLimitWaitForAFreeOne) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.breakers.thresholds[0].max_connections = 1; });
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
  proxy.origin().connection().send(ok("2"));
  proxy.run();
  EXPECT_THAT(second.received(), EndsWith("2"));
}

TEST(Proxy_Limits, AWaitingRequestGetsANewConnectionWhenTheOldOneDies) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.breakers.thresholds[0].max_connections = 1; });
  Client& first = proxy.connect();
  first.send(get("/1"));
  proxy.run();
  Client& second = proxy.connect();
  second.send(get("/2"));
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  ASSERT_EQ(proxy.origin().connections(), 2u);
  EXPECT_THAT(proxy.origin().connection(1).received(), StartsWith("GET /2 "));
}

TEST(Proxy_Limits, ConnectionsBeyondThePoolAreReset) {
  ProxyLimits limits = ProxyHarness::small_limits();
  limits.downstream_connections = 1;
  limits.initial_objects = 1;
  ProxyHarness proxy({}, limits);
  proxy.connect();
  Client& second = proxy.connect();
  proxy.run();
  EXPECT_TRUE(second.was_reset());
  EXPECT_EQ(proxy.listener_stats().downstream_cx_overflow.value(), 1u);
}

TEST(Proxy_Limits, RequestsBeyondThePoolAreAnsweredWith503) {
  ProxyLimits limits = ProxyHarness::small_limits();
  limits.streams = 1;
  limits.initial_objects = 1;
  ProxyHarness proxy({}, limits);
  Client& first = proxy.connect();
  first.send(get());
  proxy.run();
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.http().downstream_rq_overload_close.value(), 1u);
}

TEST(Proxy_Limits, ExhaustedArenasEndTheRequestAndNothingElse) {
  ProxyLimits limits = ProxyHarness::small_limits();
  limits.small_chunks = 1;
  limits.large_chunks = 1;
  ProxyHarness proxy({}, limits);
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send(get("/", "x-large: " + std::string(6000, 'x') + "\r\n"));
  proxy.run();
  EXPECT_TRUE(client.ended() || client.gone());
  EXPECT_EQ(proxy.proxy->counts().requests, 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
