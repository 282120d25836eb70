// HTTP filters that fit one screen: buffer, header mutation, CSRF, health check, one whose configuration is missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/filter_support.h"

namespace millrace::proxy::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// The origin answers whatever comes, and `seen` keeps what did.
void listen(ProxyHarness& proxy, std::string& seen) {
  proxy.origin().on_bytes([&seen](OriginConnection& connection) {
    seen += connection.take_received();
    connection.send(ok("fine", "x-origin: 1\r\nx-secret: 2\r\n"));
  });
}

template <typename Config>
ProxyHarness::Change with(Config filter, std::optional<config::RouteFilterConfig> of_route = {}) {
  return [=](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, "f", filter);
    if (of_route) add_route_config(route, "f", *of_route);
  };
}

constexpr config::BufferRequests kTenBytes{.max_request_bytes = 10};

TEST(BufferFilter, ARequestGoesOnAsAWholeAndSaysHowLongItIs) {
  ProxyHarness proxy(with(kTenBytes));
  std::string seen;
  listen(proxy, seen);
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
  proxy.run();
  EXPECT_EQ(proxy.origin().connections(), 0u);
  client.send("5\r\nworld\r\n0\r\n\r\n");
  proxy.run();
  EXPECT_THAT(seen, AllOf(HasSubstr("content-length: 10\r\n"), Not(HasSubstr("chunked")), EndsWith("\r\n\r\nhelloworld")));
  EXPECT_THAT(client.received(), EndsWith("fine"));
}

TEST(BufferFilter, ALargerOneIsRefused) {
  ProxyHarness proxy(with(kTenBytes));
  EXPECT_THAT(proxy.exchange("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello world"),
              AllOf(StartsWith("HTTP/1.1 413 "), EndsWith("Payload Too Large")));
  EXPECT_EQ(proxy.origin().connections(), 0u);
  EXPECT_THAT(proxy.log(), StartsWith("413 - request_payload_too_large"));
}

TEST(BufferFilter, AClientThatWaitsForLeaveToSendIsAnswered) {
  ProxyHarness proxy(with(kTenBytes));
  std::string seen;
  listen(proxy, seen);
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 100 "));
  client.send("hello");
  proxy.run();
  EXPECT_THAT(seen, AllOf(EndsWith("\r\n\r\nhello"), Not(HasSubstr("expect:"))));
  EXPECT_THAT(client.received(), EndsWith("fine"));
}

// What stands behind the filter that waited was never asked: nothing of the request may go on any more.
TEST(BufferFilter, ARequestThatWasAnsweredMeanwhileGoesNowhere) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].http()->stream_idle_timeout = Duration::seconds(1);
    add_filter(listener, "buffer", config::BufferRequests{.max_request_bytes = 1'000});
    add_filter(listener, "cors", config::Cors{});
  });
  std::string seen;
  listen(proxy, seen);
  Client& client = proxy.connect();
  client.set_reading(false);
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
  proxy.advance(Duration::milliseconds(1'100));
  client.send("5\r\nworld\r\n0\r\n\r\n");
  proxy.run();
  client.set_reading(true);
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(proxy.origin().connections(), 0u);
}

TEST(BufferFilter, ABodyThatComesByteByByteHoldsNoBufferForEach) {
  ProxyHarness proxy(with(config::BufferRequests{.max_request_bytes = 10'000}));
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n");
  proxy.run();
  const std::size_t before = proxy.packets.in_use();
  for (int i = 0; i < 4'000; ++i) {
    client.send("x");
    proxy.run();
  }
  EXPECT_LT(proxy.packets.in_use() - before, 50u);
}

TEST(BufferFilter, ARouteSaysOtherwise) {
  ProxyHarness proxy(with(kTenBytes, config::BufferRequests{}));
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\nhello");
  proxy.run();
  EXPECT_EQ(proxy.origin().connections(), 1u) << "passed on as it comes";
}

TEST(BufferFilter, WhatSwitchesProtocolsIsNotWaitedFor) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].http()->websocket = true;
    add_filter(listener, "f", kTenBytes);
  });
  Client& client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  proxy.run();
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(HeaderMutationFilter, EditsOneAfterTheOther) {
  config::EditHeaders filter;
  filter.edits.request = {write_field("x-a", "1"), std::string("x-b"), write_field("x-b", "new")};
  filter.edits.response = {std::string("x-secret"), write_field("x-origin", "over")};
  ProxyHarness proxy(with(filter));
  std::string seen;
  listen(proxy, seen);
  EXPECT_THAT(proxy.exchange(get("/", "x-a: 0\r\nx-b: old\r\n")),
              AllOf(HasSubstr("x-origin: over\r\n"), Not(HasSubstr("x-secret")), EndsWith("fine")));
  EXPECT_THAT(seen, AllOf(HasSubstr("x-a: 1\r\n"), HasSubstr("x-b: new\r\n"), Not(HasSubstr("old"))));
}

/// The route configuration and the route both write x-who, after the connection manager.
std::string who_wins(bool most_specific_last) {
  config::EditHeaders filter;
  filter.edits.request = {write_field("x-who", "manager")};
  filter.most_specific_last = most_specific_last;
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, "f", filter);
    add_route_config(route, "f", config::HeaderEdits{.request = {write_field("x-who", "route")}, .response = {}});
    auto& cluster = std::get<config::ForwardAction>(route.action).clusters[0];
    cluster.filters.entries.push_back(
        {.name = "f", .config = config::HeaderEdits{.request = {write_field("x-who", "cluster")}, .response = {}}});
  });
  std::string seen;
  listen(proxy, seen);
  static_cast<void>(proxy.exchange(get()));
  const std::size_t at = seen.find("x-who: ");
  return at == std::string::npos ? "" : seen.substr(at + 7, seen.find("\r\n", at) - at - 7);
}

