// HTTP filters and what routes say of them, from text to the model: every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kFaultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
constexpr std::string_view kCorsType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
constexpr std::string_view kCorsPolicyType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";

std::string any(std::string_view type, const std::string& fields) {
  return "{\"@type\": " + std::string(type) + (fields.empty() ? "" : ", " + fields) + "}";
}

/// The text of a gateway whose connection manager has one filter before the router.
BootstrapText with_filter(const std::string& typed_config, const std::string& more = "") {
  BootstrapText text;
  text.filters = "{name: f, typed_config: " + typed_config + more + "}, ";
  return text;
}

/// And whose route says this of it.
BootstrapText with_route_config(std::string_view filter_type, const std::string& route_config) {
  BootstrapText text = with_filter(any(filter_type, ""));
  text.route = ", typed_per_filter_config: {f: " + route_config + "}";
  return text;
}

template <typename Config>
Config filter(std::string_view type, const std::string& fields) {
  const auto snapshot = snapshot_of(with_filter(any(type, fields)));
  if (snapshot == nullptr) return {};
  const auto& filters = snapshot->listeners[0]->chains[0].http()->filters;
  EXPECT_EQ(filters.size(), 1u);
  return std::get<Config>(filters[0].config);
}

template <typename Config>
Config route_filter(std::string_view filter_type, const std::string& route_config) {
  const auto snapshot = snapshot_of(with_route_config(filter_type, route_config));
  if (snapshot == nullptr) return {};
  const config::RouteFilter* entry = route_of(snapshot).filters.find("f");
  EXPECT_NE(entry, nullptr);
  return entry == nullptr ? Config{} : std::get<Config>(entry->config);
}

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

constexpr std::string_view kRbacType = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

config::AccessPolicy policy_of(const std::string& permission, const std::string& principal) {
  const auto rbac = filter<config::Rbac>(
      kRbacType, "rules: {policies: {p: {permissions: [" + permission + "], principals: [" + principal + "]}}}");
  return rbac.rules && rbac.rules->policies.size() == 1 ? rbac.rules->policies[0] : config::AccessPolicy{};
}
/// What the only part of the list of permissions, or principals, turned into.
template <typename Condition>
Condition only(const config::AccessCondition& list) {
  const auto& of = std::get<config::AccessCondition::OneOf>(list.is).of;
  EXPECT_EQ(of.size(), 1u);
  return std::get<Condition>(of.at(0).is);
}

TEST(TranslateFilters_Rbac, TakesActionsPrefixesAndPoliciesByName) {
  const auto rbac = filter<config::Rbac>(
      kRbacType,
      "rules: {action: DENY, policies: {b: {permissions: [{any: true}], principals: [{any: true}]}, a: {permissions: [{any: "
      "true}], "
      "principals: [{any: true}]}}}, rules_stat_prefix: r_, shadow_rules: {action: LOG}, shadow_rules_stat_prefix: s_");
  using Action = config::AccessRules::Action;
  EXPECT_EQ(rbac.rules->action, Action::kDeny);
  EXPECT_EQ(rbac.shadow_rules->action, Action::kLog);
  ASSERT_EQ(rbac.rules->policies.size(), 2u);
  EXPECT_EQ(rbac.rules->policies[0].name, "a");
  EXPECT_EQ(rbac.cell->name, "http.ingress.rbac.r_");
  EXPECT_EQ(rbac.shadow_cell->name, "http.ingress.rbac.s_");
}

TEST(TranslateFilters_Rbac, TakesEveryPermission) {
  using Condition = config::AccessCondition;
  const auto permission = [](const std::string& text) { return policy_of(text, "{any: true}").permission; };
  EXPECT_EQ(only<Condition::All>(permission("{and_rules: {rules: [{any: true}, {any: true}]}}")).of.size(), 2u);
  EXPECT_EQ(only<Condition::OneOf>(permission("{or_rules: {rules: [{any: true}]}}")).of.size(), 1u);
  EXPECT_EQ(only<Condition::Not>(permission("{not_rule: {any: true}}")).of.size(), 1u);
  EXPECT_EQ(only<config::HeaderMatcher>(permission("{header: {name: X-A}}")).name, "x-a");
  EXPECT_EQ(only<Condition::UrlPath>(permission("{url_path: {path: {prefix: /a}}}")).path.text, "/a");
  const auto ip = only<Condition::Address>(permission("{destination_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}"));
  EXPECT_EQ(ip.which, Condition::Address::Which::kLocal);
  EXPECT_EQ(ip.prefix.to_string(), "10.0.0.0/8");
  EXPECT_EQ(only<Condition::LocalPort>(permission("{destination_port: 80}")).end, 81u);
  EXPECT_EQ(only<Condition::LocalPort>(permission("{destination_port_range: {start: 80, end: 90}}")).end, 90u);
  const auto metadata = only<config::MetadataMatcher>(
      permission("{metadata: {filter: f, path: [{key: a}, {key: b}], invert: true, value: {list_match: {one_of: {or_match: "
                 "{value_matchers: [{string_match: {exact: x}}, {double_match: {range: {start: 1, end: 2}}}]}}}}}}"));
  EXPECT_THAT(metadata.path, ElementsAre("a", "b"));
  EXPECT_TRUE(metadata.invert);
  EXPECT_EQ(metadata.value.others.at(0).others.size(), 2u);
  EXPECT_EQ(only<Condition::ServerName>(permission("{requested_server_name: {exact: a.b}}")).name.text, "a.b");
}

