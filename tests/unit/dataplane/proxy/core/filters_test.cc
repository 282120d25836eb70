// HTTP filters among the parts of a stream: who sees what in which order, what holds a request back, and how bodies pass; shown
// with the two filters that every gateway of Istio's has.
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

constexpr std::string_view kFault = "envoy.filters.http.fault";
constexpr std::string_view kCors = "envoy.filters.http.cors";

ProxyHarness::Change with_fault(config::Fault fault) {
  return [fault = std::move(fault)](config::Listener& listener, config::Cluster&, config::Route&) {
    add_filter(listener, kFault, fault);
  };
}

config::Fault delay_of(Duration time) {
  config::Fault fault;
  fault.delay = config::Fault::Delay{};
  fault.delay->percentage = kAlways;
  fault.delay->fixed = time;
  return fault;
}

config::Fault abort_with(std::uint16_t status) {
  config::Fault fault;
  fault.abort = config::Fault::Abort{};
  fault.abort->percentage = kAlways;
  fault.abort->http_status = status;
  return fault;
}

ProxyHarness::Change with_cors(const std::function<void(config::CorsPolicy&)>& change = {}) {
  return [=](config::Listener& listener, config::Cluster&, config::Route& route) {
    config::CorsPolicy policy;
    policy.allow_origins.push_back(
        {.kind = config::StringMatcher::Kind::kSuffix, .text = ".example", .ignore_case = false, .regex = {}});
    policy.allow_methods = "GET,PUT";
    policy.allow_headers = "x-token";
    policy.expose_headers = "x-count";
    policy.max_age = "600";
    if (change) change(policy);
    add_filter(listener, kCors, config::Cors{});
    add_route_config(route, kCors, std::move(policy));
  };
}

std::string preflight(std::string_view origin) {
  return "OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: " + std::string(origin) + "\r\naccess-control-request-method: PUT\r\n\r\n";
}

TEST(HttpFilters_Fault, AbortsInPlaceOfTheUpstream) {
  ProxyHarness proxy(with_fault(abort_with(418)));
  proxy.origin().answer(ok("never"));
  EXPECT_THAT(proxy.exchange(get()), AllOf(StartsWith("HTTP/1.1 418 "), EndsWith("fault filter abort")));
  EXPECT_EQ(proxy.log(), "418 FI fault_filter_abort 0/18|");
  EXPECT_EQ(proxy.http().fault.aborts_injected.value(), 1u);
  EXPECT_EQ(proxy.http().fault.active_faults.value(), 0);
  EXPECT_EQ(proxy.origin().connections(), 0u);
}

TEST(HttpFilters_Fault, DelaysTheRequestAndItsBody) {
  ProxyHarness proxy(with_fault(delay_of(Duration::seconds(2))));
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen = connection.received();
    if (seen.ends_with("hello")) connection.send(ok("late"));
  });
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
  proxy.run();
  proxy.advance(Duration::milliseconds(1990));
  EXPECT_EQ(seen, "");
  EXPECT_EQ(proxy.http().fault.active_faults.value(), 1);
  proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(seen, EndsWith("hello"));
  EXPECT_THAT(client.received(), EndsWith("late"));
  EXPECT_EQ(proxy.log(), "200 DI via_upstream 5/4|");
  EXPECT_EQ(proxy.http().fault.active_faults.value(), 0);
}

TEST(HttpFilters_Fault, AClientThatLeavesEndsItsDelay) {
  ProxyHarness proxy(with_fault(delay_of(Duration::seconds(2))));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  client.reset();
  proxy.run();
  EXPECT_EQ(proxy.http().fault.active_faults.value(), 0);
  proxy.advance(Duration::seconds(3));
  EXPECT_EQ(proxy.origin().connections(), 0u);
  EXPECT_EQ(proxy.log(), "0 DC,DI downstream_remote_disconnect 0/0|");
}

TEST(HttpFilters_Fault, ADelayedRequestMayBeAbortedThen) {
  config::Fault fault = abort_with(503);
  fault.delay = delay_of(Duration::seconds(1)).delay;
  ProxyHarness proxy(with_fault(fault));
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::milliseconds(1010));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.log(), "503 DI,FI fault_filter_abort 0/18|");
}

