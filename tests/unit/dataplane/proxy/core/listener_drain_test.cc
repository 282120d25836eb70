// What a listener has accepted when it changes or goes: connections, handshakes and inspections under way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/hello_bytes.h"
#include "tests/unit/dataplane/proxy/core/through.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr Duration kDrainTime = Duration::seconds(600);

void change(ProxyHarness& proxy) {
  proxy.reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) { ++listener.content_hash; });
}

// What else may happen to a listener that is gone: nothing that was accepted may refer to what is not there any more.
void change_often(ProxyHarness& proxy) {
  for (int i = 0; i < 3; ++i) proxy.remove_listener();
}

class ListenerDrain : public ::testing::TestWithParam<bool> {
 protected:
  /// The listener changes, or goes.
  static void drain(ProxyHarness& proxy) { GetParam() ? change_often(proxy) : change(proxy); }
};
INSTANTIATE_TEST_SUITE_P(Both, ListenerDrain, ::testing::Bool(),
                         [](const auto& gone) { return gone.param ? "Gone" : "Changed"; });

TEST_P(ListenerDrain, AHandshakeUnderWayGoesOnAndIsServedOnce) {
  ProxyHarness proxy(with_tls(server()));
  proxy.origin().answer(ok("x"));
  TlsClient client_(proxy, client());
  proxy.net.run(proxy.now);  // accepted, and no more
  EXPECT_EQ(proxy.proxy->counts().downstream_connections, 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_active.value(), 1);
  drain(proxy);
  EXPECT_FALSE(client_.peer().gone());
  EXPECT_FALSE(proxy.proxy->idle());
  const std::string answer = client_.exchange(get());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client_.peer().ended());
  client_.peer().close();
  proxy.run();
  EXPECT_TRUE(proxy.proxy->idle());
  EXPECT_EQ(proxy.listener_stats().downstream_cx_total.value(), 1u) << "the handshake and the rest are one";
  EXPECT_EQ(proxy.listener_stats().downstream_cx_destroy.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_active.value(), 0);
}

TEST_P(ListenerDrain, AHandshakeThatIsStillUnderWayAtTheEndIsReset) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].tls = slot(server());
    listener.chains[0].transport_socket_connect_timeout = Duration();
  });
  Client& client_ = proxy.connect();
  client_.send("\x16\x03\x01");
  proxy.run();
  drain(proxy);
  proxy.advance(kDrainTime - Duration::seconds(1));
  EXPECT_FALSE(client_.gone());
  EXPECT_FALSE(proxy.proxy->idle());
  EXPECT_EQ(proxy.listener_stats().downstream_cx_active.value(), 1);
  proxy.advance(Duration::seconds(2));
  EXPECT_TRUE(client_.was_reset());
  EXPECT_TRUE(proxy.proxy->idle());
  EXPECT_EQ(proxy.listener_stats().downstream_cx_active.value(), 0);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_destroy.value(), 1u);
}

TEST_P(ListenerDrain, AnInspectionThatIsStillUnderWayAtTheEndIsReset) {
  const auto inspectors = std::make_shared<report::InspectorCell>(0, "inspectors", 1);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.inspection.tls = true;
    listener.inspection.timeout = Duration();
    listener.inspection.cell = inspectors;
  });
  Client& client_ = proxy.connect();
  client_.send("\x16\x03\x01");
  proxy.run();
  EXPECT_EQ(proxy.listener_stats().downstream_pre_cx_active.value(), 1);
  drain(proxy);
  proxy.advance(kDrainTime - Duration::seconds(1));
  EXPECT_FALSE(client_.gone());
  proxy.advance(Duration::seconds(2));
  EXPECT_TRUE(client_.was_reset());
  EXPECT_EQ(proxy.listener_stats().downstream_pre_cx_active.value(), 0);
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST_P(ListenerDrain, ConnectionsThatArePassedThroughHaveUntilTheEnd) {
  Through it;
  Client& client_ = it->connect();
  it->run();
  drain(*it.proxy);
  it->advance(kDrainTime - Duration::seconds(1));
  client_.send("still there");
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "still there");
  it->advance(Duration::seconds(2));
  EXPECT_TRUE(client_.was_reset());
  EXPECT_TRUE(it.origin().connection().was_reset());
  EXPECT_EQ(it->log(), "0 LR - 11/0|");
  EXPECT_TRUE(it->proxy->idle());
}

