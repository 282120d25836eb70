// What the proxy does in overload, and the limit of all connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using report::OverloadAction;
using report::OverloadCell;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::shared_ptr<config::Overload> overload_of(std::uint64_t most = config::kUnlimitedConnections) {
  auto overload = std::make_shared<config::Overload>();
  overload->max_connections = most;
  overload->cell = std::make_shared<OverloadCell>(std::vector<std::string>{"heap"}, ProxyHarness::kWorkers);
  return overload;
}

/// A proxy under an overload manager that the test plays.
class Overloaded {
 public:
  explicit Overloaded(const ProxyHarness::Change& change = {}, std::uint64_t most = config::kUnlimitedConnections)
      : overload(overload_of(most)), proxy(change) {
    overload->least_account_power = 16;
    proxy.set_overload(overload);
    proxy.origin().answer(ok("fine"));
  }

  void set(OverloadAction action, std::uint32_t level = OverloadCell::kSaturated) { overload->cell->set_level(action, level); }

  std::shared_ptr<config::Overload> overload;
  ProxyHarness proxy;
};

TEST(Overload, RequestsAreRefused) {
  Overloaded it([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].http()->append_local_overload = true;
  });
  EXPECT_THAT(it.proxy.exchange(get()), EndsWith("fine"));
  it.proxy.log();
  it.set(OverloadAction::kStopAcceptingRequests);
  EXPECT_THAT(it.proxy.exchange(get()),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("x-envoy-local-overloaded: true\r\n"), EndsWith("envoy overloaded")));
  EXPECT_EQ(it.proxy.log(), "503 OM overload 0/16|");
  EXPECT_EQ(it.proxy.http().downstream_rq_overload_close.value(), 1u);
  it.set(OverloadAction::kStopAcceptingRequests, 0);
  EXPECT_THAT(it.proxy.exchange(get()), EndsWith("fine"));
}

TEST(Overload, TheAnswerSaysSoOnlyWhereThatIsWanted) {
  Overloaded it;
  it.set(OverloadAction::kStopAcceptingRequests);
  EXPECT_THAT(it.proxy.exchange(get()), AllOf(StartsWith("HTTP/1.1 503 "), Not(HasSubstr("overloaded: true"))));
}

TEST(Overload, APartOfItRefusesAPartOfTheRequests) {
  Overloaded it;
  it.set(OverloadAction::kStopAcceptingRequests, OverloadCell::kSaturated / 4);
  Client& client = it.proxy.connect();
  for (int i = 0; i < 400; ++i) {
    client.send(get());
    it.proxy.run();
  }
  EXPECT_GT(it.proxy.http().downstream_rq_overload_close.value(), 60u);
  EXPECT_LT(it.proxy.http().downstream_rq_overload_close.value(), 140u);
}

TEST(Overload, AListenerMayBypassIt) {
  Overloaded it([](config::Listener& listener, config::Cluster&, config::Route&) { listener.bypasses_overload = true; });
  it.set(OverloadAction::kStopAcceptingRequests);
  it.set(OverloadAction::kRejectIncomingConnections);
  EXPECT_THAT(it.proxy.exchange(get()), EndsWith("fine"));
}

TEST(Overload, KeepAliveEnds) {
  Overloaded it;
  Client& client = it.proxy.connect();
  client.send(get());
  it.proxy.run();
  EXPECT_FALSE(client.ended());
  it.set(OverloadAction::kDisableHttpKeepalive);
  client.clear_received();
  client.send(get());
  it.proxy.run();
  EXPECT_THAT(client.received(), AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("connection: close\r\n"), EndsWith("fine")));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.proxy.http().downstream_cx_overload_disable_keepalive.value(), 1u);
}

TEST(Overload, ConnectionsAreRejected) {
  Overloaded it;
  it.set(OverloadAction::kRejectIncomingConnections);
  Client& client = it.proxy.connect();
  it.proxy.run();
  EXPECT_TRUE(client.was_reset());
  EXPECT_EQ(it.proxy.listener_stats().downstream_cx_overload_reject.value(), 1u);
  EXPECT_EQ(it.overload->cell->connections.value(), 0u);
}