TEST(HttpFilters_Fault, ARequestTimeoutEndsADelay) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].http()->max_stream_duration = Duration::seconds(1);
    add_filter(listener, kFault, delay_of(Duration::seconds(2)));
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(3));
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 504 "));
  EXPECT_EQ(proxy.log(), "504 DT,DI max_duration_timeout 0/27|");
}

TEST(HttpFilters_Fault, TheRouteReplacesTheListenersAsAWhole) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kFault, abort_with(500));
    add_route_config(route, kFault, config::Fault{});
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
}

TEST(HttpFilters_Fault, OnlyRequestsThatMatch) {
  config::Fault fault = abort_with(500);
  config::HeaderMatcher matcher;
  matcher.name = "x-test";
  fault.headers.push_back(matcher);
  ProxyHarness proxy(with_fault(fault));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get("/", "x-test: 1\r\n")), StartsWith("HTTP/1.1 500 "));
  fault.headers.clear();
  fault.upstream_cluster = "another";
  ProxyHarness elsewhere(with_fault(fault));
  elsewhere.origin().answer(ok("fine"));
  EXPECT_THAT(elsewhere.exchange(get()), EndsWith("fine"));
}

TEST(HttpFilters_Fault, RequestsSayThemselvesWhatTheyWant) {
  config::Fault fault;
  fault.abort = config::Fault::Abort{};
  fault.abort->percentage = kAlways;
  fault.abort->by_header = true;
  ProxyHarness proxy(with_fault(fault));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get("/", "x-envoy-fault-abort-request: 429\r\n")), StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(proxy.exchange(get("/", "x-envoy-fault-abort-request: nonsense\r\n")), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get("/", "x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-request-percentage: 0\r\n")),
              EndsWith("fine"));
}

TEST(HttpFilters_Fault, AGrpcClientHearsItAsGrpcDoes) {
  config::Fault fault;
  fault.abort = config::Fault::Abort{};
  fault.abort->percentage = kAlways;
  fault.abort->grpc_status = 14;
  ProxyHarness proxy(with_fault(fault));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 503 "));
  const std::string answer =
      proxy.exchange("POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n");
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("grpc-status: 14\r\n"),
                            HasSubstr("grpc-message: fault filter abort\r\n"), HasSubstr("content-type: application/grpc\r\n")));
}

TEST(HttpFilters_Fault, NoMoreThanTheLimitAtATime) {
  config::Fault fault = delay_of(Duration::seconds(1));
  fault.max_active = 1;
  ProxyHarness proxy(with_fault(fault));
  proxy.origin().answer(ok("fine"));
  Client& delayed = proxy.connect();
  delayed.send(get());
  proxy.run();
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine")) << "the second is over the limit";
  EXPECT_EQ(proxy.http().fault.faults_overflow.value(), 1u);
  EXPECT_EQ(delayed.received(), "");
}

TEST(HttpFilters_Fault, LimitsTheRateOfResponses) {
  config::Fault fault;
  fault.response_rate_limit = config::Fault::RateLimit{};
  fault.response_rate_limit->percentage = kAlways;
  fault.response_rate_limit->kibibytes_per_second = 10;
  ProxyHarness proxy(with_fault(fault));
  const std::string body = pattern(20 * 1024);
  proxy.origin().answer(ok(body));
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(1));
  const std::size_t after_a_second = body_of(client.received()).size();
  EXPECT_GT(after_a_second, 8u * 1024);
  EXPECT_LE(after_a_second, 12u * 1024);
  proxy.advance(Duration::milliseconds(1500));
  EXPECT_EQ(body_of(client.received()), body);
  EXPECT_EQ(proxy.http().fault.response_rl_injected.value(), 1u);
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/20480|");
}

TEST(HttpFilters_Cors, AnswersPreflights) {
  ProxyHarness proxy(with_cors([](config::CorsPolicy& policy) { policy.allow_credentials = true; }));
  const std::string answer = proxy.exchange(preflight("https://shop.example"));
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("access-control-allow-origin: https://shop.example\r\n"),
                            HasSubstr("access-control-allow-methods: GET,PUT\r\n"),
                            HasSubstr("access-control-allow-headers: x-token\r\n"), HasSubstr("access-control-max-age: 600\r\n"),
                            HasSubstr("access-control-allow-credentials: true\r\n")));
  EXPECT_EQ(proxy.log(), "200 - cors_response 0/0|");
  EXPECT_EQ(proxy.http().cors.origin_valid.value(), 1u);
}