TEST_P(ListenerDrain, ARequestThatTakesLongerIsReset) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    std::get<config::ForwardAction>(route.action).timeout = Duration();
    listener.chains[0].http()->stream_idle_timeout = Duration();
  });
  Client& client_ = proxy.connect();
  client_.send(get());
  proxy.run();
  drain(proxy);
  proxy.advance(kDrainTime - Duration::seconds(1));
  EXPECT_FALSE(client_.gone());
  proxy.advance(Duration::seconds(2));
  EXPECT_TRUE(client_.was_reset());
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST_P(ListenerDrain, AConnectionWithoutARequestEndsInOrderAtTheEnd) {
  ProxyHarness proxy(
      [](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[0].http()->idle_timeout = Duration(); });
  Client& client_ = proxy.connect();
  proxy.run();
  drain(proxy);
  proxy.advance(kDrainTime - Duration::seconds(1));
  EXPECT_FALSE(client_.gone());
  proxy.advance(Duration::seconds(2));
  EXPECT_TRUE(client_.ended());
  EXPECT_FALSE(client_.was_reset());
  EXPECT_TRUE(proxy.proxy->idle());
}

TEST(ListenerDrain_Removal, AnInspectionUnderWayGoesOnWhereTheClientHasSpoken) {
  const auto inspectors = std::make_shared<report::InspectorCell>(0, "inspectors", 1);
  Through it([&](config::TcpProxy&, config::Listener& listener, config::Cluster&) {
    listener.inspection.tls = true;
    listener.inspection.cell = inspectors;
  });
  const std::string hello = ::millrace::test::hello_bytes({.server_name = "a.example"});
  Client& silent = it->connect();
  Client& begun = it->connect();
  begun.send(hello.substr(0, 10));
  it->run();
  change_often(*it.proxy);
  EXPECT_TRUE(silent.ended());
  EXPECT_FALSE(begun.ended());
  begun.send(hello.substr(10));
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it.origin().connection().received(), hello);
}