TEST(Overload, ConnectionsOfAllListenersAreLimited) {
  Overloaded it({}, 2);
  Client& first = it.proxy.connect();
  it.proxy.connect();
  it.proxy.run();
  EXPECT_EQ(it.overload->cell->connections.value(), 2u);
  Client& third = it.proxy.connect();
  it.proxy.run();
  EXPECT_TRUE(third.was_reset());
  EXPECT_EQ(it.proxy.listener_stats().downstream_global_cx_overflow.value(), 1u);
  first.close();
  it.proxy.run();
  EXPECT_THAT(it.proxy.exchange(get()), EndsWith("fine"));
}

TEST(Overload, ConnectionsThatAreNotLimitedCountAllTheSame) {
  Overloaded it([](config::Listener& listener, config::Cluster&, config::Route&) { listener.ignores_global_limit = true; }, 1);
  it.proxy.connect();
  it.proxy.connect();
  it.proxy.run();
  EXPECT_EQ(it.overload->cell->connections.value(), 2u);
  EXPECT_EQ(it.proxy.listener_stats().downstream_global_cx_overflow.value(), 0u);
}

TEST(Overload, AConnectionCountsWhileItIsInspectedToo) {
  Overloaded it(
      [](config::Listener& listener, config::Cluster&, config::Route&) {
        listener.inspection.http = true;
        listener.inspection.cell = std::make_shared<report::InspectorCell>(0, "inspectors", ProxyHarness::kWorkers);
      },
      1);
  Client& silent = it.proxy.connect();
  it.proxy.run();
  EXPECT_EQ(it.overload->cell->connections.value(), 1u);
  Client& second = it.proxy.connect();
  it.proxy.run();
  EXPECT_TRUE(second.was_reset());
  silent.send(get());
  it.proxy.run();
  EXPECT_THAT(silent.received(), EndsWith("fine"));
  EXPECT_EQ(it.overload->cell->connections.value(), 1u);
  silent.close();
  it.proxy.run();
  EXPECT_EQ(it.overload->cell->connections.value(), 0u);
}

TEST(Overload, ThoseThatHoldMostAreReset) {
  Overloaded it;
  it.proxy.origin().on_bytes([](OriginConnection&) {});
  it.proxy.origin().pause_reading();
  Client& expensive = it.proxy.connect();
  expensive.send("PUT /large HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n" + std::string(3'000'000, 'x'));
  Client& cheap = it.proxy.connect();
  cheap.send("PUT /small HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n" + std::string(1'000, 'x'));
  it.proxy.run();
  it.proxy.log();
  it.set(OverloadAction::kResetHighMemoryStream);
  it.proxy.run();
  EXPECT_FALSE(expensive.gone()) << "only when the manager asks";
  it.overload->cell->reset_rounds.fetch_add(1);
  it.proxy.run();
  EXPECT_TRUE(expensive.was_reset());
  EXPECT_FALSE(cheap.gone());
  EXPECT_THAT(it.proxy.log(), StartsWith("0 OM overload "));
  EXPECT_EQ(it.overload->cell->streams_reset[0].value(), 1u);
  it.set(OverloadAction::kResetHighMemoryStream, 1);
}

TEST(Overload, TheLevelSaysHowSmallTheyMayBe) {
  Overloaded it;
  it.proxy.origin().on_bytes([](OriginConnection&) {});
  it.proxy.origin().pause_reading();
  Client& client = it.proxy.connect();
  client.send("PUT /large HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n" + std::string(3'000'000, 'x'));
  it.proxy.run();
  it.set(OverloadAction::kResetHighMemoryStream, 1);  // streams of 8 MiB and more
  it.overload->cell->reset_rounds.fetch_add(1);
  it.proxy.run();
  EXPECT_FALSE(client.gone());
}

}  // namespace
}  // namespace millrace::proxy::test
