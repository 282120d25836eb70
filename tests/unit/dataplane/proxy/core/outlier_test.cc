// What the proxy tells outlier detection of requests and connections, and when it looks at rates. The algorithms are tested by
// themselves (tests/unit/dataplane/proxy/outlier).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using report::EndpointFault;
using testing::EndsWith;
using testing::StartsWith;

void watch(config::Cluster& cluster, bool split = false) {
  cluster.outlier_detection.emplace();
  cluster.outlier_detection->max_ejection_percent = 100;
  cluster.outlier_detection->split_external_local_origin_errors = split;
}

ProxyHarness::Change watched(bool split = false) {
  return [split](config::Listener&, config::Cluster& cluster, config::Route&) { watch(cluster, split); };
}

const report::EndpointCell& endpoint_of(ProxyHarness& proxy) { return *proxy.current_cluster().endpoints[0].cell; }
bool ejected(ProxyHarness& proxy) { return endpoint_of(proxy).has(EndpointFault::kEjected); }
std::uint32_t failures(ProxyHarness& proxy) { return endpoint_of(proxy).outlier.peek().consecutive_5xx.load(); }
std::uint32_t local_failures(ProxyHarness& proxy) {
  return endpoint_of(proxy).outlier.peek().consecutive_local_origin_failure.load();
}
std::string unavailable() { return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"; }

TEST(Proxy_OutlierDetection, FiveFailuresInARowEjectAndTheTimerLetsReturn) {
  ProxyHarness proxy(watched());
  proxy.origin().answer(unavailable());
  for (int i = 0; i < 4; ++i) (void)proxy.exchange(get());
  EXPECT_FALSE(ejected(proxy));
  (void)proxy.exchange(get());
  EXPECT_TRUE(ejected(proxy));
  EXPECT_EQ(proxy.cluster().outlier.ejections_enforced_consecutive_5xx.value(), 1u);
  EXPECT_EQ(proxy.current_cluster().cell->outlier.peek().ejected.load(), 1u);
  proxy.advance(Duration::seconds(29));
  EXPECT_TRUE(ejected(proxy));
  proxy.advance(Duration::seconds(11));
  EXPECT_FALSE(ejected(proxy));
}

TEST(Proxy_OutlierDetection, ASuccessEndsARunOfFailures) {
  ProxyHarness proxy(watched());
  proxy.origin().answer(unavailable());
  for (int i = 0; i < 4; ++i) (void)proxy.exchange(get());
  EXPECT_EQ(failures(proxy), 4u);
  proxy.origin().answer(ok("good"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("good"));
  EXPECT_EQ(failures(proxy), 0u);
  EXPECT_EQ(proxy.endpoint().external_results.requests.value(), 5u);
  EXPECT_EQ(proxy.endpoint().external_results.successes.value(), 1u);
}

TEST(Proxy_OutlierDetection, ResponsesThatAreRetriedCount) {
  ProxyHarness proxy([](config::Listener&, config::Cluster& cluster, config::Route& route) {
    watch(cluster);
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    policy->num_retries = 2;
    std::get<config::ForwardAction>(route.action).retry = policy;
  });
  proxy.origin().answer(unavailable());
  proxy.connect().send(get());
  proxy.advance(Duration::seconds(1));
  EXPECT_EQ(failures(proxy), 3u);
}

TEST(Proxy_OutlierDetection, ARefusedConnectionIsAFailureOfOurs) {
  for (const bool split : {false, true}) {
    ProxyHarness proxy(watched(split));
    proxy.net.close_listener(ProxyHarness::kOrigin);
    EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
    EXPECT_EQ(failures(proxy), split ? 0u : 1u);
    EXPECT_EQ(local_failures(proxy), split ? 1u : 0u);
    EXPECT_EQ(endpoint_of(proxy).outlier.peek().consecutive_gateway_failure.load(), split ? 0u : 1u);
  }
}

TEST(Proxy_OutlierDetection, AConnectionThatTimesOutIsAFailureOfOurs) {
  ProxyHarness proxy(watched(true));
  proxy.net.set_silent(ProxyHarness::kOrigin);
  proxy.connect().send(get());
  proxy.advance(Duration::seconds(6));
  EXPECT_EQ(local_failures(proxy), 1u);
}

TEST(Proxy_OutlierDetection, AResetIsAFailureOfOurs) {
  for (const bool split : {false, true}) {
    ProxyHarness proxy(watched(split));
    proxy.connect().send(get());
    proxy.run();
    proxy.origin().connection().reset();
    proxy.run();
    EXPECT_EQ(split ? local_failures(proxy) : failures(proxy), 1u);
  }
}

TEST(Proxy_OutlierDetection, ARequestThatTimesOutIsAFailureOfOurs) {
  for (const bool split : {false, true}) {
    ProxyHarness proxy(watched(split));
    proxy.connect().send(get());
    proxy.advance(Duration::seconds(16));
    EXPECT_EQ(split ? local_failures(proxy) : failures(proxy), 1u);
    EXPECT_THAT(proxy.log(), StartsWith("504 UT "));
  }
}

TEST(Proxy_OutlierDetection, ATryThatTimesOutIsAFailureOfOurs) {
  ProxyHarness proxy([](config::Listener&, config::Cluster& cluster, config::Route& route) {
    watch(cluster, true);
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    policy->per_try_timeout = Duration::seconds(1);
    std::get<config::ForwardAction>(route.action).retry = policy;
  });
  proxy.connect().send(get());
  proxy.advance(Duration::milliseconds(1'010));
  EXPECT_EQ(local_failures(proxy), 1u);
}

TEST(Proxy_OutlierDetection, ARequestThatGetsAConnectionIsASuccessOfOurs) {
  ProxyHarness proxy(watched(true));
  proxy.origin().answer(unavailable());
  (void)proxy.exchange(get());
  EXPECT_EQ(proxy.endpoint().local_results.requests.value(), 1u);
  EXPECT_EQ(proxy.endpoint().local_results.successes.value(), 1u);
  EXPECT_EQ(proxy.endpoint().external_results.successes.value(), 0u);
}

TEST(Proxy_OutlierDetection, LimitsAndClientsAreNotTheEndpointsFault) {
  ProxyHarness proxy([](config::Listener&, config::Cluster& cluster, config::Route&) {
    watch(cluster);
    cluster.breakers.thresholds[0].max_requests = 1;
  });
  Client& leaving = proxy.connect();
  leaving.send(get());
  proxy.run();
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 ")) << "an overflow";
  leaving.reset();
  proxy.run();
  EXPECT_EQ(failures(proxy), 0u);
}

TEST(Proxy_OutlierDetection, OnlyTheFirstWorkerSweeps) {
  for (const std::uint32_t worker : {0u, 1u}) {
    ProxyHarness proxy(watched(), ProxyHarness::small_limits(), worker);
    proxy.origin().answer(unavailable());
    for (int i = 0; i < 5; ++i) (void)proxy.exchange(get());
    EXPECT_TRUE(ejected(proxy)) << "each may eject";
    proxy.advance(Duration::seconds(60));
    EXPECT_EQ(ejected(proxy), worker != 0);
  }
}

TEST(Proxy_OutlierDetection, EndsWithItsConfiguration) {
  ProxyHarness proxy(watched());
  proxy.origin().answer(unavailable());
  for (int i = 0; i < 5; ++i) (void)proxy.exchange(get());
  ASSERT_TRUE(ejected(proxy));
  proxy.reconfigure([](auto&, auto&, auto&) {});
  EXPECT_TRUE(ejected(proxy)) << "another version changes nothing";
  proxy.reconfigure([](auto&, auto& cluster, auto&) { cluster.outlier_detection.reset(); });
  EXPECT_FALSE(ejected(proxy));
  for (int i = 0; i < 9; ++i) (void)proxy.exchange(get());
  EXPECT_FALSE(ejected(proxy));
}

TEST(Proxy_OutlierDetection, AnIntervalGoesOnThroughNewConfigurations) {
  ProxyHarness proxy(watched());
  proxy.origin().answer(unavailable());
  for (int i = 0; i < 5; ++i) (void)proxy.exchange(get());
  for (int i = 0; i < 9; ++i) {
    proxy.advance(Duration::seconds(5));
    proxy.reconfigure([](auto&, auto&, auto&) {});
  }
  EXPECT_FALSE(ejected(proxy));
}

TEST(TcpProxy_OutlierDetection, ConnectionsThatFailAreFailures) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { watch(cluster); });
  it->net.close_listener(ProxyHarness::kOrigin);
  for (int i = 0; i < 4; ++i) it->connect();
  it->run();
  EXPECT_EQ(failures(*it.proxy), 4u);
  it->connect();
  it->run();
  EXPECT_TRUE(ejected(*it.proxy));
}

TEST(TcpProxy_OutlierDetection, ConnectionsThatAreMadeAreSuccesses) {
  for (const bool split : {false, true}) {
    Through it([split](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { watch(cluster, split); });
    it->connect();
    it->run();
    const report::EndpointStats& stats = it->endpoint();
    EXPECT_EQ((split ? stats.local_results : stats.external_results).successes.value(), 1u);
  }
}

TEST(TcpProxy_OutlierDetection, ConnectionsThatTimeOutAreFailures) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { watch(cluster, true); });
  it->net.set_silent(ProxyHarness::kOrigin);
  it->connect();
  it->advance(Duration::seconds(6));
  EXPECT_EQ(local_failures(*it.proxy), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
