// The PROXY protocol through the proxy: whom connections are taken to be from, and what endpoints are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/filter_chain_table.h"
#include "config/compile/format_compiler.h"
#include "tests/support/hello_bytes.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using ::millrace::test::hello_bytes;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kHeader = "PROXY TCP4 203.0.113.9 198.18.0.2 4711 80\r\n";

/// The listener takes PROXY headers.
class Proxied {
 public:
  explicit Proxied(std::function<void(config::Listener&, config::Cluster&)> change = {}) {
    proxy.emplace([&](config::Listener& listener, config::Cluster& cluster, config::Route&) {
      listener.inspection.proxy_protocol.emplace().cell = cell_;
      listener.chains[0].http()->use_remote_address = true;
      listener.chains[0].http()->access_logs[0].format = *config::compile_format(
          "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%|");
      if (change) change(listener, cluster);
    });
  }

  ProxyHarness* operator->() { return &*proxy; }
  report::ProxyProtocolStats& stats() { return cell_->per_worker[0]; }

  std::optional<ProxyHarness> proxy;

 private:
  std::shared_ptr<report::ProxyProtocolCell> cell_ = std::make_shared<report::ProxyProtocolCell>(0, "", 1);
};

TEST(ProxyProtocol, TheClientIsWhomTheHeaderNames) {
  Proxied it;
  std::string seen;
  it->origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    connection.send(ok("fine"));
  });
  EXPECT_THAT(it->exchange(kHeader + get()), EndsWith("fine"));
  EXPECT_THAT(seen, HasSubstr("x-forwarded-for: 203.0.113.9\r\n"));
  EXPECT_THAT(it->log(), StartsWith("203.0.113.9:4711 192.0.2.1 198.18.0.2:80"));
  EXPECT_EQ(it.stats().v1.found.value(), 1u);
}

TEST(ProxyProtocol, HeaderAndRequestMayBeCutAnywhere) {
  const std::string text = kHeader + get();
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    Proxied it;
    it->origin().answer(ok("fine"));
    Client& client = it->connect();
    client.send(text.substr(0, cut));
    it->run();
    client.send(text.substr(cut));
    it->run();
    EXPECT_THAT(client.received(), EndsWith("fine")) << cut;
  }
}

TEST(ProxyProtocol, AConnectionWithoutAHeaderIsClosed) {
  Proxied it;
  Client& client = it->connect();
  client.send(get());
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(it.stats().not_found_disallowed.value(), 1u);
  Client& broken = it->connect();
  broken.send("PROXY TCP4 nobody\r\n");
  it->run();
  EXPECT_TRUE(broken.ended());
  EXPECT_EQ(it.stats().v1.error.value(), 1u);
  EXPECT_EQ(it->listener_stats().downstream_pre_cx_active.value(), 0);
}

