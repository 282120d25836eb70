// Network filters that limit connections, and those that serve them without an endpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;

config::ConnectionLimit limit_of(std::uint64_t most) {
  config::ConnectionLimit limit;
  limit.max_connections = most;
  limit.total = std::make_shared<report::ConnectionTotalCell>(0, "", 1);
  limit.cell = std::make_shared<report::ConnectionLimitCell>(0, "limit", ProxyHarness::kWorkers);
  return limit;
}

ProxyHarness::Change with_filter(config::NetworkFilter filter) {
  return [filter = std::move(filter)](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].network_filters.push_back(filter);
  };
}

ProxyHarness::Change serving(std::variant<config::HttpConnectionManager, config::TcpProxy, config::DirectText, config::Echo> filter) {
  return [filter = std::move(filter)](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].filter = filter;
  };
}

TEST(ConnectionLimit, ClosesWhatIsTooMuch) {
  const config::ConnectionLimit limit = limit_of(2);
  ProxyHarness proxy(with_filter(limit));
  proxy.origin().answer(ok("fine"));
  Client& first = proxy.connect();
  Client& second = proxy.connect();
  proxy.run();
  Client& third = proxy.connect();
  proxy.run();
  EXPECT_TRUE(third.ended());
  auto& stats = limit.cell->per_worker[0];
  EXPECT_EQ(stats.limited_connections.value(), 1u);
  EXPECT_EQ(stats.active_connections.value(), 2);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_total.value(), 3u);
  second.send(get());
  proxy.run();
  EXPECT_THAT(second.received(), EndsWith("fine"));
  first.reset();
  proxy.run();
  EXPECT_EQ(stats.active_connections.value(), 1);
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine")) << "there is a place again";
}

// A line in the access log of the TCP proxy that it never came to, as in Envoy.
TEST(NetworkRbac, SaysWhichPolicyHasDeniedAConnection) {
  config::Rbac rbac;
  rbac.rules = config::AccessRules{config::AccessRules::Action::kDeny,
                                   {{"no one", {config::AccessCondition::Any{}}, {config::AccessCondition::Any{}}}}};
  rbac.cell = rbac.shadow_cell = std::make_shared<report::RbacCell>(0, "tcp.rbac.", 1);
  Through it([&](config::TcpProxy& proxy, config::Listener& listener, config::Cluster&) {
    listener.chains[0].network_filters.emplace_back(rbac);
    config::Format format;
    for (const auto command : {config::FormatCommand::kDownstreamRemoteAddressWithoutPort, config::FormatCommand::kLiteral,
                               config::FormatCommand::kConnectionTerminationDetails})
      format.elements.push_back({command, command == config::FormatCommand::kLiteral ? " " : "", {}, {}});
    proxy.access_logs = {{.sink = 0, .format = format}};
  });
  Client& client = it->connect();
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it->log(), "192.0.2.1 rbac_access_denied_matched_policy[no_one]|");
  EXPECT_EQ(it.origin().connections(), 0u);
}

TEST(ConnectionLimit, IsOneForAllWorkers) {
  const config::ConnectionLimit limit = limit_of(1);
  ProxyHarness one(with_filter(limit));
  ProxyHarness other(with_filter(limit), ProxyHarness::small_limits(), 1);
  one.connect();
  one.run();
  Client& too_many = other.connect();
  other.run();
  EXPECT_TRUE(too_many.ended());
  EXPECT_EQ(limit.cell->per_worker[1].limited_connections.value(), 1u);
}

