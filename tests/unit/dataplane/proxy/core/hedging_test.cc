// Hedging: a try whose time runs out goes on beside its successor, and the first good response wins.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

constexpr auto kTryTimeout = Duration::milliseconds(100);
constexpr std::string_view kUnavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

ProxyHarness::Change hedged(std::uint32_t retries = 1, bool hedge = true) {
  return [=](auto&, auto&, config::Route& route) {
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    policy->num_retries = retries;
    policy->per_try_timeout = kTryTimeout;
    action_of(route).retry = policy;
    action_of(route).hedge_on_try_timeout = hedge;
  };
}

/// A request that has waited until its first try was overtaken.
struct Hedged {
  explicit Hedged(const ProxyHarness::Change& change = hedged(), std::string_view request = get())
      : proxy(change), client(proxy.connect()) {
    client.send(request);
    proxy.advance(kTryTimeout + Duration::milliseconds(1));
  }
  void answer(std::size_t connection, std::string_view response) {
    proxy.origin().connection(connection).send(response);
    proxy.run();
  }
  ProxyHarness proxy;
  Client& client;
};

TEST(Proxy_Hedging, ASecondTryBeginsBesideTheFirst) {
  Hedged setup;
  ASSERT_EQ(setup.proxy.origin().connections(), 2u) << "at once, without a back-off";
  EXPECT_FALSE(setup.proxy.origin().connection(0).gone());
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 2);
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_per_try_timeout.value(), 1u);
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_retry.value(), 1u);
  EXPECT_EQ(setup.proxy.endpoint().rq_timeout.value(), 1u);
}

TEST(Proxy_Hedging, TheFirstMayStillWin) {
  Hedged setup;
  setup.answer(0, ok("slow"));
  EXPECT_THAT(setup.client.received(), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("slow")));
  EXPECT_TRUE(setup.proxy.origin().connection(1).was_reset());
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 0);
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_retry_success.value(), 1u);
}

TEST(Proxy_Hedging, OrTheSecond) {
  Hedged setup;
  setup.answer(1, ok("second"));
  EXPECT_THAT(setup.client.received(), EndsWith("second"));
  EXPECT_TRUE(setup.proxy.origin().connection(0).was_reset());
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 0);
}

TEST(Proxy_Hedging, ABodyOfTheWinnerArrivesWhole) {
  Hedged setup;
  const std::string body = pattern(300'000);
  setup.proxy.origin().connection(0).send("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + body.substr(0, 1'000));
  setup.proxy.run();
  setup.answer(0, body.substr(1'000));
  EXPECT_EQ(body_of(setup.client.received()), body);
}

TEST(Proxy_Hedging, ABadResponseOfTheFirstIsDropped) {
  Hedged setup;
  setup.answer(0, kUnavailable);
  EXPECT_EQ(setup.client.received(), "");
  setup.answer(1, ok("second"));
  EXPECT_THAT(setup.client.received(), EndsWith("second"));
}

TEST(Proxy_Hedging, ABadResponseOfTheLastIsTheClientsWhenNoRetryIsLeft) {
  Hedged setup;
  setup.answer(1, kUnavailable);
  EXPECT_THAT(setup.client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(setup.proxy.origin().connection(0).was_reset());
}

TEST(Proxy_Hedging, ABadResponseOfTheLastIsRetriedWhileThatIsAllowed) {
  Hedged setup(hedged(2));
  setup.answer(1, kUnavailable);
  EXPECT_EQ(setup.client.received(), "");
  setup.proxy.advance(Duration::milliseconds(60));
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_retry.value(), 2u);
  setup.answer(0, ok("first after all"));
  EXPECT_THAT(setup.client.received(), EndsWith("first after all"));
}

TEST(Proxy_Hedging, AResetOfTheLastLeavesTheFirstToBeAwaited) {
  Hedged setup;
  setup.proxy.origin().connection(1).reset();
  setup.proxy.run();
  EXPECT_EQ(setup.client.received(), "");
  setup.answer(0, ok("slow"));
  EXPECT_THAT(setup.client.received(), EndsWith("slow"));
}

TEST(Proxy_Hedging, WhenAllAreResetTheClientHears) {
  Hedged setup;
  setup.proxy.origin().connection(0).reset();
  setup.proxy.run();
  EXPECT_EQ(setup.client.received(), "");
  setup.proxy.origin().connection(1).reset();
  setup.proxy.run();
  EXPECT_THAT(setup.client.received(), StartsWith("HTTP/1.1 503 "));
}

TEST(Proxy_Hedging, WithoutARetryLeftTheLastTryHasTheRoutesTime) {
  Hedged setup;
  setup.proxy.advance(Duration::seconds(5));
  EXPECT_EQ(setup.client.received(), "");
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 2);
  setup.proxy.advance(Duration::seconds(11));
  EXPECT_THAT(setup.client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 0);
}

TEST(Proxy_Hedging, TheBodyGoesToEachTry) {
  Hedged setup(hedged(), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
  EXPECT_THAT(setup.proxy.origin().connection(0).received(), EndsWith("\r\n\r\nbody"));
  EXPECT_THAT(setup.proxy.origin().connection(1).received(), EndsWith("\r\n\r\nbody"));
}

TEST(Proxy_Hedging, AClientThatLeavesEndsAllTries) {
  Hedged setup;
  setup.client.reset();
  setup.proxy.run();
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_active.value(), 0);
}

TEST(Proxy_Hedging, ARequestMayAskForItOrNot) {
  const auto of_inside = [](ProxyHarness::Change change) -> ProxyHarness::Change {
    return [change](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
      change(listener, cluster, route);
      listener.chains[0].http()->use_remote_address = false;
    };
  };
  Hedged asks(of_inside(hedged(1, false)), get("/", "x-forwarded-for: 10.0.0.1\r\nx-envoy-hedge-on-per-try-timeout: true\r\n"));
  EXPECT_FALSE(asks.proxy.origin().connection(0).gone());
  Hedged refuses(of_inside(hedged()), get("/", "x-forwarded-for: 10.0.0.1\r\nx-envoy-hedge-on-per-try-timeout: false\r\n"));
  EXPECT_TRUE(refuses.proxy.origin().connection(0).was_reset());
}

}  // namespace
}  // namespace millrace::proxy::test
