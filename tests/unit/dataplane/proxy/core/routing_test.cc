// What a route says of a request, seen by the origin: which cluster, which host, for how long.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr SocketAddress kSecond{IpAddress::v4(198, 18, 1, 2), 8080};

/// Every head that the origin was sent, answered by 200.
struct Heads {
  explicit Heads(Origin& origin, std::string_view answer = ok("x")) {
    origin.on_bytes([this, answer = std::string(answer)](OriginConnection& connection) {
      if (connection.received().find("\r\n\r\n") == std::string::npos) return;
      seen += connection.take_received();
      connection.send(answer);
    });
  }
  std::string seen;
};

// A table of its own, which answers by itself.
std::shared_ptr<const config::RouteTable> answering(std::uint16_t status) {
  config::Route route;
  route.match.path.text = "/";
  route.action = config::DirectResponse{.status = status, .body = ""};
  auto table = std::make_shared<config::RouteTable>();
  table->virtual_hosts.resize(1);
  table->virtual_hosts[0].routes.push_back(std::move(route));
  table->default_domain = 0;
  return table;
}

TEST(Proxy_Routing, AHeaderFieldChoosesTheTable) {
  ProxyHarness proxy([](config::Listener& listener, auto&, auto&) {
    auto scoped = std::make_shared<config::ScopedRoutes>();
    scoped->fragments = {{.header = "x-tenant", .element_separator = ""}};
    scoped->scopes = {{.name = "late", .key = {"late"}, .routes = nullptr, .route_config_name = "r"},
                      {.name = "one", .key = {"one"}, .routes = answering(201), .route_config_name = {}},
                      {.name = "two", .key = {"two"}, .routes = answering(202), .route_config_name = {}}};
    scoped->sort();
    listener.chains[0].http()->scoped = scoped;
  });
  EXPECT_THAT(proxy.exchange(get("/", "x-tenant: one\r\n")), StartsWith("HTTP/1.1 201 "));
  EXPECT_THAT(proxy.exchange(get("/", "x-tenant: two\r\n")), StartsWith("HTTP/1.1 202 "));
  (void)proxy.log();
  for (const char* tenant : {"x-tenant: three\r\n", "x-tenant: late\r\n", ""}) {
    EXPECT_THAT(proxy.exchange(get("/", tenant)), StartsWith("HTTP/1.1 404 ")) << tenant;
    EXPECT_THAT(proxy.log(), StartsWith("404 NR route_not_found")) << tenant;
  }
}

TEST(Proxy_Routing, TheRequestNamesTheCluster) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    action_of(route).clusters[0].name.clear();
    action_of(route).clusters[0].name_header = "x-cluster";
  });
  proxy.origin().answer(ok("x"));
  EXPECT_THAT(proxy.exchange(get("/", "x-cluster: origin\r\n")), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(proxy.log(), StartsWith("200 - via_upstream"));
  EXPECT_THAT(proxy.exchange(get("/", "x-cluster: nowhere\r\n")), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(proxy.log(), StartsWith("503 NC cluster_not_found"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.http().no_cluster.value(), 2u);
}

TEST(Proxy_Routing, ARetryKeepsTheClusterThatTheRequestNamed) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    action_of(route).clusters[0].name.clear();
    action_of(route).clusters[0].name_header = "x-cluster";
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    action_of(route).retry = policy;
    route.headers.request_remove = {"x-cluster"};
  });
  proxy.origin().on_bytes([left = 1](OriginConnection& connection) mutable {
    if (connection.received().find("\r\n\r\n") == std::string::npos) return;
    connection.clear_received();
    connection.send(left-- > 0 ? "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n" : ok("good"));
  });
  Client& client = proxy.connect();
  client.send(get("/", "x-cluster: origin\r\n"));
  proxy.advance(Duration::seconds(1));
  EXPECT_THAT(client.received(), EndsWith("good"));
}

