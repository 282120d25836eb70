// Active health checks through a whole proxy: what is sent, how answers are taken, and where requests go. What results make of
// endpoints is tested by itself (tests/unit/dataplane/proxy/health).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "config/compile/expected_bytes.h"
#include "config/compile/format_compiler.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using report::EndpointFault;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr auto kSecond = Duration::seconds(1);
constexpr auto kMoment = Duration::milliseconds(10);

// Once a second, whatever there is of traffic; three failures fail, two successes heal.
config::HealthCheck every_second() {
  config::HealthCheck check;
  check.content_hash = 1;
  check.timeout = Duration::milliseconds(500);
  check.interval = check.unhealthy_interval = check.unhealthy_edge_interval = check.healthy_edge_interval = kSecond;
  check.no_traffic_interval = check.no_traffic_healthy_interval = kSecond;
  check.unhealthy_threshold = 3;
  check.healthy_threshold = 2;
  config::HttpHealthCheck http;
  http.path = "/healthz";
  check.check = http;
  return check;
}

void set_check(config::Cluster& cluster, const config::HealthCheck& check) {
  cluster.health_check = std::make_shared<config::HealthCheck>(check);
  for (config::Endpoint& endpoint : cluster.endpoints) {
    endpoint.own_extras().health_target = std::make_shared<config::HealthTarget>(
        config::HealthTarget{.address = endpoint.address, .host = "app", .tls = endpoint.extras().tls});
  }
}

ProxyHarness::Change with(const config::HealthCheck& check) {
  return [check](config::Listener&, config::Cluster& cluster, config::Route&) { set_check(cluster, check); };
}

template <typename Edit>
config::HealthCheck http_check(Edit&& edit) {
  config::HealthCheck check = every_second();
  edit(std::get<config::HttpHealthCheck>(check.check));
  return check;
}

config::HealthCheck tcp_check(const std::string& send, std::initializer_list<std::string> receive) {
  config::HealthCheck check = every_second();
  config::TcpHealthCheck tcp{.send = send, .receive = {}};
  for (const std::string& bytes : receive) tcp.receive.push_back(config::expect_bytes(bytes));
  check.check = tcp;
  return check;
}

report::EndpointCell& cell(ProxyHarness& proxy) { return *proxy.current_cluster().endpoints[0].cell; }
bool failed(ProxyHarness& proxy) { return cell(proxy).has(EndpointFault::kFailedHealthCheck); }
report::HealthCheckStats& stats(ProxyHarness& proxy) { return proxy.cluster().health_check; }
std::string status(int code, const std::string& fields = "") {
  return "HTTP/1.1 " + std::to_string(code) + " Text\r\ncontent-length: 0\r\n" + fields + "\r\n";
}
// What the first check was answered.
bool first_check_succeeds(const config::HealthCheck& check, const std::string& answer) {
  ProxyHarness proxy(with(check));
  proxy.origin().answer(answer);
  proxy.advance(kMoment);
  EXPECT_EQ(stats(proxy).attempt.value(), 1u);
  EXPECT_EQ(stats(proxy).success.value() + stats(proxy).failure.value(), 1u);
  return !failed(proxy);
}

TEST(Proxy_HealthChecks, NothingGoesToAnEndpointBeforeItsFirstCheckWhichBeginsAtOnce) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  proxy.advance(kMoment);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello"));
  EXPECT_EQ(stats(proxy).attempt.value(), 1u);
}

TEST(Proxy_HealthChecks, AreMadeBeforeAClusterServesWhileItsPredecessorDoes) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("hello"));
  proxy.check_first(with(every_second()));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello")) << "endpoints in use do not fail for want of a check";
  proxy.advance(kMoment);
  EXPECT_EQ(stats(proxy).attempt.value(), 1u);
  EXPECT_TRUE(cell(proxy).health.get().decided.load());
  proxy.end_first_checks(true);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello")) << "what was found is known";
  proxy.advance(kSecond + kMoment);
  EXPECT_GE(stats(proxy).attempt.value(), 2u);
}

TEST(Proxy_HealthChecks, OfAClusterThatNeverServesAreForgotten) {
  ProxyHarness proxy;
  proxy.origin().answer(status(500));
  proxy.check_first(with(every_second()));
  proxy.advance(kMoment);
  EXPECT_TRUE(failed(proxy));
  proxy.end_first_checks(false);
  EXPECT_FALSE(failed(proxy));
  const auto attempts = stats(proxy).attempt.value();
  proxy.advance(kSecond * 3);
  EXPECT_EQ(stats(proxy).attempt.value(), attempts);
}

