// Requests that are tried again: with which body.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/retry_fixture.h"

namespace millrace::proxy::test {
namespace {

using config::RetryCondition;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

}  // namespace
}  // namespace millrace::proxy::test
