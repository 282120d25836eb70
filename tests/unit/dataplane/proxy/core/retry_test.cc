// Requests that are tried again: under which conditions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/retry_fixture.h"

namespace millrace::proxy::test {
namespace {

using config::RetryCondition;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Proxy_Retries, ABadStatusIsRetried) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_EQ(client.received(), "") << "the back-off is not over";
  EXPECT_THAT(outcome(proxy, client), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("good")));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 2|");
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_success.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_backoff_exponential.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 2u);
  EXPECT_EQ(proxy.cluster().upstream_rq_5xx.value(), 0u) << "of what clients get";
  EXPECT_EQ(proxy.endpoint().rq_error.value(), 1u);
  EXPECT_EQ(proxy.endpoint().rq_success.value(), 1u);
  EXPECT_EQ(proxy.origin().connections(), 1u) << "an exchange that was complete leaves its connection";
}

TEST(Proxy_Retries, WithoutAPolicyNothingIs) {
  ProxyHarness proxy;
  fail_first(proxy.origin(), 1);
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 0u);
}

TEST(Proxy_Retries, TheLastAnswerGoesToTheClientWhenAllAreUsed) {
  ProxyHarness proxy(retries_5xx(2));
  fail_first(proxy.origin(), 9);
  Client& client = proxy.connect();
  client.send(get());
  EXPECT_THAT(outcome(proxy, client), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(client.received(), Not(HasSubstr("x-envoy-overloaded")));
  EXPECT_EQ(proxy.log(), "503 URX via_upstream 3|");
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 2u);
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_success.value(), 0u);
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_limit_exceeded.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_5xx.value(), 1u);
}

TEST(Proxy_Retries, AResponseWithABodyIsCutOff) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad");
  Client& client = proxy.connect();
  client.send(get());
  EXPECT_THAT(outcome(proxy, client), EndsWith("good"));
  EXPECT_THAT(client.received(), Not(HasSubstr("bad")));
  EXPECT_EQ(proxy.origin().connections(), 2u);
  EXPECT_TRUE(proxy.origin().connection(0).was_reset());
}

