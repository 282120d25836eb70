// Requests that are tried again: within which time, at which endpoint, how often.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/retry_fixture.h"

namespace millrace::proxy::test {
namespace {

using config::RetryCondition;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