TEST(Proxy_HealthChecks, AsksAsEnvoyDoes) {
  ProxyHarness proxy(with(http_check([](config::HttpHealthCheck& http) {
    http.headers_to_add.push_back({.name = "x-probe", .value = *config::compile_format("%UPSTREAM_REMOTE_ADDRESS%")});
  })));
  proxy.advance(kMoment);
  EXPECT_EQ(proxy.origin().connection().received(),
            "GET /healthz HTTP/1.1\r\nhost: app\r\nuser-agent: Envoy/HC\r\nx-probe: 198.18.1.1:8080\r\n\r\n");
}

TEST(Proxy_HealthChecks, MayHaveAnotherMethodABodyAndFewerFields) {
  ProxyHarness proxy(with(http_check([](config::HttpHealthCheck& http) {
    http.method = "POST";
    http.body = "ping";
    http.headers_to_remove = {"user-agent"};
  })));
  proxy.advance(kMoment);
  EXPECT_EQ(proxy.origin().connection().received(), "POST /healthz HTTP/1.1\r\nhost: app\r\ncontent-length: 4\r\n\r\nping");
}

TEST(Proxy_HealthChecks, GoOnAtTheirIntervalOnOneConnection) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("fine"));
  proxy.advance(kSecond * 5 + kMoment);
  EXPECT_EQ(stats(proxy).attempt.value(), 6u);
  EXPECT_EQ(stats(proxy).success.value(), 6u);
  EXPECT_EQ(proxy.origin().connections(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_cx_total.value(), 0u) << "connections of checks are no traffic";
}

TEST(Proxy_HealthChecks, TakeAConnectionOfTheirOwnEachTimeWhereTheyMust) {
  config::HealthCheck check = every_second();
  check.reuse_connection = false;
  ProxyHarness proxy(with(check));
  proxy.origin().answer(ok("fine"));
  proxy.advance(kSecond * 2 + kMoment);
  EXPECT_EQ(proxy.origin().connections(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(proxy.origin().connection(i).ended());
}

TEST(Proxy_HealthChecks, AConnectionThatEndsBetweenTwoChecksIsNoFailure) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("fine"));
  proxy.advance(kMoment);
  proxy.origin().connection().reset();
  proxy.advance(kSecond);
  EXPECT_EQ(stats(proxy).success.value(), 2u);
  EXPECT_EQ(stats(proxy).failure.value(), 0u);
  proxy.origin().connection(1).close();
  proxy.advance(kSecond);
  EXPECT_EQ(stats(proxy).success.value(), 3u);
  EXPECT_EQ(stats(proxy).failure.value(), 0u);
}

TEST(Proxy_HealthChecks, AnAnswerThatEndsWithItsConnectionIsOne) {
  ProxyHarness proxy(with(http_check([](config::HttpHealthCheck& http) { http.receive = {config::expect_bytes("fine")}; })));
  proxy.origin().on_bytes([](OriginConnection& connection) {
    if (connection.take_received().empty()) return;
    connection.send("HTTP/1.0 200 OK\r\n\r\nfine");
    connection.end();
  });
  proxy.advance(kSecond + kMoment);
  EXPECT_EQ(stats(proxy).success.value(), 2u);
  EXPECT_EQ(proxy.origin().connections(), 2u);
}

TEST(Proxy_HealthChecks, AStatusThatIsNotExpectedFailsAtOnce) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello"));
  proxy.advance(kMoment);
  proxy.origin().answer(status(503));
  proxy.advance(kSecond);
  EXPECT_TRUE(failed(proxy));
  EXPECT_EQ(stats(proxy).network_failure.value(), 0u);
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(proxy.log(), StartsWith("503 UH "));
  proxy.origin().answer(ok("hello"));
  proxy.advance(kSecond);
  EXPECT_TRUE(failed(proxy));
  proxy.advance(kSecond);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello"));
}

