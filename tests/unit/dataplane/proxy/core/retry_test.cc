// Requests that are tried again: under which conditions, with which body, at which endpoint, within which time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using config::RetryCondition;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kUnavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
constexpr Duration kLongestBackOff = Duration::milliseconds(250);
constexpr SocketAddress kSecond{IpAddress::v4(198, 18, 1, 2), 8080};

using ChangePolicy = std::function<void(config::RetryPolicy&)>;

/// The route's policy: these conditions, and what else `change` wants.
void set_policy(config::Route& route, std::initializer_list<RetryCondition> conditions, const ChangePolicy& change = {}) {
  auto policy = std::make_shared<config::RetryPolicy>();
  for (const RetryCondition condition : conditions) policy->conditions.add(condition);
  if (change) change(*policy);
  action_of(route).retry = policy;
}

/// "code flags details attempts|" of each request.
void log_attempts(config::Listener& listener) {
  listener.chains[0].http()->access_logs[0].format =
      *config::compile_format("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n");
}

ProxyHarness::Change with_policy(std::initializer_list<RetryCondition> conditions, ChangePolicy change = {}) {
  return [conditions = std::vector(conditions), change = std::move(change)](config::Listener& listener, config::Cluster&,
                                                                            config::Route& route) {
    set_policy(route, {}, [&](config::RetryPolicy& policy) {
      for (const RetryCondition condition : conditions) policy.conditions.add(condition);
      if (change) change(policy);
    });
    log_attempts(listener);
  };
}

ProxyHarness::Change retries_5xx(std::uint32_t retries = 1) {
  return with_policy({RetryCondition::k5xx}, [=](config::RetryPolicy& policy) { policy.num_retries = retries; });
}

/// Answers the first `failures` requests that are complete with `failure`, all others with 200.
void fail_first(Origin& origin, int failures, std::string_view failure = kUnavailable) {
  origin.on_bytes([left = failures, failure = std::string(failure)](OriginConnection& connection) mutable {
    if (connection.received().find("\r\n\r\n") == std::string::npos) return;
    connection.clear_received();
    connection.send(left-- > 0 ? failure : ok("good"));
  });
}

/// What `client` has after all back-offs.
const std::string& outcome(ProxyHarness& proxy, Client& client) {
  proxy.advance(kLongestBackOff * 4);
  return client.received();
}

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

// --- bodies

constexpr std::uint32_t kLimit = 32 * 1024;

ProxyHarness::Change small_buffers(std::uint32_t keep = ~0u) {
  return [keep](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    set_policy(route, {RetryCondition::k5xx, RetryCondition::kReset}, [](auto& policy) { policy.num_retries = 2; });
    log_attempts(listener);
    listener.buffer_limit_bytes = kLimit;
    cluster.buffer_limit_bytes = kLimit;
    action_of(route).retry_buffer_limit_bytes = keep;
  };
}

std::string post(std::size_t bytes) {
  return "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(bytes) + "\r\n\r\n";
}

TEST(Proxy_RetriedBodies, AWholeBodyIsSentAgain) {
  ProxyHarness proxy(small_buffers());
  const std::string body = pattern(kLimit);
  Client& client = proxy.connect();
  client.send(post(body.size()) + body);
  proxy.run();
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(proxy.origin().connections(), i + 1);
    EXPECT_TRUE(body_of(proxy.origin().connection(i).received()) == body) << i;
    proxy.origin().connection(i).reset();
    proxy.advance(kLongestBackOff);
  }
  EXPECT_TRUE(body_of(proxy.origin().connection(2).received()) == body);
  proxy.origin().connection(2).send(ok("got it"));
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("got it"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 3|");
}

TEST(Proxy_RetriedBodies, ChunksAndTrailersToo) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    small_buffers()(listener, cluster, route);
    listener.chains[0].http()->enable_trailers = true;
  });
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
  proxy.run();
  client.send("6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n");
  proxy.run();
  proxy.origin().connection().reset();
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 2u);
  const std::string& again = proxy.origin().connection(1).received();
  EXPECT_THAT(again, AllOf(HasSubstr("hello"), HasSubstr(" world"), EndsWith("0\r\nx-sum: 11\r\n\r\n")));
}