TEST(ConnectionLimit, MayHoldWhatIsTooMuchBeforeItCloses) {
  config::ConnectionLimit limit = limit_of(1);
  limit.delay = Duration::seconds(2);
  ProxyHarness proxy(with_filter(limit));
  proxy.connect();
  Client& held = proxy.connect();
  held.send(get());
  proxy.advance(Duration::milliseconds(1'900));
  EXPECT_FALSE(held.ended());
  EXPECT_EQ(held.received(), "");
  EXPECT_EQ(proxy.http().downstream_rq_total.value(), 0u);
  proxy.advance(Duration::milliseconds(200));
  EXPECT_TRUE(held.ended());
  Client& leaves = proxy.connect();
  proxy.run();
  leaves.reset();
  proxy.run();
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 1u);
}

TEST(ConnectionLimit, ThatIsDisabledLimitsNothing) {
  config::ConnectionLimit limit = limit_of(1);
  limit.enabled = false;
  ProxyHarness proxy(with_filter(limit));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(proxy.connect().ended());
  proxy.run();
  EXPECT_EQ(proxy.http().downstream_cx_active.value(), 3);
  EXPECT_EQ(limit.cell->per_worker[0].active_connections.value(), 0);
}

TEST(ConnectionRateLimit, TakesATokenForEachConnection) {
  config::ConnectionRateLimit limit;
  limit.bucket = {.limits = SharedTokenBucket::Limits::of(2, 1, Duration::seconds(10)),
                  .cell = std::make_shared<report::TokenBucketCell>(0, "", 1)};
  limit.cell = std::make_shared<report::NetworkRateLimitCell>(0, "rate", ProxyHarness::kWorkers);
  ProxyHarness proxy(with_filter(limit));
  std::vector<Client*> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(&proxy.connect());
    proxy.run();
  }
  EXPECT_FALSE(clients[1]->ended());
  EXPECT_TRUE(clients[2]->ended());
  EXPECT_EQ(limit.cell->per_worker[0].rate_limited.value(), 1u);
  proxy.advance(Duration::seconds(10));
  Client& later = proxy.connect();
  proxy.run();
  EXPECT_FALSE(later.ended());
}

TEST(DirectResponse, SaysItsTextAndEnds) {
  const std::string text = pattern(300'000);
  ProxyHarness proxy(serving(config::DirectText{text}));
  Client& client = proxy.connect();
  client.send("what nobody reads");
  proxy.run();
  EXPECT_TRUE(client.received() == text);
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(client.was_reset());
  client.end();
  proxy.run();
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(DirectResponse, WaitsASecondForAClientThatDoesNotEnd) {
  ProxyHarness proxy(serving(config::DirectText{"bye"}));
  Client& client = proxy.connect();
  proxy.run();
  EXPECT_EQ(client.received(), "bye");
  EXPECT_FALSE(proxy.proxy->idle());
  proxy.advance(Duration::milliseconds(1'100));
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(Echo, SaysWhatItHears) {
  ProxyHarness proxy(serving(config::Echo{}));
  const std::string text = pattern(500'000);
  Client& client = proxy.connect();
  client.send(text);
  proxy.run();
  EXPECT_TRUE(client.received() == text);
  client.end();
  proxy.run();
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(Echo, HoldsBackWhoDoesNotRead) {
  ProxyHarness proxy(serving(config::Echo{}));
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send(std::string(2'000'000, 'x'));
  proxy.run();
  EXPECT_GT(client.unsent(), 1'000'000u);
  client.set_reading(true);
  proxy.run();
  EXPECT_EQ(client.received().size(), 2'000'000u);
}

TEST(Listener, LimitsItsConnectionsOverAllWorkers) {
  auto cell = std::make_shared<report::ListenerCell>(0, "198.18.0.2_80", ProxyHarness::kWorkers);
  const auto limit = [&](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.connection_limit = 2;
    listener.cell = cell;
  };
  ProxyHarness one(limit);
  ProxyHarness other(limit, ProxyHarness::small_limits(), 1);
  Client& first = one.connect();
  one.run();
  other.connect();
  other.run();
  Client& third = other.connect();
  other.run();
  EXPECT_TRUE(third.was_reset());
  EXPECT_EQ(other.listener_stats().downstream_cx_overflow.value(), 1u);
  first.reset();
  one.run();
  Client& fourth = other.connect();
  other.run();
  EXPECT_FALSE(fourth.gone());
}

}  // namespace
}  // namespace millrace::proxy::test