TEST(Proxy_HealthChecks, StatusesMayBeExpectedOrRetriable) {
  const config::HealthCheck check = http_check([](config::HttpHealthCheck& http) {
    http.expected = {{204, 205}, {300, 400}};
    http.retriable = {{500, 600}};
  });
  EXPECT_TRUE(first_check_succeeds(check, "HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_TRUE(first_check_succeeds(check, status(399)));
  EXPECT_FALSE(first_check_succeeds(check, status(200)));
  EXPECT_FALSE(first_check_succeeds(check, status(400)));

  ProxyHarness proxy(with(check));
  proxy.origin().answer(status(300));
  proxy.advance(kMoment);
  proxy.origin().answer(status(500));
  proxy.advance(kSecond * 2);
  EXPECT_FALSE(failed(proxy));
  proxy.advance(kSecond);
  EXPECT_TRUE(failed(proxy));
}

TEST(Proxy_HealthChecks, BodiesMayHaveToHoldSomethingNearTheirBegin) {
  const config::HealthCheck check = http_check([](config::HttpHealthCheck& http) {
    http.receive = {config::expect_bytes("al"), config::expect_bytes("ive")};
    http.most_response_bytes = 10;
  });
  EXPECT_FALSE(first_check_succeeds(check, ok("still alive"))) << "it ends behind the tenth byte";
  EXPECT_TRUE(first_check_succeeds(check, ok("yes, alive")));
  EXPECT_FALSE(first_check_succeeds(check, ok("dead")));
  const config::HealthCheck all = http_check([](config::HttpHealthCheck& http) {
    http.receive = {config::expect_bytes("alive")};
    http.most_response_bytes = 0;
  });
  EXPECT_TRUE(first_check_succeeds(all, ok(pattern(20'000) + "alive")));
}

TEST(Proxy_HealthChecks, TheServiceMayHaveToSayItsName) {
  const config::HealthCheck check = http_check([](config::HttpHealthCheck& http) {
    http.service_name = config::StringMatcher{.kind = config::StringMatcher::Kind::kPrefix, .text = "shop", .regex = {}};
  });
  EXPECT_TRUE(first_check_succeeds(check, ok("", "x-envoy-upstream-healthchecked-cluster: shop-1\r\n")));
  EXPECT_FALSE(first_check_succeeds(check, ok("", "x-envoy-upstream-healthchecked-cluster: other\r\n")));
  EXPECT_FALSE(first_check_succeeds(check, ok("")));
  ProxyHarness proxy(with(check));
  proxy.origin().answer(ok(""));
  proxy.advance(kMoment);
  EXPECT_EQ(stats(proxy).verify_cluster.value(), 1u);
}

TEST(Proxy_HealthChecks, DegradedEndpointsSayItInTheirAnswers) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello", "x-envoy-degraded: \r\n"));
  proxy.advance(kMoment);
  EXPECT_EQ(config::health_of(proxy.current_cluster().endpoints[0]), config::EndpointHealth::kDegraded);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello")) << "there is no better one";
}

TEST(Proxy_HealthChecks, ARefusedConnectionCountsTowardsTheThreshold) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello"));
  proxy.advance(kMoment);
  proxy.net.close_listener(ProxyHarness::kOrigin);
  proxy.origin().connection().reset();
  proxy.advance(kSecond * 2);
  EXPECT_FALSE(failed(proxy));
  proxy.advance(kSecond);
  EXPECT_TRUE(failed(proxy));
  EXPECT_EQ(stats(proxy).network_failure.value(), 3u);
  EXPECT_FALSE(cell(proxy).has(EndpointFault::kHealthCheckTimedOut));
  proxy.net.listen(ProxyHarness::kOrigin, proxy.origin());
  proxy.advance(kSecond * 2);
  EXPECT_FALSE(failed(proxy));
}

TEST(Proxy_HealthChecks, AConnectionThatCannotEvenBeginIsAFailure) {
  ProxyHarness proxy(with(every_second()));
  proxy.net.fail_connects(stream::CloseReason::kNoPort);
  proxy.advance(kSecond + kMoment);
  EXPECT_EQ(stats(proxy).network_failure.value(), 2u);
  proxy.net.fail_connects({});
}

TEST(Proxy_HealthChecks, AnAnswerThatIsNoHttpOrBreaksOffIsAFailureOfTheNetwork) {
  for (const char* answer : {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"}) {
    ProxyHarness proxy(with(every_second()));
    proxy.origin().on_bytes([answer](OriginConnection& connection) {
      if (connection.take_received().empty()) return;
      connection.send(answer);
      connection.end();
    });
    proxy.advance(kMoment);
    EXPECT_EQ(stats(proxy).network_failure.value(), 1u) << answer;
  }
}

TEST(Proxy_HealthChecks, SilenceTimesOutAndTheNextCheckHasANewConnection) {
  ProxyHarness proxy(with(every_second()));
  proxy.advance(Duration::milliseconds(490));
  EXPECT_EQ(stats(proxy).failure.value(), 0u);
  proxy.advance(Duration::milliseconds(20));
  EXPECT_EQ(stats(proxy).network_failure.value(), 1u);
  EXPECT_TRUE(cell(proxy).has(EndpointFault::kHealthCheckTimedOut));
  EXPECT_TRUE(proxy.origin().connection().was_reset());
  proxy.origin().answer(ok("hello"));
  proxy.advance(kSecond);
  EXPECT_EQ(stats(proxy).success.value(), 1u);
  EXPECT_EQ(proxy.origin().connections(), 2u);
}

TEST(Proxy_HealthChecks, AConnectionThatIsNeverMadeTimesOut) {
  ProxyHarness proxy(with(every_second()));
  proxy.net.set_silent(ProxyHarness::kOrigin);
  proxy.advance(Duration::milliseconds(510));
  EXPECT_EQ(stats(proxy).network_failure.value(), 1u);
}

TEST(Proxy_HealthChecks, OverTcpAConnectionWillDo) {
  ProxyHarness proxy(with(tcp_check("not sent", {})));
  proxy.advance(kSecond + kMoment);
  EXPECT_FALSE(failed(proxy));
  EXPECT_EQ(stats(proxy).success.value(), 2u);
  EXPECT_EQ(proxy.origin().connections(), 2u);
  EXPECT_THAT(proxy.origin().connection().received(), IsEmpty());
  EXPECT_TRUE(proxy.origin().connection().ended());
}

TEST(Proxy_HealthChecks, OverTcpAnAnswerMayBeExpected) {
  ProxyHarness proxy(with(tcp_check("PING", {"PO", "NG"})));
  proxy.origin().on_bytes([](OriginConnection& connection) {
    if (connection.take_received() == "PING") connection.send("+PO");
    connection.send("..NG\r\n");
  });
  proxy.advance(kSecond * 2 + kMoment);
  EXPECT_EQ(stats(proxy).success.value(), 3u);
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_HealthChecks, OverTcpTheWrongAnswerTimesOutAndAnEndIsAFailure) {
  ProxyHarness proxy(with(tcp_check("PING", {"PONG"})));
  proxy.origin().on_bytes([](OriginConnection& connection) {
    if (!connection.take_received().empty()) connection.send("WHAT");
  });
  proxy.advance(Duration::milliseconds(510));
  EXPECT_TRUE(cell(proxy).has(EndpointFault::kHealthCheckTimedOut));
  proxy.origin().on_bytes([](OriginConnection& connection) { connection.close(); });
  proxy.advance(kSecond);
  EXPECT_FALSE(cell(proxy).has(EndpointFault::kHealthCheckTimedOut));
  EXPECT_EQ(stats(proxy).network_failure.value(), 2u);
}

TEST(Proxy_HealthChecks, AnEndpointThatSaysThatItGoesFailsAtOnce) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("bye", "x-envoy-immediate-health-check-fail: true\r\n"));
  proxy.advance(kMoment);
  EXPECT_FALSE(failed(proxy)) << "a check that succeeds counts for more";
  EXPECT_THAT(proxy.exchange(get()), EndsWith("bye"));
  EXPECT_TRUE(failed(proxy));
  EXPECT_EQ(config::health_of(proxy.current_cluster().endpoints[0]), config::EndpointHealth::kExcluded);
  EXPECT_EQ(stats(proxy).passive_failure.value(), 1u);
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  proxy.advance(kSecond * 2);
  EXPECT_EQ(config::health_of(proxy.current_cluster().endpoints[0]), config::EndpointHealth::kHealthy);
}

TEST(Proxy_HealthChecks, WithoutChecksNobodyGoesAtOnce) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("bye", "x-envoy-immediate-health-check-fail: true\r\n"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("bye"));
  EXPECT_EQ(cell(proxy).faults.load(), 0u);
}

TEST(Proxy_HealthChecks, AFailureThatSaysThatTheEndpointGoesExcludesIt) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(status(503, "x-envoy-immediate-health-check-fail: true\r\n"));
  proxy.advance(kMoment);
  EXPECT_TRUE(cell(proxy).has(EndpointFault::kFailedAtOnce));
}

TEST(Proxy_HealthChecks, SuccessLetsEjectedEndpointsReturnWhereItMay) {
  for (const bool may : {true, false}) {
    ProxyHarness proxy([may](config::Listener&, config::Cluster& cluster, config::Route&) {
      set_check(cluster, every_second());
      cluster.outlier_detection.emplace();
      cluster.outlier_detection->max_ejection_percent = 100;
      cluster.outlier_detection->return_on_health_check = may;
    });
    proxy.origin().answer(ok("fine"));
    proxy.advance(kMoment);
    proxy.origin().answer(status(500));
    for (int i = 0; i < 5; ++i) (void)proxy.exchange(get());
    ASSERT_TRUE(cell(proxy).has(EndpointFault::kEjected));
    proxy.origin().answer(ok("fine"));
    proxy.advance(kSecond);
    EXPECT_EQ(cell(proxy).has(EndpointFault::kEjected), !may);
  }
}

TEST(Proxy_HealthChecks, OneWorkerChecksForAll) {
  ProxyHarness proxy(with(every_second()), ProxyHarness::small_limits(), 1);
  proxy.origin().answer(ok("hello"));
  proxy.advance(kSecond * 3);
  EXPECT_EQ(stats(proxy).attempt.value(), 0u);
  EXPECT_TRUE(failed(proxy)) << "nobody may send there before the other has checked it";
  cell(proxy).set(EndpointFault::kFailedHealthCheck, false, *proxy.current_cluster().cell);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello"));
}

TEST(Proxy_HealthChecks, GoOnThroughNewConfigurations) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello"));
  for (int i = 0; i < 10; ++i) {
    proxy.advance(Duration::milliseconds(500) + kMoment);
    proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) { set_check(cluster, every_second()); });
    EXPECT_FALSE(failed(proxy));
  }
  EXPECT_EQ(stats(proxy).attempt.value(), 6u);
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_HealthChecks, OtherChecksBeginAtOnceAndWhatIsKnownStays) {
  ProxyHarness proxy(with(every_second()));
  proxy.origin().answer(ok("hello"));
  proxy.advance(kMoment);
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    config::HealthCheck other = tcp_check("", {});
    other.content_hash = 2;
    set_check(cluster, other);
  });
  EXPECT_FALSE(failed(proxy));
  proxy.advance(kMoment);
  EXPECT_EQ(stats(proxy).success.value(), 2u);
  EXPECT_TRUE(proxy.origin().connection().was_reset());
}