TEST(ListenerDrain_Versions, EachHasATimeOfItsOwn) {
  Through it;
  Client& first = it->connect();
  it->run();
  change(*it.proxy);
  Client& second = it->connect();
  it->advance(Duration::seconds(300));
  change(*it.proxy);
  Client& third = it->connect();
  it->advance(Duration::seconds(301));
  EXPECT_TRUE(first.was_reset());
  EXPECT_FALSE(second.gone());
  it->advance(Duration::seconds(300));
  EXPECT_TRUE(second.was_reset());
  it->advance(Duration::seconds(2'000));
  EXPECT_FALSE(third.gone()) << "its version is the current one";
}

TEST(ListenerDrain_Versions, OneThatServesAsBeforeIsNotDrained) {
  Through it;
  Client& client_ = it->connect();
  it->run();
  it->reconfigure([](config::Listener&, config::Cluster&, config::Route&) {});
  it->advance(Duration::seconds(3'000));
  EXPECT_FALSE(client_.gone());
}

TEST(ListenerDrain_Gradual, ClientsAreAskedToLeaveOneByOne) {
  constexpr int kClients = 200;
  ProxyHarness proxy({}, ProxyHarness::small_limits(), 0, true);
  proxy.origin().answer(ok("x"));
  std::vector<Client*> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(&proxy.connect());
    clients.back()->send(get());
    proxy.run();
  }
  change(proxy);
  const auto leave = [&] {
    int asked = 0;
    for (Client*& client : clients) {
      if (client == nullptr) continue;
      client->clear_received();
      client->send(get());
      proxy.run();
      if (client->received().find("connection: close\r\n") == std::string::npos) continue;
      client = nullptr;
      ++asked;
    }
    return asked;
  };
  EXPECT_LT(leave(), kClients / 20) << "at the beginning hardly one";
  proxy.advance(kDrainTime / 2);
  const int half = leave();
  EXPECT_GT(half, kClients * 35 / 100);
  EXPECT_LT(half, kClients * 65 / 100);
  proxy.advance(kDrainTime / 2 - Duration::seconds(1));
  leave();
  const auto staying = static_cast<std::uint64_t>(std::ranges::count_if(clients, [](Client* one) { return one != nullptr; }));
  EXPECT_LE(staying, 3u);
  EXPECT_EQ(proxy.http().downstream_cx_drain_close.value(), kClients - staying);
}

TEST(ListenerDrain_Process, AHandshakeUnderWayIsServedOnce) {
  ProxyHarness proxy(with_tls(server()));
  proxy.origin().answer(ok("x"));
  TlsClient client_(proxy, client());
  proxy.net.run(proxy.now);
  proxy.proxy->start_drain(proxy.now);
  proxy.run();
  EXPECT_FALSE(proxy.proxy->idle());
  EXPECT_THAT(client_.exchange(get()), HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client_.peer().ended());
}

// A chain more, in front of the others, which new connections do not meet.
void insert_chain(config::Listener& listener, std::uint64_t content_hash) {
  listener.chains.insert(listener.chains.begin(), listener.chains.front());
  listener.chains.front().content_hash = content_hash;
  listener.table.fallback = 1;
}

std::string next_answer(ProxyHarness& proxy, Client& client) {
  client.clear_received();
  client.send(get());
  proxy.run();
  return client.received();
}

// Source: Envoy, "Filter chain only update".
TEST(ListenerDrain_Chains, ThatStayKeepTheirConnectionsWhereverTheyStandNow) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& client_ = proxy.connect();
  EXPECT_THAT(next_answer(proxy, client_), HasSubstr("server: envoy\r\n"));
  proxy.reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) {
    insert_chain(listener, 7);
    listener.chains[1].http()->server_name = "newest";
  });
  const std::string answer = next_answer(proxy, client_);
  EXPECT_THAT(answer, HasSubstr("server: newest\r\n")) << "the newest version serves";
  EXPECT_THAT(answer, Not(HasSubstr("connection: close")));
  proxy.advance(kDrainTime + Duration::seconds(1));
  EXPECT_FALSE(client_.gone());
}

TEST(ListenerDrain_Chains, ThatGoOrChangeDrainTheirConnectionsAlone) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& of_changed = proxy.connect();
  EXPECT_THAT(next_answer(proxy, of_changed), StartsWith("HTTP/1.1 200 OK\r\n"));
  proxy.reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) {
    insert_chain(listener, 7);
    listener.table.fallback = 0;
  });
  Client& of_kept = proxy.connect();
  EXPECT_THAT(next_answer(proxy, of_kept), StartsWith("HTTP/1.1 200 OK\r\n"));
  proxy.reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[1].content_hash = 8; });
  EXPECT_THAT(next_answer(proxy, of_changed), HasSubstr("connection: close\r\n"));
  EXPECT_THAT(next_answer(proxy, of_kept), Not(HasSubstr("connection: close")));
  proxy.reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) { ++listener.content_hash; });
  EXPECT_THAT(next_answer(proxy, of_kept), HasSubstr("connection: close\r\n")) << "the listener itself has changed";
}

TEST(ListenerDrain_Chains, EachHasATimeOfItsOwn) {
  Through it;
  Client& first = it->connect();
  it->run();
  it->reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) {
    insert_chain(listener, 7);
    listener.table.fallback = 0;
  });
  Client& second = it->connect();
  it->run();
  it->reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[1].content_hash = 8; });
  it->advance(Duration::seconds(300));
  it->reconfigure(
      [](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains.erase(listener.chains.begin()); });
  it->advance(Duration::seconds(301));
  EXPECT_TRUE(first.was_reset());
  EXPECT_FALSE(second.gone());
  it->advance(Duration::seconds(300));
  EXPECT_TRUE(second.was_reset());
  EXPECT_TRUE(it->proxy->idle());
}

}  // namespace
}  // namespace millrace::proxy::test
