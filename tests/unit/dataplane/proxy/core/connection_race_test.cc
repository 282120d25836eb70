// Endpoints with several addresses: which of them a connection goes to, when, and what is left of the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "dataplane/proxy/connection_race.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const SocketAddress kSix{*IpAddress::parse("2001:db8::1"), 8080};
constexpr Duration kPause = ConnectionRace::kBetweenAttempts;

void set_attempts(config::Cluster& cluster, std::vector<SocketAddress> addresses) {
  cluster.endpoints[0].address = addresses.front();
  cluster.endpoints[0].own_extras().attempts = std::make_shared<const std::vector<SocketAddress>>(std::move(addresses));
}

/// Requests to an endpoint at kSix, where nobody answers unless the test says so, and kOrigin.
struct Race {
  explicit Race(const ProxyHarness::Change& change = {})
      : proxy([&](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
          set_attempts(cluster, {kSix, ProxyHarness::kOrigin});
          listener.chains[0].http()->access_logs[0].format =
              *config::compile_format("%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%\n");
          if (change) change(listener, cluster, route);
        }) {
    proxy.origin().answer(ok("four"));
    proxy.net.set_silent(kSix);
  }
  Client& ask() {
    Client& client = proxy.connect();
    client.send(get());
    proxy.run();
    return client;
  }
  [[nodiscard]] std::uint64_t attempts() { return proxy.cluster().upstream_cx_total.value(); }

  ProxyHarness proxy;
};

TEST(ConnectionRace, TheNextAddressIsTriedAfterAPauseAndTheFirstThatAnswersIsKept) {
  Race race;
  Client& client = race.ask();
  race.proxy.advance(kPause - Duration::milliseconds(2));
  EXPECT_EQ(race.attempts(), 1u);
  EXPECT_EQ(client.received(), "");
  race.proxy.advance(Duration::milliseconds(4));
  EXPECT_THAT(client.received(), EndsWith("four"));
  EXPECT_EQ(race.attempts(), 2u);
  EXPECT_EQ(race.proxy.endpoint().cx_total.value(), 2u);
  EXPECT_EQ(race.proxy.cluster().upstream_cx_active.value(), 1);
  EXPECT_EQ(race.proxy.cluster().upstream_cx_connect_fail.value(), 0u) << "who loses has not failed";
  EXPECT_EQ(race.proxy.cluster().upstream_cx_destroy.value(), 0u);
  EXPECT_EQ(race.proxy.net.open_ends(), 4u) << "two of the client, two of the origin: the other attempt is gone";
  EXPECT_THAT(race.proxy.log(), StartsWith("200 - [2001:db8::1]:8080 198.18.1.1:8080"));
  client.send(get());
  race.proxy.run();
  EXPECT_EQ(race.attempts(), 2u) << "the connection is there";
}

TEST(ConnectionRace, TheFirstAddressIsAloneWhereItAnswers) {
  Race race(
      [](config::Listener&, config::Cluster& cluster, config::Route&) { set_attempts(cluster, {ProxyHarness::kOrigin, kSix}); });
  EXPECT_THAT(race.ask().received(), EndsWith("four"));
  race.proxy.advance(Duration::seconds(1));
  EXPECT_EQ(race.attempts(), 1u);
}

TEST(ConnectionRace, ARefusedAddressGivesWayAtOnce) {
  Race race;
  race.proxy.net.set_silent(kSix, false);
  EXPECT_THAT(race.ask().received(), EndsWith("four"));
  EXPECT_EQ(race.attempts(), 2u);
  EXPECT_EQ(race.proxy.cluster().upstream_cx_connect_fail.value(), 0u);
}

TEST(ConnectionRace, ALateAnswerOfAnEarlierAddressStillWins) {
  Race race;
  race.proxy.net.set_silent(ProxyHarness::kOrigin);
  Origin six(race.proxy.chains, race.proxy.now);
  six.answer(ok("six"));
  race.proxy.net.listen(kSix, six);
  Client& client = race.ask();
  race.proxy.advance(kPause * 2);
  EXPECT_EQ(race.attempts(), 2u);
  race.proxy.net.set_silent(kSix, false);
  race.proxy.run();
  EXPECT_THAT(client.received(), EndsWith("six"));
  EXPECT_EQ(race.proxy.net.open_ends(), 4u);
  EXPECT_THAT(race.proxy.log(), HasSubstr("[2001:db8::1]:8080 [2001:db8::1]:8080"));
  race.proxy.proxy->force_close_all(race.proxy.now);
  race.proxy.run();
}