TEST(Proxy_HealthChecks, EndWithTheirConfiguration) {
  ProxyHarness proxy(with(every_second()));
  proxy.advance(kMoment);
  ASSERT_TRUE(failed(proxy));
  proxy.reconfigure([](auto&, config::Cluster& cluster, auto&) {
    cluster.health_check = nullptr;
    cluster.endpoints[0].own_extras().health_target = nullptr;
  });
  EXPECT_EQ(cell(proxy).faults.load(), 0u);
  proxy.origin().answer(ok("hello"));
  proxy.advance(kSecond * 5);
  EXPECT_EQ(stats(proxy).attempt.value(), 1u);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello"));
}

TEST(Proxy_HealthChecks, AnEndpointThatIsNotProbedIsHealthy) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, auto&) {
    set_check(cluster, every_second());
    cluster.endpoints[0].own_extras().health_target = nullptr;
  });
  proxy.origin().answer(ok("hello"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("hello"));
}

TEST(Proxy_HealthChecks, MayGoToAnotherAddress) {
  const SocketAddress other{IpAddress::v4(198, 18, 1, 1), 9'090};
  ProxyHarness proxy([&](auto&, config::Cluster& cluster, auto&) {
    set_check(cluster, every_second());
    cluster.endpoints[0].own_extras().health_target =
        std::make_shared<config::HealthTarget>(config::HealthTarget{.address = other, .host = "own", .tls = {}});
  });
  Origin checked(proxy.chains, proxy.now);
  checked.answer(ok("fine"));
  proxy.net.listen(other, checked);
  proxy.advance(kMoment);
  EXPECT_FALSE(failed(proxy));
  EXPECT_EQ(checked.connections(), 1u);
  EXPECT_EQ(proxy.origin().connections(), 0u);
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
}

TEST(Proxy_HealthChecks, EventsAreLogged) {
  config::HealthCheck check = every_second();
  check.log_sinks = {0};
  ProxyHarness proxy(with(check));
  proxy.origin().answer(ok("fine"));
  proxy.advance(kSecond + kMoment);
  std::string log = proxy.log();
  EXPECT_THAT(log, HasSubstr("\"add_healthy_event\":{\"first_check\":true}"));
  EXPECT_THAT(log, Not(HasSubstr("successful_health_check_event")));
  proxy.origin().answer(status(503));
  proxy.advance(kSecond);
  log = proxy.log();
  EXPECT_THAT(log, HasSubstr("\"eject_unhealthy_event\":{\"failure_type\":\"ACTIVE\"}"));
}

// An origin that does anything with what it gets, and configurations that come at any time: each check has one result, the next
// one follows, and once all is well the endpoint is healthy.
void survive(std::uint64_t seed, const config::HealthCheck& check, const std::string& good) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  ProxyHarness proxy(with(check));
  const auto act = [&](OriginConnection& connection) {
    if (connection.take_received().empty()) return;
    const std::string half = good.substr(0, rng.below(static_cast<std::uint32_t>(good.size())));
    switch (rng.below(8)) {
      case 0: return connection.send(half);
      case 1: return connection.send(half), connection.end();
      case 2: return connection.reset();
      case 3: return connection.close();
      case 4: return connection.send("nonsense\r\n\r\n");
      case 5: return connection.send(good + good);
      case 6: return connection.send(status(503));
      default: return connection.send(good);
    }
  };
  proxy.origin().on_bytes(act);
  const auto results = [&] { return stats(proxy).success.value() + stats(proxy).failure.value(); };
  std::uint64_t given_up = 0;  // under way when another check was configured
  for (int i = 0; i < 200; ++i) {
    proxy.advance(Duration::milliseconds(rng.below(400)));
    const std::uint64_t open = stats(proxy).attempt.value() - given_up - results();
    ASSERT_LE(open, 1u);
    const std::size_t connections = proxy.origin().connections();
    if (connections > 0 && rng.chance(1, 8)) proxy.origin().connection(connections - 1).reset();
    if (rng.chance(1, 8)) proxy.net.fail_connects(stream::CloseReason::kNoPort);
    if (rng.chance(1, 2)) proxy.net.fail_connects({});
    if (!rng.chance(1, 16)) continue;
    config::HealthCheck next = check;
    next.content_hash = rng.below(2);
    const bool same = proxy.current_cluster().health_check->content_hash == next.content_hash;
    const std::uint64_t under_way = stats(proxy).attempt.value() - given_up - results();
    proxy.reconfigure([&](auto&, config::Cluster& cluster, auto&) { set_check(cluster, next); });
    if (!same) given_up += under_way;
  }
  EXPECT_GE(results(), 20u);
  proxy.net.fail_connects({});
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    if (!connection.take_received().empty()) connection.send(good);
  });
  proxy.advance(kSecond * 5);
  EXPECT_FALSE(failed(proxy));
}

