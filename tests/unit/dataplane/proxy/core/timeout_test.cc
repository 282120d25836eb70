// Every timeout, in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Duration kAlmost = Duration::milliseconds(990);
constexpr Duration kMore = Duration::milliseconds(20);

TEST(Proxy_Timeouts, RequestHeadersTimeoutIs408) {
  ProxyHarness proxy(
      [](auto& listener, auto&, auto&) { listener.chains[0].http()->request_headers_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nhost:");
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(client.received(), EndsWith("request header timeout"));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.http().downstream_rq_header_timeout.value(), 1u);
  EXPECT_THAT(proxy.log(), StartsWith("408 - request_header_timeout"));
}

TEST(Proxy_Timeouts, RequestTimeoutCoversTheBody) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->request_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\na");
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(proxy.http().downstream_rq_timeout.value(), 1u);
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_THAT(proxy.log(), StartsWith("408 - request_overall_timeout 1/"));
}

TEST(Proxy_Timeouts, ACompleteRequestHasNoRequestTimeout) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->request_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(2));
  EXPECT_EQ(client.received(), "");
}

TEST(Proxy_Timeouts, StreamIdleTimeoutBeforeTheRequestIsComplete) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->stream_idle_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\na");
  proxy.advance(kAlmost);
  client.send("b");  // progress
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(client.received(), EndsWith("stream timeout"));
  EXPECT_THAT(proxy.log(), StartsWith("408 SI stream_idle_timeout 2/"));
  EXPECT_EQ(proxy.http().downstream_rq_idle_timeout.value(), 1u);
}

TEST(Proxy_Timeouts, StreamIdleTimeoutAfterTheRequestIs504) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->stream_idle_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(kAlmost + kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(proxy.log(), StartsWith("504 SI stream_idle_timeout"));
}

TEST(Proxy_Timeouts, StreamIdleTimeoutInsideAResponseEndsTheConnection) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->stream_idle_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  proxy.advance(kAlmost + kMore);
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_EQ(proxy.log(), "200 SI stream_idle_timeout 0/4|");
}

TEST(Proxy_Timeouts, TheRoutesIdleTimeoutReplacesTheManagers) {
  ProxyHarness proxy([](auto& listener, auto&, config::Route& route) {
    listener.chains[0].http()->stream_idle_timeout = Duration::seconds(1);
    std::get<config::ForwardAction>(route.action).idle_timeout = Duration::seconds(3);
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(2900));
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(200));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
}

TEST(Proxy_Timeouts, TheRoutesTimeoutIs504) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { std::get<config::ForwardAction>(route.action).timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(client.received(), EndsWith("upstream request timeout"));
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_FALSE(client.ended());
  EXPECT_THAT(proxy.log(), StartsWith("504 UT "));
  EXPECT_EQ(proxy.cluster().upstream_rq_timeout.value(), 1u);
  EXPECT_EQ(proxy.endpoint().rq_timeout.value(), 1u);
  EXPECT_EQ(proxy.endpoint().rq_error.value(), 1u);
}

TEST(Proxy_Timeouts, TheRoutesTimeoutRunsFromTheEndOfTheRequest) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { std::get<config::ForwardAction>(route.action).timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na");
  proxy.advance(Duration::seconds(2));
  client.send("b");
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
}

TEST(Proxy_Timeouts, TheRoutesTimeoutInsideAResponseEndsTheConnection) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { std::get<config::ForwardAction>(route.action).timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  proxy.advance(kAlmost + kMore);
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(proxy.log(), StartsWith("200 UT "));
}

TEST(Proxy_Timeouts, MaxStreamDurationEndsARequest) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->max_stream_duration = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(kAlmost + kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_EQ(proxy.http().downstream_rq_max_duration_reached.value(), 1u);
}

TEST(Proxy_Timeouts, TheClustersMaxStreamDurationIs408) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.http.max_stream_duration = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(kAlmost);
  EXPECT_EQ(client.received(), "");
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(client.received(), EndsWith("upstream max stream duration reached"));
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  EXPECT_FALSE(client.ended());
  EXPECT_THAT(proxy.log(), StartsWith("408 UMSDR upstream_max_stream_duration_reached"));
  EXPECT_EQ(proxy.cluster().upstream_rq_max_duration_reached.value(), 1u);
  EXPECT_EQ(proxy.endpoint().rq_error.value(), 1u);
}

TEST(Proxy_Timeouts, TheClustersMaxStreamDurationInsideAResponseEndsTheConnection) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.http.max_stream_duration = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  proxy.advance(kAlmost + kMore);
  EXPECT_TRUE(client.ended());
  EXPECT_THAT(proxy.log(), StartsWith("200 UMSDR "));
}

