// Requests that are mirrored: what the other cluster gets, and that nothing of it touches the request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr SocketAddress kShadow{IpAddress::v4(198, 18, 1, 9), 8080};

ProxyHarness::Change mirrored(config::MirrorPolicy policy = {.cluster = "shadow"}) {
  return [policy](auto&, auto&, config::Route& route) {
    action_of(route).mirrors = std::make_shared<std::vector<config::MirrorPolicy>>(1, policy);
  };
}

/// A proxy whose route mirrors, and both origins.
struct Mirrored {
  explicit Mirrored(const ProxyHarness::Change& change = mirrored())
      : proxy(change), shadow(proxy.chains, proxy.now), stats(proxy.add_cluster("shadow", kShadow)) {
    proxy.net.listen(kShadow, shadow);
  }
  ~Mirrored() {
    proxy.advance(Duration::seconds(100));  // copies end, whatever becomes of them
    EXPECT_EQ(stats.upstream_rq_active.value(), 0);
    proxy.proxy->force_close_all(proxy.now);
    proxy.run();
  }
  Mirrored(const Mirrored&) = delete;
  Mirrored& operator=(const Mirrored&) = delete;

  const std::string& copy(std::size_t connection = 0) { return shadow.connection(connection).received(); }

  ProxyHarness proxy;
  Origin shadow;
  report::ClusterStats& stats;
};

TEST(Proxy_Mirror, ACopyGoesToTheOtherClusterAndItsAnswerToNobody) {
  Mirrored setup;
  setup.proxy.origin().answer(ok("the answer"));
  setup.shadow.answer(ok("nobody wants this"));
  EXPECT_THAT(setup.proxy.exchange(get("/a?b=c", "x-field: value\r\n")), EndsWith("the answer"));
  EXPECT_EQ(setup.stats.upstream_rq_total.value(), 1u);
  EXPECT_EQ(setup.stats.upstream_rq_2xx.value(), 1u);
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_total.value(), 1u);
}

TEST(Proxy_Mirror, TheHostTellsThatItIsACopy) {
  Mirrored setup;
  setup.proxy.origin().answer(ok("x"));
  setup.proxy.exchange("GET /a?b=c HTTP/1.1\r\nhost: example.com:8080\r\nx-field: value\r\n\r\n");
  EXPECT_THAT(setup.copy(), StartsWith("GET /a?b=c HTTP/1.1\r\nhost: example.com-shadow:8080\r\n"));
  EXPECT_THAT(setup.copy(), HasSubstr("x-field: value\r\n"));
}

TEST(Proxy_Mirror, UnlessTheSuffixIsDisabled) {
  Mirrored setup(mirrored({.cluster = "shadow", .append_suffix = false}));
  setup.proxy.origin().answer(ok("x"));
  setup.proxy.exchange(get());
  EXPECT_THAT(setup.copy(), HasSubstr("host: example.com\r\n"));
}

TEST(Proxy_Mirror, AFieldNamesTheCluster) {
  Mirrored setup(mirrored({.cluster = {}, .cluster_header = "x-mirror"}));
  setup.proxy.origin().answer(ok("x"));
  EXPECT_THAT(setup.proxy.exchange(get("/", "x-mirror: shadow\r\n")), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(setup.proxy.exchange(get("/", "x-mirror: nowhere\r\n")), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(setup.proxy.exchange(get()), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(setup.stats.upstream_rq_total.value(), 1u);
}

TEST(Proxy_Mirror, ByAFractionOfTheRequests) {
  Mirrored setup(mirrored({.cluster = "shadow", .fraction = {25, 100}}));
  setup.proxy.origin().answer(ok("x"));
  setup.shadow.answer(ok("x"));
  Client& client = setup.proxy.connect();
  for (int i = 0; i < 1'000; ++i) {
    client.send(get());
    setup.proxy.run();
  }
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_total.value(), 1'000u);
  EXPECT_NEAR(static_cast<double>(setup.stats.upstream_rq_total.value()), 250.0, 40.0);
}

TEST(Proxy_Mirror, TheBodyAndItsTrailersGoAlong) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    listener.chains[0].http()->enable_trailers = true;
  });
  Client& client = setup.proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nbody\r\n");
  setup.proxy.run();
  EXPECT_THAT(setup.copy(), EndsWith("4\r\nbody\r\n")) << "as it comes";
  client.send("3\r\nend\r\n0\r\nx-sum: 7\r\n\r\n");
  setup.proxy.run();
  EXPECT_THAT(setup.copy(), EndsWith("3\r\nend\r\n0\r\nx-sum: 7\r\n\r\n"));
  EXPECT_THAT(setup.proxy.origin().connection().received(), EndsWith("3\r\nend\r\n0\r\nx-sum: 7\r\n\r\n"));
}

