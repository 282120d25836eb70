// Filter chains chosen by what a client says first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/filter_chain_table.h"
#include "tests/support/hello_bytes.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::millrace::test::hello_bytes;
using ::testing::StartsWith;

/// Two chains: 0 serves HTTP to everything that is not TLS, 1 passes TLS for a.example on. Whatever else has none.
class Inspected {
 public:
  explicit Inspected(std::function<void(config::Listener&)> change = {}) {
    proxy.emplace([&](config::Listener& listener, config::Cluster&, config::Route&) {
      config::FilterChainConditions raw, named;
      raw.transport_protocol = "raw_buffer";
      named.server_names = {"a.example", "*.wild.example"};
      std::vector<config::FilterChainClash> clashes;
      listener.table = config::compile_filter_chains({raw, named}, {}, clashes);
      EXPECT_TRUE(clashes.empty());
      listener.chains.resize(2);
      listener.chains[1].name = "through";
      config::TcpProxy through;
      through.stat_prefix = "tls";
      through.clusters = {{"origin", 1}};
      through.total_weight = 1;
      through.cell = tcp_cell_;
      listener.chains[1].filter = through;
      listener.inspection.tls = true;
      listener.inspection.cell = cell_;
      if (change) change(listener);
    });
  }

  report::InspectorStats& stats() { return cell_->per_worker[0]; }
  report::TcpStats& tcp() { return tcp_cell_->per_worker[0]; }
  report::ListenerStats& listener() { return proxy->listener_stats(); }
  std::size_t through() { return proxy->origin().connections(); }

  std::optional<ProxyHarness> proxy;

 private:
  std::shared_ptr<report::InspectorCell> cell_ = std::make_shared<report::InspectorCell>(0, "inspectors", 1);
  std::shared_ptr<report::TcpCell> tcp_cell_ = std::make_shared<report::TcpCell>(0, "tls", 1);
};

TEST(ConnectionInspection, PassesOnEveryByteOfTheHelloHoweverItIsCut) {
  const std::string hello = hello_bytes({.server_name = "A.Example", .protocols = {"h2"}});
  for (std::size_t cut = 1; cut < hello.size(); ++cut) {
    Inspected it;
    Client& client = it.proxy->connect();
    client.send(hello.substr(0, cut));
    it.proxy->run();
    EXPECT_EQ(it.through(), 0u);
    EXPECT_EQ(it.listener().downstream_pre_cx_active.value(), 1);
    EXPECT_EQ(it.listener().downstream_cx_total.value(), 0u);
    client.send(hello.substr(cut) + "and more");
    it.proxy->run();
    ASSERT_EQ(it.through(), 1u) << cut;
    EXPECT_EQ(it.proxy->origin().connection().received(), hello + "and more");
    EXPECT_EQ(it.listener().downstream_pre_cx_active.value(), 0);
    EXPECT_EQ(it.listener().downstream_cx_total.value(), 1u);
    EXPECT_EQ(it.stats().tls_found.value(), 1u);
    EXPECT_EQ(it.stats().sni_found.value(), 1u);
    EXPECT_EQ(it.stats().alpn_found.value(), 1u);
    EXPECT_EQ(it.tcp().downstream_cx_rx_bytes_total.value(), hello.size() + 8);
  }
}

TEST(ConnectionInspection, TakesAHelloByteByByte) {
  const std::string hello = hello_bytes({.server_name = "x.wild.example"});
  Inspected it;
  Client& client = it.proxy->connect();
  const std::size_t before = it.proxy->packets.in_use();
  std::size_t most = 0;
  for (const char c : hello) {
    client.send({&c, 1});
    it.proxy->run();
    most = std::max(most, it.proxy->packets.in_use() - before);
  }
  ASSERT_EQ(it.through(), 1u);
  EXPECT_EQ(it.proxy->origin().connection().received(), hello);
  EXPECT_LE(most, 4u) << "packets: segments of one byte must not pin one each";
  EXPECT_EQ(it.stats().alpn_not_found.value(), 1u);
}