TEST(Proxy_Timeouts, TheClustersMaxStreamDurationIsOfEachTry) {
  config::RetryPolicy policy;
  policy.conditions.add(config::RetryCondition::kReset);
  ProxyHarness proxy([&](auto&, auto& cluster, config::Route& route) {
    cluster.http.max_stream_duration = Duration::seconds(1);
    std::get<config::ForwardAction>(route.action).retry = std::make_shared<const config::RetryPolicy>(policy);
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(kAlmost + Duration::milliseconds(100));
  EXPECT_EQ(proxy.origin().connections(), 2u);
  proxy.advance(Duration::milliseconds(800));
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(300));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(proxy.log(), StartsWith("408 "));
  EXPECT_EQ(proxy.cluster().upstream_rq_max_duration_reached.value(), 2u);
}

TEST(Proxy_Timeouts, AClientOfInsideSaysHowLongATryMayLast) {
  ProxyHarness proxy([](config::Listener& listener, auto& cluster, auto&) {
    listener.chains[0].http()->use_remote_address = false;
    cluster.http.max_stream_duration = Duration::seconds(1);
  });
  Client& client = proxy.connect();
  client.send(get("/", "x-forwarded-for: 10.0.0.1\r\nx-envoy-upstream-stream-duration-ms: 3000\r\n"));
  proxy.advance(Duration::milliseconds(2990));
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(proxy.origin().connection().received().find("stream-duration"), std::string::npos);
  proxy.advance(kMore);
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
}

TEST(Proxy_Timeouts, AnIdleClientConnectionIsClosed) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->idle_timeout = Duration::seconds(1); });
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  proxy.advance(kAlmost);
  client.send(get());
  proxy.advance(kAlmost);
  EXPECT_FALSE(client.ended());
  proxy.advance(kMore);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.http().downstream_cx_idle_timeout.value(), 1u);
}

TEST(Proxy_Timeouts, AConnectionWithARequestIsNotIdle) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->idle_timeout = Duration::seconds(1); });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(3));
  EXPECT_FALSE(client.ended());
}

TEST(Proxy_Timeouts, MaxConnectionDurationClosesAfterTheRequestInProgress) {
  ProxyHarness proxy(
      [](auto& listener, auto&, auto&) { listener.chains[0].http()->max_connection_duration = Duration::seconds(1); });
  Client& busy = proxy.connect();
  Client& idle = proxy.connect();
  busy.send(get());
  proxy.advance(kAlmost + kMore);
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(busy.ended());
  proxy.origin().connection().send(ok("x"));
  proxy.run();
  EXPECT_THAT(busy.received(), HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(busy.ended());
  EXPECT_EQ(proxy.http().downstream_cx_max_duration_reached.value(), 2u);
}

TEST(Proxy_Timeouts, ALingeringConnectionIsGivenUpAfterTheDelayedCloseTimeout) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("BAD\r\n\r\n");
  proxy.run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 1u);  // waits for the client's end
  client.send("more of it");
  proxy.run();
  EXPECT_FALSE(client.was_reset());
  proxy.advance(Duration::milliseconds(1010));
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 0u);
}

TEST(Proxy_Timeouts, AClientThatDoesNotTakeItsLastAnswerIsResetAfterTheDelayedCloseTimeout) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    route.action = config::DirectResponse{.status = 200, .body = std::string(200'000, 'x')};
  });
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send(get("/", "connection: close\r\n"));
  proxy.run();
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 1u);
  proxy.advance(Duration::milliseconds(1010));
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 0u);
  EXPECT_TRUE(client.was_reset());
}

TEST(Proxy_Timeouts, AnIdleUpstreamConnectionIsClosed) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, auto&) { cluster.http.idle_timeout = Duration::seconds(1); });
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.advance(kAlmost);
  EXPECT_FALSE(proxy.origin().connection().ended());
  proxy.advance(kMore);
  EXPECT_TRUE(proxy.origin().connection().ended());
  EXPECT_EQ(proxy.cluster().upstream_cx_idle_timeout.value(), 1u);
}

TEST(Proxy_Timeouts, AnUpstreamConnectionIsReplacedAfterItsMaxDuration) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, auto&) { cluster.http.max_connection_duration = Duration::seconds(1); });
  proxy.origin().answer(ok("x"));
  proxy.exchange(get());
  proxy.advance(kAlmost + kMore);
  proxy.exchange(get());
  EXPECT_EQ(proxy.origin().connections(), 2u);
  EXPECT_EQ(proxy.cluster().upstream_cx_max_duration_reached.value(), 1u);
}

TEST(Proxy_Timeouts, AClientOfInsideMayWantNoErrorOfIt) {
  ProxyHarness proxy([](config::Listener& listener, auto&, config::Route& route) {
    listener.chains[0].http()->use_remote_address = false;
    std::get<config::ForwardAction>(route.action).timeout = Duration::seconds(2);
  });
  Client& client = proxy.connect();
  client.send(get("/", "x-forwarded-for: 10.0.0.1\r\nx-envoy-upstream-rq-timeout-alt-response: 1\r\n"));
  proxy.advance(Duration::seconds(3));
  EXPECT_THAT(client.received(), ::testing::StartsWith("HTTP/1.1 204 "));
  EXPECT_EQ(proxy.log(), "204 UT response_timeout 0/0|");
  EXPECT_EQ(proxy.origin().connection().received().find("alt-response"), std::string::npos);
}

}  // namespace
}  // namespace millrace::proxy::test