TEST(Proxy_RetriedBodies, ABodyThatStillComesGoesOnBehindWhatWasKept) {
  ProxyHarness proxy(small_buffers());
  const std::string body = pattern(3'000);
  Client& client = proxy.connect();
  client.send(post(body.size()) + body.substr(0, 1'000));
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  client.send(body.substr(1'000, 1'000));  // while the request waits
  proxy.advance(kLongestBackOff);
  EXPECT_TRUE(body_of(proxy.origin().connection(1).received()) == body.substr(0, 2'000));
  client.send(body.substr(2'000));
  proxy.run();
  EXPECT_TRUE(body_of(proxy.origin().connection(1).received()) == body);
  proxy.origin().connection(1).send(ok("got it"));
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("got it"));
}

TEST(Proxy_RetriedBodies, ABodyByteByByteCostsNoBufferEach) {
  ProxyHarness proxy(small_buffers());
  const std::string body = pattern(4'000);
  Client& client = proxy.connect();
  client.send(post(body.size()));
  proxy.run();
  const std::size_t before = proxy.packets.in_use();
  for (const char byte : body) {
    client.send(std::string_view(&byte, 1));
    proxy.run();
  }
  EXPECT_LT(proxy.packets.in_use(), before + 20);
  proxy.origin().connection().reset();
  proxy.advance(kLongestBackOff);
  EXPECT_TRUE(body_of(proxy.origin().connection(1).received()) == body);
}

TEST(Proxy_RetriedBodies, ALargerOneArrivesAndIsNotRetried) {
  for (const std::uint32_t keep : {~0u, 1'000u, 0u}) {
    ProxyHarness proxy(small_buffers(keep));
    const std::string body = pattern(std::min(keep, kLimit) + 1);
    Client& client = proxy.connect();
    client.send(post(body.size()) + body);
    proxy.run();
    EXPECT_TRUE(body_of(proxy.origin().connection().received()) == body);
    EXPECT_EQ(proxy.cluster().retry_or_shadow_abandoned.value(), 1u);
    proxy.origin().connection().reset();
    EXPECT_THAT(outcome(proxy, client), StartsWith("HTTP/1.1 503 "));
    EXPECT_EQ(proxy.log(), "503 UC upstream_reset_before_response_started{connection_termination} 1|");
  }
}

TEST(Proxy_RetriedBodies, LittleIsKeptWhenPacketsAreScarce) {
  ProxyHarness proxy(small_buffers());
  std::vector<nic::Packet> taken;
  while (proxy.packets.in_use() < proxy.packets.capacity() / 2) taken.push_back(proxy.packets.allocate());
  const std::string body = pattern(kLimit);
  Client& client = proxy.connect();
  client.send(post(body.size()) + body);
  proxy.run();
  EXPECT_TRUE(body_of(proxy.origin().connection().received()) == body);
  EXPECT_EQ(proxy.cluster().retry_or_shadow_abandoned.value(), 1u);
}

TEST(Proxy_RetriedBodies, OneThatBecomesTooLargeWhileItWaitsIs507) {
  ProxyHarness proxy(small_buffers(1'000));
  Client& client = proxy.connect();
  client.send(post(2'000) + pattern(900));
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  client.send(pattern(200));
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 507 Insufficient Storage\r\n"));
  EXPECT_THAT(client.received(), EndsWith("exceeded request buffer limit while retrying upstream"));
  EXPECT_EQ(proxy.log(), "507 - request_payload_exceeded_retry_buffer_limit 1|");
  proxy.advance(kLongestBackOff);
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_RetriedBodies, TheClientIsHeldBackWhileItWaits) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    small_buffers()(listener, cluster, route);
    set_policy(route, {RetryCondition::kReset}, [](auto& policy) {
      policy.base_interval = Duration::seconds(100);
      policy.max_interval = Duration::seconds(1'000);
    });
    action_of(route).timeout = Duration();
  });
  const std::string body = pattern(kLimit);
  Client& client = proxy.connect();
  client.send(post(1'000'000) + body);
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 1u);
  client.send(pattern(10));
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 507 ")) << "kept as much as may be";
}

// An upstream that does not read holds the client back in the second try as in the first.
TEST(Proxy_RetriedBodies, TheSecondUpstreamHoldsTheClientBackToo) {
  ProxyHarness proxy(small_buffers());
  const std::string body = pattern(kLimit);
  Client& client = proxy.connect();
  client.send(post(1'000'000) + body);
  proxy.run();
  proxy.origin().pause_reading();
  proxy.origin().connection().reset();
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 2u);
  client.send(pattern(1'000'000 - kLimit));
  proxy.run();
  EXPECT_GT(client.unsent(), 500'000u);
  proxy.origin().connection(1).set_reading(true);
  proxy.run();
  EXPECT_EQ(client.unsent(), 0u);
  EXPECT_TRUE(body_of(proxy.origin().connection(1).received()) == body + pattern(1'000'000 - kLimit));
}

TEST(Proxy_RetriedBodies, AnAnswerInTheMiddleOfABodyIsRetried) {
  ProxyHarness proxy(small_buffers());
  Client& client = proxy.connect();
  client.send(post(10) + "hello");
  proxy.run();
  proxy.origin().connection().send(std::string(kUnavailable));
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 2u);
  EXPECT_TRUE(proxy.origin().connection(0).was_reset());
  client.send("world");
  proxy.run();
  EXPECT_THAT(proxy.origin().connection(1).received(), EndsWith("helloworld"));
  proxy.origin().connection(1).send(ok("good"));
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("good"));
}

// --- time

TEST(Proxy_RetryTimeouts, ATryThatTakesTooLongIsRetried) {
  ProxyHarness proxy(with_policy({RetryCondition::kGatewayError},
                                 [](config::RetryPolicy& policy) { policy.per_try_timeout = Duration::seconds(1); }));
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(990));
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 0u);
  proxy.advance(Duration::milliseconds(20));
  EXPECT_EQ(proxy.cluster().upstream_rq_per_try_timeout.value(), 1u);
  EXPECT_EQ(proxy.endpoint().rq_timeout.value(), 1u);
  EXPECT_TRUE(proxy.origin().connection(0).was_reset());
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 2u);
  proxy.origin().connection(1).send(ok("good"));
  proxy.run();
  EXPECT_EQ(proxy.log(), "200 - via_upstream 2|");
}

TEST(Proxy_RetryTimeouts, WithoutAnotherTryItIs504) {
  ProxyHarness proxy(with_policy({RetryCondition::kConnectFailure},
                                 [](config::RetryPolicy& policy) { policy.per_try_timeout = Duration::seconds(1); }));
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(1'010));
  EXPECT_THAT(client.received(), AllOf(StartsWith("HTTP/1.1 504 "), EndsWith("upstream request timeout")));
  EXPECT_EQ(proxy.log(), "504 UT upstream_per_try_timeout 1|");
  EXPECT_EQ(proxy.endpoint().rq_error.value(), 1u);
}

TEST(Proxy_RetryTimeouts, ATryBeginsWithTheWholeRequest) {
  ProxyHarness proxy(with_policy({}, [](config::RetryPolicy& policy) { policy.per_try_timeout = Duration::seconds(1); }));
  Client& client = proxy.connect();
  client.send(post(5) + "hel");
  proxy.advance(Duration::seconds(3));
  client.send("lo");
  proxy.advance(Duration::milliseconds(990));
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
}

TEST(Proxy_RetryTimeouts, AResponseThatHasBegunHasTheRoutesTime) {
  ProxyHarness proxy(
      with_policy({RetryCondition::k5xx}, [](config::RetryPolicy& policy) { policy.per_try_timeout = Duration::seconds(1); }));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
  proxy.advance(Duration::seconds(3));
  proxy.origin().connection().send("lf");
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("half"));
  EXPECT_EQ(proxy.cluster().upstream_rq_per_try_timeout.value(), 0u);
}

TEST(Proxy_RetryTimeouts, ATryWithoutProgressIsRetriedOrCutOff) {
  ProxyHarness proxy(with_policy({RetryCondition::kReset},
                                 [](config::RetryPolicy& policy) { policy.per_try_idle_timeout = Duration::seconds(1); }));
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(1'010));
  EXPECT_EQ(proxy.cluster().upstream_rq_per_try_idle_timeout.value(), 1u);
  proxy.advance(kLongestBackOff);
  ASSERT_EQ(proxy.origin().connections(), 2u);
  proxy.origin().connection(1).send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
  proxy.advance(Duration::milliseconds(900));
  proxy.origin().connection(1).send("l");
  proxy.advance(Duration::milliseconds(900));
  EXPECT_FALSE(client.gone());
  proxy.advance(Duration::milliseconds(200));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.log(), "200 UT upstream_per_try_idle_timeout 2|");
  EXPECT_EQ(proxy.endpoint().rq_error.value(), 1u) << "the second try had its response";
}

TEST(Proxy_RetryTimeouts, AnUpstreamThatHasSaidAllIsNotIdle) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    set_policy(route, {RetryCondition::kReset}, [](auto& policy) { policy.per_try_idle_timeout = Duration::seconds(1); });
    cluster.buffer_limit_bytes = 2'000'000;
    listener.buffer_limit_bytes = 32 * 1024;
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.set_reading(false);
  const std::string body = pattern(500'000);
  proxy.origin().connection().send(ok(body));
  proxy.advance(Duration::seconds(3));
  EXPECT_EQ(proxy.cluster().upstream_rq_per_try_idle_timeout.value(), 0u);
  client.set_reading(true);
  proxy.run();
  EXPECT_TRUE(body_of(client.received()) == body);
}

TEST(Proxy_RetryTimeouts, TheRoutesTimeCoversAllTriesAndWaits) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    set_policy(route, {RetryCondition::k5xx}, [](auto& policy) {
      policy.num_retries = 100;
      policy.reset_headers = {{"retry-after", config::ResetHeader::Format::kSeconds}};
    });
    log_attempts(listener);
    action_of(route).timeout = Duration::milliseconds(2'500);
  });
  fail_first(proxy.origin(), 100, "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(2'490));
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(proxy.log(), StartsWith("504 UT response_timeout "));
  EXPECT_EQ(proxy.cluster().upstream_rq_timeout.value(), 0u) << "no try was in progress";
  proxy.advance(Duration::seconds(5));
}

TEST(Proxy_RetryTimeouts, ARequestThatEndsWhileItWaitsHasTheRoutesTimeToo) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    set_policy(route, {RetryCondition::kReset}, [](auto& policy) {
      policy.base_interval = Duration::seconds(500);
      policy.max_interval = Duration::seconds(1'000);
    });
    log_attempts(listener);
    action_of(route).timeout = Duration::seconds(1);
  });
  Client& client = proxy.connect();
  client.send(post(5) + "hel");
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  client.send("lo");
  proxy.advance(Duration::milliseconds(1'010));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
}

// --- who goes away meanwhile

TEST(Proxy_RetryWaits, AClientThatLeavesEndsIt) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.reset();
  proxy.advance(kLongestBackOff);
  EXPECT_THAT(proxy.log(), StartsWith("0 DC downstream_remote_disconnect 1|"));
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 1u);
}

TEST(Proxy_RetryWaits, ADrainLetsItEnd) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.proxy->start_drain(proxy.now);
  EXPECT_FALSE(proxy.proxy->idle());
  EXPECT_THAT(outcome(proxy, client), AllOf(HasSubstr("connection: close\r\n"), EndsWith("good")));
  client.close();
  proxy.run();
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(Proxy_RetryWaits, WithoutItsEndpointItIsUnhealthy) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].healthy = false;
    cluster.healthy_weight = 0;
  });
  EXPECT_EQ(body_of(outcome(proxy, client)), "no healthy upstream");
  EXPECT_EQ(proxy.log(), "503 UH no_healthy_upstream 2|");
}