TEST(Proxy_Mirror, ALateConnectionGetsAllOfIt) {
  Mirrored setup;
  setup.proxy.origin().answer(ok("x"));
  const std::string body = pattern(100'000);
  setup.proxy.exchange("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + body);
  EXPECT_EQ(body_of(setup.copy()), body);
}

TEST(Proxy_Mirror, ACopyThatDoesNotReadIsGivenUpAndHoldsNobodyBack) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    listener.buffer_limit_bytes = 64 * 1024;
  });
  setup.shadow.pause_reading();
  std::size_t arrived = 0;
  setup.proxy.origin().on_bytes([&](OriginConnection& connection) { arrived += connection.take_received().size(); });
  constexpr std::size_t kBody = 8'000'000;
  Client& client = setup.proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(kBody) + "\r\n\r\n");
  for (std::size_t sent = 0; sent < kBody; sent += 100'000) {
    client.send(pattern(100'000));
    setup.proxy.run();
  }
  EXPECT_GT(arrived, kBody);
  EXPECT_EQ(setup.proxy.cluster().retry_or_shadow_abandoned.value(), 1u);
  EXPECT_EQ(setup.stats.upstream_rq_tx_reset.value(), 1u);
}

TEST(Proxy_Mirror, AClusterThatFailsIsNotNoticed) {
  Mirrored setup;
  setup.proxy.net.close_listener(kShadow);
  setup.proxy.origin().answer(ok("x"));
  EXPECT_THAT(setup.proxy.exchange(get()), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(setup.proxy.log(), "200 - via_upstream 0/1|");
  EXPECT_EQ(setup.stats.upstream_cx_connect_fail.value(), 1u);
}

TEST(Proxy_Mirror, AClusterThatDoesNotExistIsNotNoticed) {
  ProxyHarness proxy(mirrored({.cluster = "nowhere"}));
  proxy.origin().answer(ok("x"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 200 "));
}

TEST(Proxy_Mirror, AClientThatLeavesTakesTheCopyAlong) {
  Mirrored setup;
  Client& client = setup.proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf");
  setup.proxy.run();
  ASSERT_EQ(setup.stats.upstream_rq_active.value(), 1);
  client.reset();
  setup.proxy.run();
  EXPECT_EQ(setup.stats.upstream_rq_active.value(), 0);
  EXPECT_TRUE(setup.shadow.connection().was_reset());
}

// The rest of the request comes with the end of the try that fails, and is dropped: the copy must not end as if it were whole.
TEST(Proxy_Mirror, ARequestThatIsAnsweredBeforeItsEndTakesTheCopyAlong) {
  Mirrored setup;
  Client& client = setup.proxy.connect();
  setup.proxy.origin().on_bytes([&](OriginConnection& connection) {
    connection.reset();
    client.send("3\r\nend\r\n0\r\n\r\n");
  });
  client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n");
  setup.proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(setup.copy(), EndsWith("4\r\nbody\r\n"));
  EXPECT_TRUE(setup.shadow.connection().was_reset());
}

TEST(Proxy_Mirror, ACompleteCopyOutlivesItsRequest) {
  Mirrored setup;
  setup.proxy.origin().answer(ok("x"));
  setup.proxy.exchange(get());
  EXPECT_EQ(setup.stats.upstream_rq_active.value(), 1);
  setup.shadow.connection().send(ok("late"));
  setup.proxy.run();
  EXPECT_EQ(setup.stats.upstream_rq_active.value(), 0);
  EXPECT_EQ(setup.stats.upstream_rq_2xx.value(), 1u);
}

TEST(Proxy_Mirror, ACopyHasTheTimeOfTheRequest) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    action_of(route).timeout = Duration::seconds(2);
  });
  setup.proxy.origin().answer(ok("x"));
  setup.proxy.exchange(get());
  setup.proxy.advance(Duration::milliseconds(1'999));
  EXPECT_EQ(setup.stats.upstream_rq_active.value(), 1);
  setup.proxy.advance(Duration::milliseconds(2));
  EXPECT_EQ(setup.stats.upstream_rq_active.value(), 0);
  EXPECT_EQ(setup.stats.upstream_rq_timeout.value(), 1u);
}

TEST(Proxy_Mirror, ARetryIsNotMirroredAgain) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    action_of(route).retry = policy;
  });
  setup.proxy.origin().on_bytes([left = 1](OriginConnection& connection) mutable {
    if (!connection.received().ends_with("body")) return;
    connection.clear_received();
    connection.send(left-- > 0 ? "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n" : ok("good"));
  });
  Client& client = setup.proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
  setup.proxy.advance(Duration::seconds(1));
  EXPECT_THAT(client.received(), EndsWith("good"));
  EXPECT_EQ(body_of(setup.copy()), "body");
  EXPECT_EQ(setup.stats.upstream_rq_total.value(), 1u);
}

TEST(Proxy_Mirror, AnAnswerOfOurOwnIsNotMirrored) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    cluster.endpoints[0].healthy = false;
  });
  EXPECT_THAT(setup.proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(setup.shadow.connections(), 0u);
}

TEST(Proxy_Mirror, AnUpgradeIsNotMirrored) {
  Mirrored setup([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    mirrored()(listener, cluster, route);
    action_of(route).websocket = true;
  });
  setup.proxy.exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_total.value(), 1u);
  EXPECT_EQ(setup.shadow.connections(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
