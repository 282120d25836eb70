// Active health checks over HTTP/2 through a whole proxy: over gRPC, and over plain HTTP/2. The origin is nghttp2's server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "config/compile/format_compiler.h"
#include "config/compile/grpc_check.h"
#include "tests/support/http2_server.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using millrace::test::Http2Server;
using report::EndpointFault;
using testing::HasSubstr;
using Fields = Http2Server::Fields;

constexpr auto kSecond = Duration::seconds(1);
constexpr auto kMoment = Duration::milliseconds(10);
const Fields kGrpc = {{":status", "200"}, {"content-type", "application/grpc"}};
const Fields kOk = {{"grpc-status", "0"}};

std::string health(char status) { return std::string("\0\0\0\0\2\x08", 6) + status; }
const std::string kServing = health(1);
const std::string kNotServing = health(2);

// Once a second, whatever there is of traffic; three failures that count fail, two successes heal.
config::HealthCheck every_second(config::HealthCheck check = {}) {
  check.content_hash = 1;
  check.timeout = Duration::milliseconds(500);
  check.interval = check.unhealthy_interval = check.unhealthy_edge_interval = check.healthy_edge_interval = kSecond;
  check.no_traffic_interval = check.no_traffic_healthy_interval = kSecond;
  check.unhealthy_threshold = 3;
  check.healthy_threshold = 2;
  return check;
}