TEST(Proxy_RetryWaits, WithoutItsClusterToo) {
  ProxyHarness proxy(retries_5xx());
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    cluster.name = "another";
    cluster.cell = std::make_shared<report::ClusterCell>(1, "another", 1);
  });
  EXPECT_EQ(body_of(outcome(proxy, client)), "no healthy upstream");
}

TEST(Proxy_RetryWaits, AnEndpointThatMovesMeanwhileIsFound) {
  ProxyHarness proxy(retries_5xx());
  Origin moved(proxy.chains, proxy.now);
  moved.answer(ok("moved"));
  proxy.net.listen(kSecond, moved);
  fail_first(proxy.origin(), 1);
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].address = kSecond;
    cluster.endpoints[0].cell = std::make_shared<report::EndpointCell>(1, 1);
  });
  EXPECT_THAT(outcome(proxy, client), EndsWith("moved"));
  client.reset();
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
}

// --- where

struct TwoEndpoints : ::testing::Test {
  void start(const ChangePolicy& change) {
    proxy.emplace([&](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
      set_policy(route, {RetryCondition::kConnectFailure}, [&](config::RetryPolicy& policy) {
        policy.host_selection_retries = 20;
        change(policy);
      });
      log_attempts(listener);
      cluster.load_balancing = config::LoadBalancing::kRandom;
      config::Endpoint second = cluster.endpoints[0];
      second.address = kSecond;
      second.cell = std::make_shared<report::EndpointCell>(1, 1);
      cluster.endpoints.push_back(second);
      cluster.endpoints[0].canary = true;
      cluster.healthy_weight = 2;
    });
    proxy->net.close_listener(ProxyHarness::kOrigin);
    second_ = std::make_unique<Origin>(proxy->chains, proxy->now);
    second_->answer(ok("second"));
    proxy->net.listen(kSecond, *second_);
  }
  void TearDown() override {
    proxy->proxy->force_close_all(proxy->now);
    proxy->run();
    proxy->net.close_listener(kSecond);
    second_.reset();
    proxy.reset();
  }