TEST(ConnectionInspection, WhatIsNotTlsIsServedAsHttp) {
  Inspected it;
  it.proxy->origin().answer(ok("x"));
  EXPECT_THAT(it.proxy->exchange(get()), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(it.stats().tls_not_found.value(), 1u);
  EXPECT_EQ(it.listener().downstream_cx_total.value(), 1u);
}

TEST(ConnectionInspection, ARequestThatWasCutAnywhereIsServed) {
  const std::string request = get("/cut", "x-field: value\r\n");
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    Inspected it;
    it.proxy->origin().answer(ok("x"));
    Client& client = it.proxy->connect();
    client.send(request.substr(0, cut));
    it.proxy->run();
    client.send(request.substr(cut));
    it.proxy->run();
    EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200")) << cut;
  }
}

TEST(ConnectionInspection, ARequestAndTheEndOfTheClientComeTogether) {
  Inspected it;
  it.proxy->origin().answer(ok("x"));
  Client& client = it.proxy->connect();
  client.send(get());
  client.end();
  it.proxy->run();
  EXPECT_EQ(it.through(), 1u) << "the request was seen before the end";
}

TEST(ConnectionInspection, NobodyServesAnUnknownName) {
  Inspected it;
  Client& client = it.proxy->connect();
  client.send(hello_bytes({.server_name = "c.example"}));
  it.proxy->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.listener().no_filter_chain_match.value(), 1u);
  EXPECT_EQ(it.listener().downstream_cx_total.value(), 0u);
  Client& nameless = it.proxy->connect();
  nameless.send(hello_bytes({}));
  it.proxy->run();
  EXPECT_TRUE(nameless.ended());
  EXPECT_EQ(it.stats().sni_not_found.value(), 1u);
}

TEST(ConnectionInspection, AMalformedHelloIsRawBytes) {
  Inspected it;
  std::string hello = hello_bytes({.server_name = "a.example"});
  hello[9 + 34] = '\x7f';  // the length of the session id runs out of the message
  it.proxy->exchange(hello);
  EXPECT_EQ(it.stats().tls_not_found.value(), 1u);
  EXPECT_EQ(it.proxy->http().downstream_cx_total.value(), 1u);
}