TEST(HeaderMutationFilter, AllLevelsOfTheRouteAreEvaluated) {
  EXPECT_EQ(who_wins(false), "route") << "the least specific comes last";
  EXPECT_EQ(who_wins(true), "cluster");
}

config::Csrf csrf() {
  config::Csrf filter;
  filter.additional_origins.push_back(
      {.kind = config::StringMatcher::Kind::kExact, .text = "friend.example:8443", .ignore_case = false, .regex = {}});
  return filter;
}

std::string post(std::string_view fields) {
  return "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 0\r\n" + std::string(fields) + "\r\n";
}

TEST(CsrfFilter, OnlyPagesOfTheHostMayChangeThings) {
  ProxyHarness proxy(with(csrf()));
  proxy.origin().answer(ok("done"));
  EXPECT_THAT(proxy.exchange(post("origin: https://shop.example\r\n")), EndsWith("done"));
  EXPECT_THAT(proxy.exchange(post("referer: https://shop.example/cart?a=https://b\r\n")), EndsWith("done"));
  EXPECT_THAT(proxy.exchange(post("origin: https://friend.example:8443\r\n")), EndsWith("done"));
  proxy.log();
  EXPECT_THAT(proxy.exchange(post("origin: https://evil.example\r\n")),
              AllOf(StartsWith("HTTP/1.1 403 "), EndsWith("Invalid origin")));
  EXPECT_EQ(proxy.log(), "403 - csrf_origin_mismatch 0/14|");
  EXPECT_THAT(proxy.exchange(post("")), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(proxy.exchange(post("referer: https://shop.example@evil.example/\r\n")), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(proxy.exchange(get("/", "origin: https://evil.example\r\n")), EndsWith("done")) << "it changes nothing";
  EXPECT_EQ(proxy.http().csrf.request_valid.value(), 3u);
  EXPECT_EQ(proxy.http().csrf.request_invalid.value(), 3u);
  EXPECT_EQ(proxy.http().csrf.missing_source_origin.value(), 1u);
}

TEST(CsrfFilter, OnlyCountsInTheShadowAndWhereTheRouteSaysSo) {
  config::Csrf shadow = csrf();
  shadow.enabled = {0, 100};
  shadow.shadow = kAlways;
  ProxyHarness proxy(with(csrf(), shadow));
  proxy.origin().answer(ok("done"));
  EXPECT_THAT(proxy.exchange(post("origin: https://evil.example\r\n")), EndsWith("done"));
  EXPECT_EQ(proxy.http().csrf.request_invalid.value(), 1u);
}

config::AnswerHealthChecks health_checks() {
  config::AnswerHealthChecks filter;
  config::HeaderMatcher path;
  path.name = ":path";
  path.kind = config::HeaderMatcher::Kind::kString;
  path.string.text = "/health";
  filter.headers = {path};
  filter.service_cluster = "edge";
  return filter;
}

TEST(HealthCheckFilter, AnswersInTheUpstreamsPlace) {
  ProxyHarness proxy(with(health_checks()));
  proxy.origin().answer(ok("from the origin"));
  EXPECT_THAT(proxy.exchange(get("/health")),
              AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("x-envoy-upstream-healthchecked-cluster: edge\r\n")));
  EXPECT_EQ(proxy.log(), "200 - health_check_ok 0/0|");
  EXPECT_THAT(proxy.exchange(get("/else")), AllOf(EndsWith("from the origin"), Not(HasSubstr("healthchecked"))));
}

TEST(HealthCheckFilter, ByTheHealthOfClusters) {
  config::AnswerHealthChecks filter = health_checks();
  filter.min_healthy_percentages = {{"origin", 50}};
  ProxyHarness proxy(with(filter));
  EXPECT_THAT(proxy.exchange(get("/health")), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(proxy.log(), "200 - health_check_ok_cluster_healthy 0/0|");
  proxy.reconfigure([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.endpoints[0].healthy = false; });
  EXPECT_THAT(proxy.exchange(get("/health")), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 LH health_check_failed_cluster_unhealthy 0/0|");
  filter.min_healthy_percentages = {{"gone", 0}};
  ProxyHarness without(with(filter));
  EXPECT_THAT(without.exchange(get("/health")), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(without.log(), "503 LH health_check_failed_no_cluster_found 0/0|");
}

TEST(HealthCheckFilter, KeepsTheUpstreamsAnswerForAWhile) {
  config::AnswerHealthChecks filter = health_checks();
  filter.pass_through = true;
  filter.cache_time = Duration::seconds(5);
  filter.cache = std::make_shared<config::HealthCheckCache>();
  ProxyHarness proxy(with(filter));
  proxy.origin().answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
  for (int i = 0; i < 2; ++i) EXPECT_THAT(proxy.exchange(get("/health")), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 - via_upstream 0/0|503 LH health_check_cached 0/0|");
  proxy.advance(Duration::seconds(6));
  proxy.origin().answer(ok("well"));
  EXPECT_THAT(proxy.exchange(get("/health")), EndsWith("well"));
}

TEST(HealthCheckFilter, SaysSoWhenAnOperatorWantsThisGatewayToFail) {
  for (const bool pass_through : {false, true}) {
    config::AnswerHealthChecks filter = health_checks();
    filter.pass_through = pass_through;
    ProxyHarness proxy(with(filter));
    proxy.origin().answer(ok("from the origin"));
    proxy.proxy->set_fails_health_checks(true);
    EXPECT_THAT(proxy.exchange(get("/health")), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("connection: close\r\n")));
    EXPECT_EQ(proxy.log(), "503 LH health_check_failed 0/0|");
    EXPECT_THAT(proxy.exchange(get("/else")),
                AllOf(EndsWith("from the origin"), HasSubstr("x-envoy-immediate-health-check-fail: true\r\n"),
                      HasSubstr("connection: close\r\n")));
    proxy.proxy->set_fails_health_checks(false);
    EXPECT_THAT(proxy.exchange(get("/else")), AllOf(Not(HasSubstr("immediate")), Not(HasSubstr("connection: close"))));
  }
}

TEST(MissingConfigFilter, LetsNoRequestPass) {
  ProxyHarness proxy(with(config::MissingConfig{}));
  EXPECT_THAT(proxy.exchange(get("/")), AllOf(StartsWith("HTTP/1.1 500 "), HasSubstr("content-length: 0\r\n")));
  EXPECT_EQ(proxy.origin().connections(), 0u);
  EXPECT_THAT(proxy.log(), StartsWith("500 NFCF "));
}

TEST(MissingConfigFilter, RoutesMayDisableIt) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, "f", config::MissingConfig{});
    route.filters.entries.push_back({.name = "f", .disabled = true, .config = {}});
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get("/")), EndsWith("fine"));
}

}  // namespace
}  // namespace millrace::proxy::test