TEST(ProxyProtocol, OrIsServedWhereThatIsAllowed) {
  Proxied it([](config::Listener& listener, config::Cluster&) { listener.inspection.proxy_protocol->optional = true; });
  it->origin().answer(ok("fine"));
  EXPECT_THAT(it->exchange(get()), EndsWith("fine"));
  EXPECT_THAT(it->log(), StartsWith("192.0.2.1:"));
  EXPECT_EQ(it.stats().not_found_allowed.value(), 1u);
  Client& begins_alike = it->connect();
  begins_alike.send("P");
  it->run();
  begins_alike.send("UT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
  it->run();
  EXPECT_THAT(begins_alike.received(), EndsWith("fine"));
}

TEST(ProxyProtocol, AVersionThatIsNotTakenEndsTheConnection) {
  Proxied it([](config::Listener& listener, config::Cluster&) { listener.inspection.proxy_protocol->v1 = false; });
  Client& client = it->connect();
  client.send(kHeader + get());
  it->run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(it.stats().v1.disallowed.value(), 1u);
}

TEST(ProxyProtocol, StandsBeforeTheTlsInspectorAndFilterChains) {
  auto tcp_cell = std::make_shared<report::TcpCell>(0, "tls", 1);
  Proxied it([&](config::Listener& listener, config::Cluster&) {
    config::FilterChainConditions named, direct;
    named.server_names = {"a.example"};
    named.sources = {*IpPrefix::parse("203.0.113.0/24")};
    named.direct_sources = {*IpPrefix::parse("192.0.2.0/24")};
    named.destination_port = 80;
    std::vector<config::FilterChainClash> clashes;
    direct.direct_sources = {*IpPrefix::parse("203.0.113.0/24")};
    listener.table = config::compile_filter_chains({direct, named}, {}, clashes);
    listener.chains.resize(2);
    config::TcpProxy through;
    through.clusters = {{"origin", 1}};
    through.total_weight = 1;
    through.cell = tcp_cell;
    listener.chains[1].filter = through;
    listener.inspection.tls = true;
    listener.inspection.cell = std::make_shared<report::InspectorCell>(0, "inspectors", 1);
  });
  const std::string hello = hello_bytes({.server_name = "a.example"});
  Client& client = it->connect();
  client.send(kHeader + hello);
  it->run();
  ASSERT_EQ(it->origin().connections(), 1u);
  EXPECT_EQ(it->origin().connection().received(), hello);
}

TEST(ProxyProtocol, SilenceInTheHeaderIsATimeout) {
  Proxied it([](config::Listener& listener, config::Cluster&) { listener.inspection.continue_on_timeout = true; });
  it->origin().answer(ok("fine"));
  Client& half = it->connect();
  half.send("PROXY TCP4 ");
  Client& silent = it->connect();
  it->advance(Duration::seconds(16));
  EXPECT_TRUE(half.ended()) << "nobody may claim to be who the rest would name";
  EXPECT_FALSE(silent.ended());
  silent.send(get());
  it->run();
  EXPECT_THAT(silent.received(), EndsWith("fine"));
}

TEST(ProxyProtocol, AnEndpointIsToldOfEachClientOnConnectionsOfItsOwn) {
  Proxied it([](config::Listener&, config::Cluster& cluster) {
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
  });
  std::vector<std::string> heads;
  it->origin().on_bytes([&](OriginConnection& connection) {
    if (!connection.received().ends_with("\r\n\r\n")) return;  // the header alone
    heads.push_back(connection.take_received());
    connection.send(ok("fine"));
  });
  Client& first = it->connect();
  first.send(kHeader + get());
  it->run();
  first.send(get("/again"));
  it->run();
  EXPECT_EQ(it->origin().connections(), 1u) << "one client's requests share a connection";
  it->exchange("PROXY TCP4 203.0.113.10 198.18.0.2 4712 80\r\n" + get());
  EXPECT_EQ(it->origin().connections(), 2u);
  ASSERT_EQ(heads.size(), 3u);
  EXPECT_THAT(heads[0], StartsWith(kHeader + "GET / "));
  EXPECT_THAT(heads[1], StartsWith("GET /again "));
  EXPECT_THAT(heads[2], StartsWith("PROXY TCP4 203.0.113.10 198.18.0.2 4712 80\r\nGET / "));
}

TEST(ProxyProtocol, WithoutTheConnectionsStateEndpointsAreToldOfNobodyAndShareConnections) {
  Proxied it([](config::Listener& listener, config::Cluster& cluster) {
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
    listener.chains[0].http()->add_proxy_protocol_connection_state = false;
  });
  std::string seen;
  it->origin().on_bytes([&](OriginConnection& connection) {
    if (!connection.received().ends_with("\r\n\r\n")) return;  // the header alone
    seen += connection.take_received();
    connection.send(ok("fine"));
  });
  it->exchange(kHeader + get());
  it->exchange("PROXY TCP4 203.0.113.10 198.18.0.2 4712 80\r\n" + get());
  EXPECT_EQ(it->origin().connections(), 1u);
  EXPECT_THAT(seen, StartsWith("PROXY UNKNOWN\r\nGET / "));
}

TEST(ProxyProtocol, ATcpProxyTellsOfItsClient) {
  Through it([](config::TcpProxy&, config::Listener& listener, config::Cluster& cluster) {
    config::ProxyProtocolIn& in = listener.inspection.proxy_protocol.emplace();
    in.cell = std::make_shared<report::ProxyProtocolCell>(0, "", 1);
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
  });
  Client& client = it->connect();
  client.send(kHeader + "ping");
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  EXPECT_EQ(it.origin().connection().received(), kHeader + "ping");
  EXPECT_EQ(it->log(), "");
  client.end();
  it.origin().connection().end();
  it->run();
  EXPECT_EQ(it->log(), "0 - - 4/0|") << "the header is not the client's bytes";
}

TEST(ProxyProtocol, AClientThatLeavesBeforeTheEndpointAnswersLeavesNothingBehind) {
  Through it([](config::TcpProxy&, config::Listener&, config::Cluster& cluster) {
    cluster.endpoints[0].own_extras().proxy_protocol = std::make_shared<config::ProxyProtocolOut>();
    cluster.connect_timeout = Duration::seconds(1);
  });
  it->net.set_silent(ProxyHarness::kOrigin);
  Client& client = it->connect();
  it->run();
  EXPECT_EQ(it->proxy->counts().upstream_connections, 1u);
  client.reset();
  it->run();
  EXPECT_EQ(it->proxy->counts().upstream_connections, 0u);
  it->connect();
  it->advance(Duration::seconds(2));
  EXPECT_EQ(it->cluster().upstream_cx_connect_timeout.value(), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
