// HTTP filters and what routes say of them, from text to the model: every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kFaultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
constexpr std::string_view kCorsType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
constexpr std::string_view kCorsPolicyType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";

TEST(TranslateFilters_Fault, TakesEveryField) {
  const auto fault = filter<config::Fault>(
      kFaultType,
      "delay: {fixed_delay: 2s, percentage: {numerator: 5, denominator: TEN_THOUSAND}}, "
      "abort: {http_status: 418, percentage: {numerator: 100}}, upstream_cluster: origin, headers: [{name: x-a}], "
      "downstream_nodes: [n1, n2], max_active_faults: 7, "
      "response_rate_limit: {fixed_limit: {limit_kbps: 64}, percentage: {numerator: 10}}");
  ASSERT_TRUE(fault.delay && fault.abort && fault.response_rate_limit);
  EXPECT_EQ(fault.delay->fixed, Duration::seconds(2));
  EXPECT_EQ(fault.delay->percentage.numerator, 5u);
  EXPECT_EQ(fault.delay->percentage.denominator, 10'000u);
  EXPECT_FALSE(fault.delay->by_header);
  EXPECT_EQ(fault.abort->http_status, 418);
  EXPECT_EQ(fault.upstream_cluster, "origin");
  ASSERT_EQ(fault.headers.size(), 1u);
  EXPECT_THAT(fault.downstream_nodes, ElementsAre("n1", "n2"));
  EXPECT_EQ(fault.max_active, 7u);
  EXPECT_EQ(fault.response_rate_limit->kibibytes_per_second, 64u);
  EXPECT_EQ(fault.response_rate_limit->percentage.numerator, 10u);
}

TEST(TranslateFilters_Fault, LeavesItToTheRequests) {
  const auto fault = filter<config::Fault>(kFaultType,
                                           "delay: {header_delay: {}, percentage: {numerator: 100}}, abort: {header_abort: {}}, "
                                           "response_rate_limit: {header_limit: {}}");
  EXPECT_TRUE(fault.delay->by_header && fault.abort->by_header && fault.response_rate_limit->by_header);
  EXPECT_EQ(fault.abort->percentage.numerator, 0u) << "without a percentage it never happens, as in Envoy";
}

TEST(TranslateFilters_Fault, RefusesWhatIsNotAStatus) {
  EXPECT_THAT(errors_of(with_filter(any(kFaultType, "abort: {grpc_status: 17}"))),
              Contains(HasSubstr("abort.grpc_status: must be a status of gRPC, 0 to 16, is 17")));
  EXPECT_THAT(errors_of(with_filter(any(kFaultType, "abort: {http_status: 99}"))), Contains(HasSubstr("abort.http_status")));
  EXPECT_THAT(errors_of(with_filter(any(kFaultType, "filter_metadata: {a: 1}"))),
              Contains(HasSubstr("filter_metadata: is not supported yet")));
}

TEST(TranslateFilters_Cors, TakesEveryField) {
  const auto policy = route_filter<config::CorsPolicy>(
      kCorsType,
      any(kCorsPolicyType,
          "allow_origin_string_match: [{exact: \"https://a\"}, {safe_regex: {regex: \"https://.*\"}}], allow_methods: GET, "
          "allow_headers: h, expose_headers: e, max_age: \"5\", allow_credentials: true, "
          "filter_enabled: {default_value: {numerator: 50}}, shadow_enabled: {default_value: {numerator: 20}}, "
          "allow_private_network_access: true, forward_not_matching_preflights: false"));
  ASSERT_EQ(policy.allow_origins.size(), 2u);
  EXPECT_EQ(policy.allow_origins[0].text, "https://a");
  EXPECT_EQ(policy.allow_methods, "GET");
  EXPECT_EQ(policy.allow_headers, "h");
  EXPECT_EQ(policy.expose_headers, "e");
  EXPECT_EQ(policy.max_age, "5");
  EXPECT_TRUE(policy.allow_credentials && policy.allow_private_network_access);
  EXPECT_FALSE(policy.forward_not_matching_preflights);
  EXPECT_EQ(policy.enabled.numerator, 50u);
  EXPECT_EQ(policy.shadow.numerator, 20u);
}

TEST(TranslateFilters, RoutesDisableByAWrapper) {
  const auto snapshot = snapshot_of(
      with_route_config(kFaultType, "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}"));
  ASSERT_NE(snapshot, nullptr);
  const config::RouteFilter* entry = route_of(snapshot).filters.find("f");
  ASSERT_NE(entry, nullptr);
  EXPECT_TRUE(entry->disabled);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(entry->config));
}

TEST(TranslateFilters, AWrapperMayHoldAConfiguration) {
  const auto fault =
      route_filter<config::Fault>(kFaultType, "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: " +
                                                  any(kFaultType, "max_active_faults: 3") + "}");
  EXPECT_EQ(fault.max_active, 3u);
}

TEST(TranslateFilters, ADisabledFilterIsKeptForRoutes) {
  const auto snapshot = snapshot_of(with_filter(any(kFaultType, ""), ", disabled: true"));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_TRUE(snapshot->listeners[0]->chains[0].http()->filters.at(0).disabled);
}

TEST(TranslateFilters, RefusesWhatIsNoFilter) {
  EXPECT_THAT(errors_of(with_filter(any(kCorsPolicyType, ""))),
              Contains(HasSubstr("http_filters[0].typed_config: the type \"" + std::string(kCorsPolicyType) +
                                 "\" is not an HTTP filter")));
  EXPECT_THAT(errors_of(with_route_config(kFaultType, any(kCorsType, ""))),
              Contains(HasSubstr("is not one that a route can give")));
}

}  // namespace
}  // namespace millrace::agent::test