config::HealthCheck grpc_check(const std::string& service = "") {
  config::HealthCheck check = every_second();
  check.check = config::GrpcHealthCheck{.request = config::grpc_check_request(service), .metadata = {}};
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

// Speaks HTTP/2 on each connection of the harness's origin.
class Origin2 {
 public:
  using Act = std::function<void(Http2Server&, std::int32_t)>;

  explicit Origin2(Origin& origin) {
    origin.on_bytes([this](OriginConnection& connection) {
      std::unique_ptr<Http2Server>& server = servers_[&connection];
      if (server == nullptr) {
        server = std::make_unique<Http2Server>();
        last_ = server.get();
        server->on_request = [this, made = server.get()](std::int32_t stream) {
          ++requests_;
          if (act_) act_(*made, stream);
        };
      }
      const std::string out = server->receive(connection.take_received());
      if (!out.empty()) connection.send(out);
    });
  }
  /// What is done with each request.
  void answer(Act act) { act_ = std::move(act); }
  void say(const std::string& body, const Fields& trailers = kOk, const Fields& head = kGrpc) {
    answer([=](Http2Server& server, std::int32_t stream) { server.respond(stream, head, body, trailers); });
  }
  Http2Server& last() { return *last_; }
  [[nodiscard]] std::size_t requests() const { return requests_; }

 private:
  std::map<OriginConnection*, std::unique_ptr<Http2Server>> servers_;
  Http2Server* last_ = nullptr;
  std::size_t requests_ = 0;
  Act act_;
};

// The gateway with an origin that answers as a test likes.
struct Checked {
  explicit Checked(const config::HealthCheck& check = grpc_check()) : proxy(with(check)), origin(proxy.origin()) {
    origin.say(kServing);
  }
  report::HealthCheckStats& stats() { return proxy.cluster().health_check; }
  bool failed() { return proxy.current_cluster().endpoints[0].cell->has(EndpointFault::kFailedHealthCheck); }

  ProxyHarness proxy;
  Origin2 origin;
};

TEST(Proxy_GrpcHealthChecks, AskAsEnvoyDoes) {
  config::HealthCheck check = grpc_check("shop.Cart");
  std::get<config::GrpcHealthCheck>(check.check)
      .metadata.push_back({.name = "x-probe", .value = *config::compile_format("%UPSTREAM_REMOTE_ADDRESS%")});
  Checked checked(check);
  checked.proxy.advance(kMoment);
  const Http2Server::Request& request = checked.origin.last().requests.at(1);
  EXPECT_EQ(request.fields, (Fields{{":method", "POST"},
                                    {":scheme", "http"},
                                    {":authority", "app"},
                                    {":path", "/grpc.health.v1.Health/Check"},
                                    {"content-type", "application/grpc"},
                                    {"te", "trailers"},
                                    {"user-agent", "Envoy/HC"},
                                    {"x-probe", "198.18.1.1:8080"},
                                    {"grpc-timeout", "500m"}}));
  EXPECT_EQ(request.body, std::string("\0\0\0\0\x0b\x0a\x09shop.Cart", 16));
  EXPECT_FALSE(checked.failed());
}

TEST(Proxy_GrpcHealthChecks, GoOnOnOneConnection) {
  Checked checked;
  checked.proxy.advance(kSecond * 5 + kMoment);
  EXPECT_EQ(checked.stats().success.value(), 6u);
  EXPECT_EQ(checked.stats().failure.value(), 0u);
  EXPECT_EQ(checked.proxy.origin().connections(), 1u);
}

TEST(Proxy_GrpcHealthChecks, TakeAConnectionOfTheirOwnEachTimeWhereTheyMust) {
  config::HealthCheck check = grpc_check();
  check.reuse_connection = false;
  Checked checked(check);
  checked.proxy.advance(kSecond * 2 + kMoment);
  EXPECT_EQ(checked.stats().success.value(), 3u);
  EXPECT_EQ(checked.proxy.origin().connections(), 3u);
}

// Fails at once, and on a connection that goes on.
TEST(Proxy_GrpcHealthChecks, WhateverIsNotServingFailsAtOnce) {
  const std::vector<std::pair<const char*, Origin2::Act>> answers = {
      {"NOT_SERVING", [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kNotServing, kOk); }},
      {"UNIMPLEMENTED",
       [](Http2Server& server, std::int32_t stream) {
         server.respond(stream, {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "12"}});
       }},
      {"OK without a message",
       [](Http2Server& server, std::int32_t stream) {
         server.respond(stream, {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "0"}});
       }},
      {"serving, but NOT_FOUND",
       [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kServing, {{"grpc-status", "5"}}); }},
      {"no grpc-status", [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kServing, {{"a", "b"}}); }},
      {"no trailers", [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kServing); }},
      {"half a message",
       [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kServing.substr(0, 6), kOk); }},
      {"two messages", [](Http2Server& server, std::int32_t stream) { server.respond(stream, kGrpc, kServing + kServing, kOk); }},
      {"no protobuf",
       [](Http2Server& server, std::int32_t stream) { server.begin_response(stream, kGrpc, std::string("\0\0\0\0\1\x08", 6)); }},
      {"a message without end",
       [](Http2Server& server, std::int32_t stream) { server.begin_response(stream, kGrpc, "\xff\xff\xff\xff\xff"); }},
      {"another content type",
       [](Http2Server& server, std::int32_t stream) {
         server.respond(stream, {{":status", "200"}, {"content-type", "application/grpc-web"}}, kServing, kOk);
       }},
      {"no content type",
       [](Http2Server& server, std::int32_t stream) { server.begin_response(stream, {{":status", "200"}}, "hello"); }},
      {"another status",
       [](Http2Server& server, std::int32_t stream) {
         server.respond(stream, {{":status", "503"}, {"content-type", "application/grpc"}}, kServing, kOk);
       }},
  };
  for (const auto& [why, act] : answers) {
    SCOPED_TRACE(why);
    Checked checked;
    checked.proxy.advance(kMoment);
    ASSERT_FALSE(checked.failed());
    checked.origin.answer(act);
    checked.proxy.advance(kSecond);
    EXPECT_TRUE(checked.failed());
    EXPECT_EQ(checked.stats().failure.value(), 1u);
    EXPECT_EQ(checked.stats().network_failure.value(), 0u);
    checked.origin.say(kServing);
    checked.proxy.advance(kSecond);
    EXPECT_TRUE(checked.failed()) << "one success is not enough";
    checked.proxy.advance(kSecond);
    EXPECT_FALSE(checked.failed());
    EXPECT_EQ(checked.proxy.origin().connections(), 1u);
  }
}

TEST(Proxy_GrpcHealthChecks, OtherKindsOfGrpcAreGrpcToo) {
  Checked checked;
  checked.origin.say(kServing, kOk, {{":status", "200"}, {"content-type", "application/grpc+proto"}});
  checked.proxy.advance(kMoment);
  EXPECT_FALSE(checked.failed());
}