  std::optional<ProxyHarness> proxy;
  std::unique_ptr<Origin> second_;
};

// Half of the first tries go to an endpoint that refuses; with a predicate no second one does.
TEST_F(TwoEndpoints, PreviousHostsAreAvoided) {
  start([](config::RetryPolicy& policy) { policy.avoid_previous_hosts = true; });
  for (int i = 0; i < 50; ++i) {
    Client& client = proxy->connect();
    client.send(get());
    EXPECT_THAT(outcome(*proxy, client), EndsWith("second")) << i;
    client.close();
  }
  EXPECT_GT(proxy->cluster().upstream_rq_retry.value(), 5u);
}

TEST_F(TwoEndpoints, PreviousPrioritiesAreAvoided) {
  start([](config::RetryPolicy& policy) { policy.priority_update_frequency = 1; });
  proxy->reconfigure([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.endpoints[1].priority = 1; });
  for (int i = 0; i < 5; ++i) {
    Client& client = proxy->connect();
    client.send(get());
    EXPECT_THAT(outcome(*proxy, client), EndsWith("second")) << i;
    client.close();
  }
  EXPECT_EQ(proxy->cluster().upstream_rq_retry.value(), 5u) << "the first priority is healthy, and refuses";
}

TEST_F(TwoEndpoints, CanariesAreAvoided) {
  start([](config::RetryPolicy& policy) { policy.avoid_canary_hosts = true; });
  for (int i = 0; i < 50; ++i) {
    Client& client = proxy->connect();
    client.send(get());
    EXPECT_THAT(outcome(*proxy, client), EndsWith("second")) << i;
    client.close();
  }
  EXPECT_GT(proxy->cluster().upstream_rq_retry.value(), 5u);
}