TEST(HttpFilters_Cors, TellsBrowsersWhoMayRead) {
  ProxyHarness proxy(with_cors());
  proxy.origin().answer(ok("data"));
  EXPECT_THAT(proxy.exchange(get("/", "origin: https://shop.example\r\n")),
              AllOf(HasSubstr("access-control-allow-origin: https://shop.example\r\n"),
                    HasSubstr("access-control-expose-headers: x-count\r\n"), Not(HasSubstr("allow-credentials"))));
  EXPECT_THAT(proxy.exchange(get("/", "origin: https://evil.test\r\n")), Not(HasSubstr("access-control")));
  EXPECT_THAT(proxy.exchange(get()), Not(HasSubstr("access-control")));
  EXPECT_EQ(proxy.http().cors.origin_valid.value(), 1u);
  EXPECT_EQ(proxy.http().cors.origin_invalid.value(), 1u);
}

TEST(HttpFilters_Cors, PreflightsOfOthersGoUpstreamUnlessRefused) {
  ProxyHarness forwards(with_cors());
  forwards.origin().answer(ok("from the origin"));
  EXPECT_THAT(forwards.exchange(preflight("https://evil.test")), EndsWith("from the origin"));
  ProxyHarness refuses(with_cors([](config::CorsPolicy& policy) { policy.forward_not_matching_preflights = false; }));
  EXPECT_THAT(refuses.exchange(preflight("https://evil.test")),
              AllOf(StartsWith("HTTP/1.1 200 "), Not(HasSubstr("access-control"))));
}

TEST(HttpFilters_Cors, EachValueIsOfTheMostSpecificLevelThatHasOne) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    with_cors([](config::CorsPolicy& policy) { policy.allow_credentials = true; })(listener, cluster, route);
    config::CorsPolicy of_cluster;
    of_cluster.allow_methods = "DELETE";
    std::get<config::ForwardAction>(route.action)
        .clusters[0]
        .filters.entries.push_back({.name = std::string(kCors), .disabled = false, .config = std::move(of_cluster)});
  });
  EXPECT_THAT(proxy.exchange(preflight("https://shop.example")),
              AllOf(HasSubstr("access-control-allow-methods: DELETE\r\n"), HasSubstr("access-control-max-age: 600\r\n"),
                    HasSubstr("access-control-allow-credentials: true\r\n")));
}

TEST(HttpFilters_Cors, OnlyCountsInTheShadow) {
  ProxyHarness proxy(with_cors([](config::CorsPolicy& policy) {
    policy.enabled = {0, 100};
    policy.shadow = {100, 100};
  }));
  proxy.origin().answer(ok("data"));
  EXPECT_THAT(proxy.exchange(preflight("https://shop.example")), AllOf(EndsWith("data"), Not(HasSubstr("access-control"))));
  EXPECT_EQ(proxy.http().cors.origin_valid.value(), 1u);
}

constexpr std::string_view kRbac = "envoy.filters.http.rbac";

/// Denies, or allows nothing but, PUT.
config::Rbac rbac_of(config::AccessRules::Action action) {
  config::HeaderMatcher put;
  put.name = ":method";
  put.kind = config::HeaderMatcher::Kind::kString;
  put.string.text = "PUT";
  config::Rbac rbac;
  rbac.rules = config::AccessRules{action, {{"puts", {put}, {config::AccessCondition::Any{}}}}};
  rbac.cell = std::make_shared<report::RbacCell>(0, "http.ingress.rbac.", 1);
  rbac.shadow_cell = rbac.cell;
  return rbac;
}

std::string put() { return "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"; }