TEST(ConnectionRace, AllThatRefuseAreOneFailure) {
  Race race;
  race.proxy.net.set_silent(kSix, false);
  race.proxy.net.close_listener(ProxyHarness::kOrigin);
  EXPECT_THAT(race.ask().received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(race.attempts(), 2u);
  EXPECT_EQ(race.proxy.cluster().upstream_cx_connect_fail.value(), 1u);
  EXPECT_EQ(race.proxy.cluster().upstream_cx_destroy.value(), 1u);
  EXPECT_THAT(race.proxy.log(), StartsWith("503 UF "));
}

TEST(ConnectionRace, AddressesThatCannotEvenBeTriedFailOnTheSpot) {
  Race race;
  Client& client = race.proxy.connect();
  race.proxy.run();
  race.proxy.net.fail_connects(stream::CloseReason::kNoRoute);
  client.send(get());
  race.proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(race.proxy.cluster().upstream_cx_connect_fail.value(), 1u);
  race.proxy.net.fail_connects({});
}

TEST(ConnectionRace, TheConnectTimeoutIsForAllOfThem) {
  Race race([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.connect_timeout = Duration::seconds(1); });
  race.proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& client = race.ask();
  race.proxy.advance(Duration::milliseconds(1'001));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(race.proxy.cluster().upstream_cx_connect_timeout.value(), 1u);
  EXPECT_EQ(race.proxy.net.open_ends(), 2u) << "those of the client";
}

TEST(ConnectionRace, AnAttemptFailsWhileAnotherGoesOn) {
  const SocketAddress third{IpAddress::v4(198, 18, 1, 3), 8080};
  Race race([&](config::Listener&, config::Cluster& cluster, config::Route&) {
    set_attempts(cluster, {kSix, third, ProxyHarness::kOrigin});
  });
  race.proxy.net.set_silent(ProxyHarness::kOrigin);
  Client& client = race.ask();
  race.proxy.advance(kPause + Duration::milliseconds(1));
  EXPECT_EQ(race.attempts(), 3u) << "the second was refused, which made the third begin";
  race.proxy.net.set_silent(ProxyHarness::kOrigin, false);
  race.proxy.run();
  EXPECT_THAT(client.received(), EndsWith("four"));
}

TEST(ConnectionRace, EndsWithItsUser) {
  Race race;
  race.ask();
  race.proxy.proxy->force_close_all(race.proxy.now);
  race.proxy.run();
  race.proxy.advance(Duration::seconds(1));
  EXPECT_EQ(race.attempts(), 1u);
  EXPECT_EQ(race.proxy.net.open_ends(), 0u);
}

TEST(ConnectionRace, TlsIsSpokenWithTheWinner) {
  Race race(to_tls(believing_client()));
  TlsOrigin origin(race.proxy, server());
  Client& client = race.ask();
  race.proxy.advance(kPause + Duration::milliseconds(1));
  EXPECT_THAT(client.received(), EndsWith("four"));
  EXPECT_EQ(race.proxy.cluster().tls.handshake.value(), 1u);
  race.proxy.proxy->force_close_all(race.proxy.now);
  race.proxy.run();
}

TEST(ConnectionRace, TheProxyHeaderGoesToTheWinner) {
  Race race([](config::Listener&, config::Cluster& cluster, config::Route&) {
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
  });
  std::string seen;
  race.proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    if (seen.ends_with("\r\n\r\n")) connection.send(ok("four"));
  });
  Client& client = race.ask();
  race.proxy.advance(kPause + Duration::milliseconds(1));
  EXPECT_THAT(seen, StartsWith("PROXY TCP4 "));
  EXPECT_THAT(client.received(), EndsWith("four"));
}

// The winner is the stream from the moment that it has won, though nobody above has heard of a connection yet.
TEST(ConnectionRace, AWinnerMayBeGivenUpWhileItsHeaderWaits) {
  Race race([](config::Listener&, config::Cluster& cluster, config::Route&) {
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
    cluster.connect_timeout = Duration::seconds(1);
  });
  Client& client = race.proxy.connect();
  race.proxy.run();
  race.proxy.origin().pause_reading();
  race.proxy.net.set_buffer_bytes(8);
  client.send(get());
  race.proxy.run();
  race.proxy.advance(kPause + Duration::milliseconds(1));
  EXPECT_EQ(race.proxy.origin().connections(), 1u);
  race.proxy.advance(Duration::seconds(1));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(race.proxy.origin().connection().was_reset());
}

TEST(ConnectionRace, ConnectionsThatArePassedThroughRunItToo) {
  Through it([](config::TcpProxy& through, config::Listener&, config::Cluster& cluster) {
    set_attempts(cluster, {kSix, ProxyHarness::kOrigin});
    through.access_logs[0].format = *config::compile_format("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%\n");
  });
  it->net.set_silent(kSix);
  Client& client = it->connect();
  client.send("ping");
  it->run();
  EXPECT_EQ(it.origin().connections(), 0u);
  it->advance(kPause + Duration::milliseconds(1));
  ASSERT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it.origin().connection().received(), "ping");
  EXPECT_EQ(it->cluster().upstream_cx_total.value(), 2u);
  EXPECT_EQ(it->cluster().upstream_cx_active.value(), 1);
  it.origin().connection().send("pong");
  it->run();
  EXPECT_EQ(client.received(), "pong");
  client.end();
  it.origin().connection().end();
  it->run();
  EXPECT_THAT(it->log(), StartsWith("[2001:db8::1]:8080 198.18.1.1:8080"));
}