TEST(Proxy_Routing, TheHostFollowsTheEndpointOfEachTry) {
  ProxyHarness proxy([](auto&, config::Cluster& cluster, config::Route& route) {
    cluster.endpoints[0].own_extras().hostname = "one.example";
    config::Endpoint second = cluster.endpoints[0];
    second.address = kSecond;
    second.own_extras().hostname = "two.example";
    second.cell = std::make_shared<report::EndpointCell>(1, 1);
    cluster.endpoints.push_back(second);
    cluster.healthy_weight = 2;
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    policy->avoid_previous_hosts = true;
    policy->host_selection_retries = 10;
    action_of(route).retry = policy;
    action_of(route).auto_host_rewrite = action_of(route).append_x_forwarded_host = true;
  });
  Origin second(proxy.chains, proxy.now);
  proxy.net.listen(kSecond, second);
  constexpr std::string_view kFails = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
  Heads at_first(proxy.origin(), kFails);
  Heads at_second(second, kFails);
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(1));
  EXPECT_THAT(at_first.seen, AllOf(HasSubstr("host: one.example\r\n"), HasSubstr("x-forwarded-host: example.com\r\n")));
  EXPECT_THAT(at_second.seen, AllOf(HasSubstr("host: two.example\r\n"), HasSubstr("x-forwarded-host: example.com\r\n")));
  client.reset();
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
  proxy.net.close_listener(kSecond);
}

// As in Envoy, whose router sets the response's code before it adds fields.
TEST(Proxy_Routing, FieldsThatAreAddedTellOfTheResponse) {
  for (const bool healthy : {true, false}) {
    ProxyHarness proxy([healthy](auto&, config::Cluster& cluster, config::Route& route) {
      cluster.endpoints[0].healthy = healthy;
      route.headers.response_add.push_back(
          {.name = "x-told", .value = *config::compile_format("%RESPONSE_CODE% by %RESP(X-ORIGIN)%")});
    });
    proxy.origin().answer("HTTP/1.1 404 Not Found\r\nx-origin: one\r\ncontent-length: 0\r\n\r\n");
    EXPECT_THAT(proxy.exchange(get()), HasSubstr(healthy ? "x-told: 404 by one\r\n" : "x-told: 503 by"));
  }
}

TEST(Proxy_Routing, TheRoutesStreamDurationReplacesTheManagers) {
  ProxyHarness proxy([](auto& listener, auto&, config::Route& route) {
    listener.chains[0].http()->max_stream_duration = Duration::seconds(1);
    action_of(route).stream_duration = config::StreamDuration{
        .limit = Duration::seconds(3), .grpc_header_max = Duration::seconds(2), .grpc_header_offset = Duration()};
  });
  Client& plain = proxy.connect();
  plain.send(get());
  Client& grpc = proxy.connect();
  grpc.send(get("/", "content-type: application/grpc\r\ngrpc-timeout: 9S\r\n"));
  proxy.advance(Duration::milliseconds(1'990));
  EXPECT_EQ(grpc.received(), "");
  proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(grpc.received(), HasSubstr("grpc-status: 4\r\ngrpc-message: downstream duration timeout\r\n"));
  EXPECT_THAT(proxy.log(), StartsWith("200 DT max_duration_timeout"));
  EXPECT_EQ(plain.received(), "");
  proxy.advance(Duration::milliseconds(1'000));
  EXPECT_THAT(plain.received(), StartsWith("HTTP/1.1 504 "));
}

TEST(Proxy_Routing, AGrpcTimeoutThatIsOverEndsTheRequestAtOnce) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    action_of(route).stream_duration =
        config::StreamDuration{.limit = {}, .grpc_header_max = Duration(), .grpc_header_offset = Duration::seconds(1)};
  });
  Client& client = proxy.connect();
  client.send(get("/", "content-type: application/grpc\r\ngrpc-timeout: 1S\r\n"));
  proxy.advance(Duration::milliseconds(10));
  EXPECT_THAT(client.received(), HasSubstr("grpc-status: 4\r\n"));
}

TEST(Proxy_Routing, ARouteMayLetConnectThrough) {
  const auto connect = "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n";
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    route.match.path.kind = config::PathMatcher::Kind::kConnect;
    action_of(route).connect = true;
  });
  Heads heads(proxy.origin(), "HTTP/1.1 200 OK\r\n\r\n");
  Client& client = proxy.connect();
  client.send(connect);
  proxy.run();
  EXPECT_THAT(heads.seen, StartsWith("CONNECT a:443 HTTP/1.1\r\n"));
  EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  proxy.origin().connection().send("opaque");
  proxy.run();
  EXPECT_EQ(client.received(), "opaque");
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 404 ")) << "a path meets no such route";
  client.reset();
  proxy.run();
}