TEST(Proxy_GrpcHealthChecks, WhatIsNoResponseIsAFailureOfTheNetwork) {
  const std::vector<std::pair<const char*, Origin2::Act>> acts = {
      {"reset", [](Http2Server& server, std::int32_t stream) { server.reset(stream); }},
      {"reset within",
       [](Http2Server& server, std::int32_t stream) {
         server.begin_response(stream, kGrpc, kServing);
         server.reset(stream);
       }},
      {"refused by a GOAWAY", [](Http2Server& server, std::int32_t) { server.go_away(0); }},
      {"a GOAWAY with an error",
       [](Http2Server& server, std::int32_t stream) { server.go_away(stream, NGHTTP2_INTERNAL_ERROR); }},
  };
  for (const auto& [why, act] : acts) {
    SCOPED_TRACE(why);
    Checked checked;
    checked.proxy.advance(kMoment);
    checked.origin.answer(act);
    checked.proxy.advance(kSecond * 2);
    EXPECT_EQ(checked.stats().network_failure.value(), 2u);
    EXPECT_FALSE(checked.failed()) << "it counts towards the threshold";
    checked.proxy.advance(kSecond);
    EXPECT_TRUE(checked.failed());
    checked.origin.say(kServing);
    checked.proxy.advance(kSecond * 2);
    EXPECT_FALSE(checked.failed());
  }
}