TEST(Proxy_HealthChecks, SurviveWhateverTheEndpointDoes) {
  config::HealthCheck http = http_check([](config::HttpHealthCheck& of) { of.receive = {config::expect_bytes("fine")}; });
  const config::HealthCheck tcp = tcp_check("PING", {"PO", "NG"});
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    http.reuse_connection = seed % 2 == 0;
    survive(seed, http, ok("all is fine"));
    survive(seed, tcp, "PO..NG");
  }
}

TEST(Proxy_HealthChecks, GoOverTheClustersTls) {
  auto secured = std::make_shared<config::UpstreamTls>();
  tls::ContextConfig context = client();
  context.protocols = {"h2"};
  secured->slot = slot(context);
  config::HealthCheck check = every_second();
  check.protocols = {"probe"};
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].own_extras().tls = secured;
    // The proxy is its own origin: its listener speaks TLS.
    cluster.endpoints[0].address = ProxyHarness::kListen;
    tls::ContextConfig origin = server();
    origin.protocols = {"probe"};
    listener.chains[0].tls = slot(origin);
    set_check(cluster, check);
  });
  proxy.advance(kMoment);
  EXPECT_EQ(proxy.listener_stats().tls.handshake.value(), 1u);
  EXPECT_EQ(proxy.cluster().tls.handshake.value(), 1u);
  EXPECT_EQ(proxy.http().downstream_rq_total.value(), 1u) << "the check came in";
  EXPECT_EQ(stats(proxy).failure.value(), 1u) << "503: the only endpoint is not healthy yet";
  EXPECT_EQ(stats(proxy).network_failure.value(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