TEST(Proxy_Retries, ARefusedConnectionIsRetried) {
  ProxyHarness proxy(with_policy({RetryCondition::kConnectFailure}));
  proxy.origin().answer(ok("back"));
  proxy.net.close_listener(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_EQ(client.received(), "");
  proxy.net.listen(ProxyHarness::kOrigin, proxy.origin());
  EXPECT_THAT(outcome(proxy, client), EndsWith("back"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 2|");
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 1u) << "the first never had a connection";
}

TEST(Proxy_Retries, TheLastFailureIsTold) {
  ProxyHarness proxy(with_policy({RetryCondition::kConnectFailure}));
  proxy.net.close_listener(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  EXPECT_EQ(body_of(outcome(proxy, client)),
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection "
            "failure, transport failure reason: connection refused");
  EXPECT_EQ(proxy.log(), "503 UF,URX upstream_reset_before_response_started{remote_connection_failure} 2|");
}

// What a policy for one kind of failure does with another.
TEST(Proxy_Retries, AResetIsNoFailureToConnect) {
  ProxyHarness proxy(with_policy({RetryCondition::kConnectFailure, RetryCondition::kResetBeforeRequest}));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().reset();
  EXPECT_THAT(outcome(proxy, client), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 UC upstream_reset_before_response_started{connection_termination} 1|");
}

TEST(Proxy_Retries, AResetIsRetried) {
  ProxyHarness proxy(with_policy({RetryCondition::kReset}));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().reset();
  fail_first(proxy.origin(), 0);
  EXPECT_THAT(outcome(proxy, client), EndsWith("good"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 2|");
}

TEST(Proxy_Retries, ResetBeforeRequestRetriesWhatWasNotSent) {
  ProxyHarness proxy(with_policy({RetryCondition::kResetBeforeRequest}));
  proxy.net.close_listener(ProxyHarness::kOrigin);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.net.listen(ProxyHarness::kOrigin, proxy.origin());
  fail_first(proxy.origin(), 0);
  EXPECT_THAT(outcome(proxy, client), EndsWith("good"));
}

TEST(Proxy_Retries, NothingIsRetriedOnceTheResponseHasBegun) {
  ProxyHarness proxy(with_policy({RetryCondition::kReset, RetryCondition::k5xx}));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  proxy.run();
  proxy.origin().connection().reset();
  proxy.advance(kLongestBackOff);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.log(), "200 UC upstream_reset_after_response_started{connection_termination} 1|");
}

TEST(Proxy_Retries, AnInterimResponseIsABeginningToo) {
  ProxyHarness proxy(with_policy({RetryCondition::kReset, RetryCondition::k5xx}));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  proxy.run();
  proxy.origin().connection().send(std::string(kUnavailable));
  EXPECT_THAT(outcome(proxy, client), HasSubstr("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 - via_upstream 1|");
}

TEST(Proxy_Retries, ASwitchedProtocolIsNot) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    action_of(route).websocket = true;
    set_policy(route, {RetryCondition::kRetriableStatusCodes}, [](auto& policy) { policy.status_codes = {101, 403}; });
    log_attempts(listener);
  });
  const auto ask = [&](Client& client) {
    client.send(get("/", "connection: upgrade\r\nupgrade: websocket\r\n"));
    proxy.run();
  };
  Client& client = proxy.connect();
  ask(client);
  proxy.origin().connection().send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 101 "));

  Client& refused = proxy.connect();
  ask(refused);
  proxy.origin().connection(1).send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 3u);
  EXPECT_THAT(proxy.origin().connection(2).received(), HasSubstr("upgrade: websocket\r\n"));
}

TEST(Proxy_Retries, TheClientMayAskForThem) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { log_attempts(listener); });
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    connection.send(std::string(kUnavailable));
  });
  Client& client = proxy.connect();
  client.send(get("/", "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 2\r\n"));
  EXPECT_THAT(outcome(proxy, client), StartsWith("HTTP/1.1 503 "));
  // The client is a stranger here unless its address says otherwise.
  const bool stranger = proxy.cluster().upstream_rq_retry.value() == 0;
  EXPECT_EQ(proxy.log(), stranger ? "503 - via_upstream 1|" : "503 URX via_upstream 3|");
  EXPECT_THAT(seen, Not(HasSubstr("x-envoy-retry-on")));
  EXPECT_THAT(seen, Not(HasSubstr("x-envoy-max-retries")));
}

TEST(Proxy_Retries, ARouteMayAskForThemByFields) {
  ProxyHarness proxy([](auto& listener, auto&, config::Route& route) {
    route.headers.request_add.push_back({.name = "x-envoy-retry-on", .value = *config::compile_format("5xx")});
    log_attempts(listener);
  });
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  EXPECT_THAT(outcome(proxy, client), EndsWith("good"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 2|");
}

TEST(Proxy_Retries, TheUpstreamHearsWhichTryItIs) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    set_policy(route, {RetryCondition::k5xx});
    log_attempts(listener);
    action_of(route).timeout = Duration::seconds(10);
  });
  proxy.count_attempts();
  std::vector<std::string> seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen.push_back(connection.take_received());
    if (seen.size() == 2) connection.send(ok("good"));
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(2));
  proxy.origin().connection().send(std::string(kUnavailable));
  EXPECT_THAT(outcome(proxy, client), EndsWith("good"));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_THAT(seen[0], AllOf(HasSubstr("x-envoy-attempt-count: 1\r\n"), HasSubstr("x-envoy-expected-rq-timeout-ms: 10000\r\n")));
  EXPECT_THAT(seen[1], HasSubstr("x-envoy-attempt-count: 2\r\n"));
  EXPECT_THAT(seen[1], HasSubstr("x-envoy-expected-rq-timeout-ms: 79")) << "what is left";
}

TEST(Proxy_Retries, AResponseMaySayWhen) {
  ProxyHarness proxy(with_policy({RetryCondition::k5xx}, [](config::RetryPolicy& policy) {
    policy.reset_headers = {{"retry-after", config::ResetHeader::Format::kSeconds}};
  }));
  fail_first(proxy.origin(), 1, "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n");
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(1'990));
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(1'010));
  EXPECT_THAT(client.received(), EndsWith("good"));
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_backoff_ratelimited.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_backoff_exponential.value(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