TEST(ConnectionInspection, AHelloThatIsTooLargeEndsTheConnection) {
  Inspected it;
  Client& client = it.proxy->connect();
  client.send(hello_bytes({.server_name = "a.example", .padding = 17'000}));
  it.proxy->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.stats().client_hello_too_large.value(), 1u);
  EXPECT_EQ(it.listener().downstream_pre_cx_active.value(), 0);
  Inspected large;
  Client& fits = large.proxy->connect();
  fits.send(hello_bytes({.server_name = "a.example", .padding = 15'000}));
  large.proxy->run();
  EXPECT_EQ(large.through(), 1u);
}

TEST(ConnectionInspection, RecordsThatHoldNextToNothingDoNotFillMemory) {
  Inspected it;
  Client& client = it.proxy->connect();
  const std::string message = hello_bytes({.server_name = "a.example", .padding = 12'000}).substr(5);
  std::string records;
  for (const char c : message) records += std::string("\x16\x03\x01\x00\x01", 5) + c;
  client.send(records);
  it.proxy->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.stats().client_hello_too_large.value(), 1u);
}

TEST(ConnectionInspection, ASilentClientIsClosedInTime) {
  Inspected it;
  Client& client = it.proxy->connect();
  client.send(hello_bytes({.server_name = "a.example"}).substr(0, 20));
  it.proxy->advance(Duration::milliseconds(14'900));
  EXPECT_FALSE(client.ended());
  it.proxy->advance(Duration::milliseconds(200));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.listener().downstream_pre_cx_timeout.value(), 1u);
  EXPECT_EQ(it.listener().no_filter_chain_match.value(), 0u);
}

TEST(ConnectionInspection, ATimeoutMayLeadToAConnectionAllTheSame) {
  Inspected it([](config::Listener& listener) {
    listener.inspection.continue_on_timeout = true;
    listener.inspection.timeout = Duration::seconds(1);
  });
  it.proxy->origin().answer(ok("x"));
  Client& client = it.proxy->connect();
  it.proxy->advance(Duration::seconds(2));
  EXPECT_EQ(it.listener().downstream_pre_cx_timeout.value(), 1u);
  EXPECT_EQ(it.proxy->http().downstream_cx_total.value(), 1u);
  client.send(get());
  it.proxy->run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200"));
}

TEST(ConnectionInspection, WithoutATimeoutItWaits) {
  Inspected it([](config::Listener& listener) { listener.inspection.timeout = Duration(); });
  Client& client = it.proxy->connect();
  it.proxy->advance(Duration::seconds(100'000));
  EXPECT_FALSE(client.ended());
}

TEST(ConnectionInspection, AClientThatLeavesEarlyLeavesNothingBehind) {
  Inspected it;
  Client& resets = it.proxy->connect();
  resets.send("\x16");
  it.proxy->run();
  resets.reset();
  Client& ends = it.proxy->connect();
  ends.end();
  it.proxy->run();
  EXPECT_TRUE(ends.ended());
  EXPECT_EQ(it.listener().downstream_pre_cx_active.value(), 0);
  EXPECT_EQ(it.listener().downstream_pre_cx_timeout.value(), 0u);
}

TEST(ConnectionInspection, AMatchByProtocolsTakesTheClientsFirst) {
  Inspected it([](config::Listener& listener) {
    config::FilterChainConditions http1, h2;
    http1.application_protocols = {"http/1.1", "http/1.0"};
    h2.application_protocols = {"h2c", "h2"};
    std::vector<config::FilterChainClash> clashes;
    listener.table = config::compile_filter_chains({http1, h2}, {}, clashes);
    listener.inspection.http = true;
  });
  it.proxy->origin().answer(ok("x"));
  EXPECT_THAT(it.proxy->exchange(get()), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(it.stats().http11_found.value(), 1u);
  EXPECT_EQ(it.tcp().downstream_cx_total.value(), 0u);
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  Client& prior = it.proxy->connect();
  for (const char c : preface) {
    prior.send({&c, 1});
    it.proxy->run();
  }
  EXPECT_EQ(it.stats().http2_found.value(), 1u);
  EXPECT_EQ(it.tcp().downstream_cx_total.value(), 1u);
  it.proxy->exchange("no http at all\n");
  EXPECT_EQ(it.stats().http_not_found.value(), 1u);
  EXPECT_EQ(it.listener().no_filter_chain_match.value(), 1u);
}

TEST(ConnectionInspection, ADrainGivesUpClientsThatHaveSaidNothing) {
  Inspected it;
  Client& silent = it.proxy->connect();
  Client& begun = it.proxy->connect();
  const std::string hello = hello_bytes({.server_name = "a.example"});
  begun.send(hello.substr(0, 10));
  it.proxy->run();
  it.proxy->proxy->start_drain(it.proxy->now);
  it.proxy->run();
  EXPECT_TRUE(silent.ended());
  EXPECT_FALSE(it.proxy->proxy->idle());
  begun.send(hello.substr(10));
  it.proxy->run();
  EXPECT_EQ(it.through(), 1u);
}

TEST(ConnectionInspection, ANewVersionOfTheListenerChoosesForThoseThatWait) {
  Inspected it;
  Client& client = it.proxy->connect();
  const std::string hello = hello_bytes({.server_name = "b.example"});
  client.send(hello.substr(0, 10));
  it.proxy->run();
  it.proxy->reconfigure([](config::Listener& listener, config::Cluster&, config::Route&) {
    config::FilterChainConditions raw, named;
    raw.transport_protocol = "raw_buffer";
    named.server_names = {"b.example"};
    std::vector<config::FilterChainClash> clashes;
    listener.table = config::compile_filter_chains({raw, named}, {}, clashes);
    listener.content_hash = 2;
  });
  client.send(hello.substr(10));
  it.proxy->run();
  EXPECT_EQ(it.through(), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