TEST_F(TwoEndpoints, WithoutAPredicateARetryMayMeetTheSameOne) {
  start([](config::RetryPolicy&) {});
  for (int i = 0; i < 100; ++i) {
    Client& client = proxy->connect();
    client.send(get());
    proxy->advance(kLongestBackOff);
    client.close();
  }
  EXPECT_GT(proxy->cluster().upstream_rq_retry_limit_exceeded.value(), 5u);
}

// --- how many at a time

TEST(Proxy_RetryLimits, BeyondTheLimitFailuresGoToTheClient) {
  ProxyHarness proxy([](auto& listener, auto& cluster, auto& route) {
    retries_5xx()(listener, cluster, route);
    cluster.breakers.thresholds[0].max_retries = 1;
  });
  fail_first(proxy.origin(), 2);
  Client& first = proxy.connect();
  first.send(get());
  proxy.run();
  Client& second = proxy.connect();
  second.send(get());
  proxy.run();
  EXPECT_THAT(second.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 UO via_upstream 1|");
  EXPECT_EQ(proxy.cluster().upstream_rq_retry_overflow.value(), 1u);
  EXPECT_THAT(outcome(proxy, first), EndsWith("good"));
  fail_first(proxy.origin(), 1);
  Client& third = proxy.connect();
  third.send(get());
  EXPECT_THAT(outcome(proxy, third), EndsWith("good")) << "the first is over";
}

}  // namespace
}  // namespace millrace::proxy::test