TEST(Proxy_GrpcHealthChecks, APeerThatSpeaksSomethingElseIsAFailureOfTheNetwork) {
  for (const char* answer : {"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "\x15\x03\x03", ""}) {
    ProxyHarness proxy(with(grpc_check()));
    proxy.origin().on_bytes([answer](OriginConnection& connection) {
      if (connection.take_received().empty()) return;
      connection.send(answer);
      connection.end();
    });
    proxy.advance(kMoment);
    EXPECT_EQ(proxy.cluster().health_check.network_failure.value(), 1u) << answer;
  }
}

TEST(Proxy_GrpcHealthChecks, AGoawayBehindTheAnswerIsNoFailure) {
  Checked checked;
  checked.origin.answer([](Http2Server& server, std::int32_t stream) {
    server.go_away(stream);
    server.respond(stream, kGrpc, kServing, kOk);
  });
  checked.proxy.advance(kSecond * 2 + kMoment);
  EXPECT_EQ(checked.stats().success.value(), 3u);
  EXPECT_EQ(checked.stats().failure.value(), 0u);
  EXPECT_EQ(checked.proxy.origin().connections(), 3u) << "each one makes a connection useless";
}

TEST(Proxy_GrpcHealthChecks, AnswersPingsAndTakesAGoawayBetweenTwoChecks) {
  Checked checked;
  checked.proxy.advance(kMoment);
  Http2Server& server = checked.origin.last();
  server.ping();
  checked.proxy.origin().connection().send(server.output());
  checked.proxy.run();
  EXPECT_EQ(server.pongs, 1u);
  server.go_away(1);
  checked.proxy.origin().connection().send(server.output());
  checked.proxy.run();
  EXPECT_TRUE(checked.proxy.origin().connection().ended());
  checked.proxy.advance(kSecond);
  EXPECT_EQ(checked.stats().success.value(), 2u);
  EXPECT_EQ(checked.stats().failure.value(), 0u);
  EXPECT_EQ(checked.proxy.origin().connections(), 2u);
}

TEST(Proxy_GrpcHealthChecks, SilenceTimesOut) {
  Checked checked;
  checked.origin.answer({});
  checked.proxy.advance(Duration::milliseconds(490));
  EXPECT_EQ(checked.stats().failure.value(), 0u);
  checked.proxy.advance(Duration::milliseconds(20));
  EXPECT_EQ(checked.stats().network_failure.value(), 1u);
  EXPECT_TRUE(checked.proxy.current_cluster().endpoints[0].cell->has(EndpointFault::kHealthCheckTimedOut));
  checked.origin.say(kServing);
  checked.proxy.advance(kSecond);
  EXPECT_EQ(checked.stats().success.value(), 1u);
}

TEST(Proxy_GrpcHealthChecks, GoOverTlsAsHttp2) {
  auto secured = std::make_shared<config::UpstreamTls>();
  secured->slot = slot(client());
  config::HealthCheck check = grpc_check();
  check.protocols = {"h2"};
  ProxyHarness proxy([&](auto&, config::Cluster& cluster, auto&) {
    cluster.endpoints[0].own_extras().tls = secured;
    set_check(cluster, check);
  });
  tls::ContextConfig config = server();
  config.protocols = {"http/1.1", "h2"};
  Origin2 origin(proxy.origin());
  origin.say(kServing);
  TlsOrigin secure(proxy, config);
  proxy.advance(kMoment);
  EXPECT_EQ(proxy.cluster().health_check.success.value(), 1u);
  EXPECT_EQ(origin.last().requests.at(1).field(":scheme"), "https");
}

TEST(Proxy_GrpcHealthChecks, FailuresAreLoggedAsEnvoyNamesThem) {
  config::HealthCheck check = grpc_check();
  check.log_sinks = {0};
  Checked checked(check);
  checked.proxy.advance(kMoment);
  EXPECT_THAT(checked.proxy.log(), HasSubstr("\"health_checker_type\":\"GRPC\""));
  checked.origin.say(kNotServing);
  checked.proxy.advance(kSecond);
  EXPECT_THAT(checked.proxy.log(), HasSubstr("\"eject_unhealthy_event\":{\"failure_type\":\"ACTIVE\"}"));
}

TEST(Proxy_GrpcHealthChecks, ChecksOverHttpMayBeHttp2Too) {
  config::HttpHealthCheck http;
  http.http2 = true;
  http.method = "POST";
  http.path = "/healthz";
  http.body = "ping";
  config::HealthCheck check = every_second();
  check.check = http;
  Checked checked(check);
  checked.origin.answer([](Http2Server& server, std::int32_t stream) { server.respond(stream, {{":status", "200"}}, "fine"); });
  checked.proxy.advance(kMoment);
  const Http2Server::Request& request = checked.origin.last().requests.at(1);
  EXPECT_EQ(request.field(":path"), "/healthz");
  EXPECT_EQ(request.field("content-length"), "4");
  EXPECT_EQ(request.body, "ping");
  EXPECT_FALSE(checked.failed());
  checked.origin.answer([](Http2Server& server, std::int32_t stream) { server.respond(stream, {{":status", "503"}}); });
  checked.proxy.advance(kSecond);
  EXPECT_TRUE(checked.failed());
  EXPECT_EQ(checked.proxy.origin().connections(), 1u);
}

// An origin that does anything with what it gets: each check has one result, the next one follows, and once all is well the
// endpoint is healthy.
TEST(Proxy_GrpcHealthChecks, SurviveWhateverTheEndpointDoes) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    config::HealthCheck check = grpc_check();
    check.reuse_connection = seed % 2 == 0;
    Checked checked(check);
    checked.origin.answer([&](Http2Server& server, std::int32_t stream) {
      switch (rng.below(8)) {
        case 0: return;
        case 1: return server.reset(stream);
        case 2: return server.go_away(rng.chance(1, 2) ? stream : 0, rng.below(3));
        case 3: return server.begin_response(stream, kGrpc, kServing.substr(0, rng.below(7)));
        case 4: return server.respond(stream, {{":status", "503"}});
        case 5: return server.respond(stream, kGrpc, std::string(rng.below(100'000), 'x'), kOk);
        default: return server.respond(stream, kGrpc, kServing, kOk);
      }
    });
    for (int i = 0; i < 200; ++i) {
      checked.proxy.advance(Duration::milliseconds(rng.below(400)));
      const std::uint64_t results = checked.stats().success.value() + checked.stats().failure.value();
      ASSERT_LE(checked.stats().attempt.value() - results, 1u);
      const std::size_t connections = checked.proxy.origin().connections();
      if (connections == 0) continue;
      OriginConnection& connection = checked.proxy.origin().connection(connections - 1);
      if (rng.chance(1, 16)) connection.reset();
      if (rng.chance(1, 16) && !connection.gone()) connection.send("nonsense");
    }
    checked.origin.say(kServing);
    checked.proxy.advance(kSecond * 5);
    EXPECT_FALSE(checked.failed());
    EXPECT_GE(checked.stats().success.value(), 3u);
  }
}

}  // namespace
}  // namespace millrace::proxy::test