TEST(TranslateFilters_Rbac, TakesEveryPrincipal) {
  using Condition = config::AccessCondition;
  using Which = Condition::Address::Which;
  const auto principal = [](const std::string& text) { return policy_of("{any: true}", text).principal; };
  EXPECT_EQ(only<Condition::All>(principal("{and_ids: {ids: [{any: true}]}}")).of.size(), 1u);
  EXPECT_EQ(only<Condition::OneOf>(principal("{or_ids: {ids: [{any: true}]}}")).of.size(), 1u);
  EXPECT_EQ(only<Condition::Not>(principal("{not_id: {any: true}}")).of.size(), 1u);
  EXPECT_FALSE(only<Condition::Authenticated>(principal("{authenticated: {}}")).name.has_value());
  EXPECT_EQ(only<Condition::Authenticated>(principal("{authenticated: {principal_name: {exact: \"spiffe://a\"}}}")).name->text,
            "spiffe://a");
  const std::string range = "{address_prefix: 10.0.0.0, prefix_len: 8}";
  EXPECT_EQ(only<Condition::Address>(principal("{source_ip: " + range + "}")).which, Which::kDirectRemote);
  EXPECT_EQ(only<Condition::Address>(principal("{direct_remote_ip: " + range + "}")).which, Which::kDirectRemote);
  EXPECT_EQ(only<Condition::Address>(principal("{remote_ip: " + range + "}")).which, Which::kRemote);
  EXPECT_EQ(only<config::HeaderMatcher>(principal("{header: {name: x-a}}")).name, "x-a");
  EXPECT_EQ(only<Condition::UrlPath>(principal("{url_path: {path: {exact: /a}}}")).path.text, "/a");
  EXPECT_EQ(
      only<config::MetadataMatcher>(principal("{metadata: {filter: f, path: [{key: a}], value: {present_match: true}}}")).filter,
      "f");
}

TEST(TranslateFilters_Rbac, RefusesWhatItCannotJudge) {
  const auto refusals = [](const std::string& fields) {
    return errors_of(with_filter(any(kRbacType, "rules: {policies: {p: {" + fields + "}}}")));
  };
  const std::string anybody = "principals: [{any: true}]";
  EXPECT_THAT(refusals("permissions: [{destination_ip: {address_prefix: nonsense}}], " + anybody),
              Contains(HasSubstr("destination_ip.address_prefix: \"nonsense\" is not an IP address")));
  EXPECT_THAT(refusals("permissions: [{destination_port_range: {start: 9, end: 9}}], " + anybody),
              Contains(HasSubstr("destination_port_range: must be ports")));
  EXPECT_THAT(refusals("permissions: [{any: true}], principals: [{filter_state: {key: a, string_match: {exact: b}}}]"),
              Contains(HasSubstr("filter_state: is not supported yet")));
  EXPECT_THAT(refusals("permissions: [{any: true}], condition: {}, " + anybody),
              Contains(HasSubstr("condition: is not supported")));
  EXPECT_THAT(errors_of(with_filter(any(kRbacType, "track_per_rule_stats: true"))), Contains(HasSubstr("track_per_rule_stats")));
}

TEST(TranslateFilters_Rbac, RoutesReplaceIt) {
  const auto route = route_filter<config::RbacPerRoute>(
      kRbacType, any("type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac: {rules: {action: DENY}}"));
  ASSERT_TRUE(route.rbac && route.rbac->rules);
  EXPECT_EQ(route.rbac->rules->action, config::AccessRules::Action::kDeny);
  EXPECT_FALSE(route_filter<config::RbacPerRoute>(
                   kRbacType, any("type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", ""))
                   .rbac);
}

TEST(TranslateFilters_Rbac, StandsBeforeTheFilterThatServes) {
  BootstrapText text;
  text.network_filters = "{name: rbac, typed_config: " +
                         any("type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
                             "stat_prefix: tcp., rules: {action: DENY}, shadow_rules: {}, shadow_rules_stat_prefix: dry_, "
                             "enforcement_type: CONTINUOUS") +
                         "}, ";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& filters = snapshot->listeners[0]->chains[0].network_filters;
  ASSERT_EQ(filters.size(), 1u);
  const auto& rbac = std::get<config::Rbac>(filters[0]);
  EXPECT_EQ(rbac.cell->name, "tcp.rbac.");
  EXPECT_EQ(rbac.shadow_cell->name, "tcp.rbac.dry_");
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