TEST(HttpFilters_Rbac, DeniesWith403) {
  const config::Rbac rbac = rbac_of(config::AccessRules::Action::kDeny);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) { add_filter(listener, kRbac, rbac); });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(put()), AllOf(StartsWith("HTTP/1.1 403 Forbidden\r\n"), EndsWith("RBAC: access denied")));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/4|403 - rbac_access_denied_matched_policy[puts] 0/19|");
  EXPECT_EQ(rbac.cell->per_worker[0].allowed.value(), 1u);
  EXPECT_EQ(rbac.cell->per_worker[0].denied.value(), 1u);
}

TEST(HttpFilters_Rbac, ShadowRulesOnlyCount) {
  config::Rbac rbac = rbac_of(config::AccessRules::Action::kAllow);
  rbac.shadow_rules = std::exchange(rbac.rules, std::nullopt);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) { add_filter(listener, kRbac, rbac); });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(put()), EndsWith("fine"));
  EXPECT_EQ(rbac.cell->per_worker[0].shadow_denied.value(), 1u);
  EXPECT_EQ(rbac.cell->per_worker[0].shadow_allowed.value(), 1u);
}

TEST(HttpFilters_Rbac, TellsTheNextFilterWhatItSaid) {
  config::Rbac first = rbac_of(config::AccessRules::Action::kDeny);
  first.shadow_rules = std::exchange(first.rules, std::nullopt);
  first.shadow_stat_prefix = "dry_run_";
  config::Rbac second = rbac_of(config::AccessRules::Action::kDeny);
  config::MetadataMatcher denied{"envoy.filters.http.rbac", {"dry_run_shadow_engine_result"}, {}, false};
  denied.value.kind = config::ValueMatcher::Kind::kString;
  denied.value.string.text = "denied";
  second.rules->policies[0].permission = {denied};
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
    add_filter(listener, kRbac, first);
    add_filter(listener, kRbac, second);
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(put()), StartsWith("HTTP/1.1 403 "));
}

TEST(HttpFilters_Rbac, ARouteMayHaveRulesOfItsOwnOrNone) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kRbac, rbac_of(config::AccessRules::Action::kAllow));
    add_route_config(route, kRbac, config::RbacPerRoute{rbac_of(config::AccessRules::Action::kDeny)});
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(put()), StartsWith("HTTP/1.1 403 "));
  ProxyHarness open([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kRbac, rbac_of(config::AccessRules::Action::kAllow));
    add_route_config(route, kRbac, config::RbacPerRoute{});
  });
  open.origin().answer(ok("fine"));
  EXPECT_THAT(open.exchange(get()), EndsWith("fine"));
}

TEST(NetworkFilters_Rbac, ClosesConnectionsThatItDenies) {
  config::Rbac rbac;
  rbac.rules = config::AccessRules{config::AccessRules::Action::kDeny,
                                   {{"all", {config::AccessCondition::Any{}}, {config::AccessCondition::Any{}}}}};
  rbac.cell = rbac.shadow_cell = std::make_shared<report::RbacCell>(0, "tcp.rbac.", 1);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].network_filters.emplace_back(rbac);
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(rbac.cell->per_worker[0].denied.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_total.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_active.value(), 0);
}

TEST(HttpFilters, AnswersOfTheGatewayPassThemToo) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    with_cors()(listener, cluster, route);
    add_filter(listener, kFault, abort_with(503));
  });
  EXPECT_THAT(proxy.exchange(get("/", "origin: https://shop.example\r\n")),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("access-control-allow-origin: https://shop.example\r\n")));
}

TEST(HttpFilters, ARouteMayDisableOne) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kFault, abort_with(503));
    route.filters.entries.push_back({.name = std::string(kFault), .disabled = true, .config = {}});
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
}

TEST(HttpFilters, OneThatIsDisabledActsWhereARouteEnablesIt) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kFault, abort_with(503));
    listener.chains[0].http()->filters.back().disabled = true;
    add_route_config(route, kFault, abort_with(504));
  });
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 504 "));
}

TEST(HttpFilters, RequestsWithoutARoutePassThem) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kFault, abort_with(503));
    route.match.path.text = "/known";
  });
  EXPECT_THAT(proxy.exchange(get("/unknown")), StartsWith("HTTP/1.1 503 ")) << "the router, which says 404, comes last";
}

}  // namespace
}  // namespace millrace::proxy::test