constexpr std::string_view kConnect = "CONNECT db.internal:5432 HTTP/1.1\r\nhost: db.internal:5432\r\n\r\n";

void end_connect(config::Route& route) {
  route.match.path.kind = config::PathMatcher::Kind::kConnect;
  action_of(route).connect = action_of(route).ends_connect = true;
}

TEST(Proxy_Connect, EndsHereAndItsBytesGoToTheEndpoint) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { end_connect(route); });
  Client& client = proxy.connect();
  client.send(kConnect);
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  ASSERT_EQ(proxy.origin().connections(), 1u);
  OriginConnection& origin = proxy.origin().connection();
  EXPECT_EQ(origin.received(), "") << "no HTTP";
  client.clear_received();
  client.send("query");
  proxy.run();
  EXPECT_EQ(origin.received(), "query");
  origin.send("rows");
  proxy.run();
  EXPECT_EQ(client.received(), "rows");
  client.end();
  proxy.run();
  EXPECT_TRUE(origin.ended());
  origin.send("the last");
  origin.end();
  proxy.run();
  EXPECT_EQ(client.received(), "rowsthe last") << "each direction ends by itself";
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.http().downstream_cx_upgrades_active.value(), 0);
  EXPECT_EQ(proxy.cluster().upstream_cx_http1_total.value(), 0u);
}

TEST(Proxy_Connect, EachHasAConnectionOfItsOwn) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { end_connect(route); });
  Client& first = proxy.connect();
  first.send(kConnect);
  proxy.run();
  first.end();
  proxy.origin().connection(0).end();
  proxy.run();
  Client& second = proxy.connect();
  second.send(kConnect);
  proxy.run();
  EXPECT_THAT(second.received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(proxy.origin().connections(), 2u);
  EXPECT_EQ(proxy.proxy->counts().upstream_connections, 1u) << "none is kept";
}

TEST(Proxy_Connect, AnEndpointThatRefusesIs503) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { end_connect(route); });
  proxy.net.close_listener(ProxyHarness::kOrigin);
  EXPECT_THAT(proxy.exchange(kConnect), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(proxy.log(), StartsWith("503 UF "));
}

TEST(Proxy_Connect, AResetOfTheEndpointResetsTheClient) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { end_connect(route); });
  Client& client = proxy.connect();
  client.send(kConnect);
  proxy.run();
  proxy.origin().connection().reset();
  proxy.run();
  EXPECT_TRUE(client.was_reset());
}

TEST(Proxy_Connect, AClientThatLeavesEndsTheTunnel) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { end_connect(route); });
  Client& client = proxy.connect();
  client.send(kConnect);
  proxy.run();
  client.reset();
  proxy.run();
  EXPECT_TRUE(proxy.origin().connection().was_reset());
}

TEST(Proxy_Connect, ASlowSideHoldsTheOtherBack) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    end_connect(route);
    listener.buffer_limit_bytes = cluster.buffer_limit_bytes = 64 * 1024;
  });
  proxy.origin().pause_reading();
  Client& client = proxy.connect();
  client.send(kConnect);
  proxy.run();
  client.send(pattern(5'000'000));
  proxy.run();
  EXPECT_GT(client.unsent(), 4'000'000u);
  proxy.origin().connection().set_reading(true);
  proxy.run();
  EXPECT_EQ(proxy.origin().connection().received(), pattern(5'000'000));
}

}  // namespace
}  // namespace millrace::proxy::test