TEST(ConnectionRace, AClientThatGoesEndsIt) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) {
    set_attempts(cluster, {kSix, ProxyHarness::kOrigin});
  });
  it->net.set_silent(kSix);
  it->net.set_silent(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->run();
  it->advance(kPause * 2);
  client.reset();
  it->run();
  EXPECT_EQ(it->net.open_ends(), 0u);
  EXPECT_EQ(it->cluster().upstream_cx_total.value(), 2u);
}

// A logical cluster's endpoint keeps its cell while its name leads elsewhere.
TEST(Proxy_Endpoint, NewConnectionsGoWhereItIsNow) {
  constexpr SocketAddress elsewhere{IpAddress::v4(198, 18, 1, 9), 8080};
  ProxyHarness proxy;
  proxy.origin().answer(ok("there"));
  Origin second(proxy.chains, proxy.now);
  second.answer(ok("elsewhere"));
  proxy.net.listen(elsewhere, second);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("there"));
  proxy.reconfigure(
      [&](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.endpoints[0].address = elsewhere; });
  EXPECT_THAT(proxy.exchange(get()), EndsWith("there")) << "the connection that is there stays in use";
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_THAT(proxy.exchange(get()), EndsWith("elsewhere"));
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
}

TEST(Proxy_KeepAlive, ConnectionsOfTheClusterHaveItsOwn) {
  for (const bool passed_through : {false, true}) {
    const KeepAlive wanted{.idle_seconds = 30, .interval_seconds = 5, .probes = 2};
    const auto check = [&](ProxyHarness& proxy) {
      const auto& set = proxy.net.keep_alives();
      ASSERT_EQ(set.size(), 1u);
      EXPECT_EQ(set[0].peer, ProxyHarness::kOrigin) << "and no client's";
      EXPECT_EQ(set[0].keep_alive.idle(), Duration::seconds(30));
      EXPECT_EQ(set[0].keep_alive.interval(), Duration::seconds(5));
      EXPECT_EQ(set[0].keep_alive.probes, 2);
    };
    if (passed_through) {
      Through it([&](config::TcpProxy&, config::Listener&, config::Cluster& cluster) { cluster.keep_alive = wanted; });
      it->connect();
      it->run();
      check(*it.proxy);
    } else {
      ProxyHarness proxy([&](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.keep_alive = wanted; });
      proxy.origin().answer(ok("x"));
      static_cast<void>(proxy.exchange(get()));
      check(proxy);
    }
  }
}

TEST(Proxy_KeepAlive, ReachesTheTransportUnderTls) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    to_tls(believing_client())(listener, cluster, route);
    cluster.keep_alive = KeepAlive{};
  });
  TlsOrigin origin(proxy, server());
  proxy.origin().answer(ok("x"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("x"));
  EXPECT_EQ(proxy.net.keep_alives().size(), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
