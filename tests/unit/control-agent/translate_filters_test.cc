// HTTP filters and what routes say of them, from text to the model: every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include "control-agent/jwks/key_set_store.h"
#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::string_view kFaultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
constexpr std::string_view kCorsType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
constexpr std::string_view kJwtType = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
constexpr std::string_view kJwtRouteType = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig";
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
  EXPECT_EQ(policy.allow_credentials, true);
  EXPECT_EQ(policy.allow_private_network_access, true);
  EXPECT_EQ(policy.forward_not_matching_preflights, false);
  EXPECT_EQ(policy.enabled.numerator, 50u);
  EXPECT_EQ(policy.shadow.numerator, 20u);
}

// RFC 8037 A.2.
constexpr std::string_view kKeys =
    R"("{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"k\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}")";

/// A filter with the provider p.
std::string jwt_provider(const std::string& fields, const std::string& more = "") {
  return any(kJwtType, "providers: {p: {local_jwks: {inline_string: " + std::string(kKeys) + "}, " + fields + "}}" + more);
}
config::JwtAuthn jwt(const std::string& provider_fields, const std::string& more = "") {
  const auto snapshot = snapshot_of(with_filter(jwt_provider(provider_fields, more)));
  return snapshot == nullptr ? config::JwtAuthn{} : std::get<config::JwtAuthn>(manager_of(snapshot).filters.at(0).config);
}

TEST(TranslateFilters_JwtAuthn, TakesEveryFieldOfAProvider) {
  using Kind = config::JwtLocation::Kind;
  const auto filter =
      jwt("issuer: i, audiences: [\"https://a/\", b], subjects: {prefix: s}, require_expiration: true, max_lifetime: 60s, "
          "forward: true, "
          "from_headers: [{name: X-Jwt, value_prefix: \"v \"}], from_params: [q], from_cookies: [c], forward_payload_header: "
          "X-Payload, "
          "pad_forward_payload_header: true, payload_in_metadata: pm, normalize_payload_in_metadata: {space_delimited_claims: "
          "[scope]}, "
          "header_in_metadata: hm, failed_status_in_metadata: fm, clock_skew_seconds: 5, jwt_cache_config: {jwt_cache_size: 7}, "
          "claim_to_headers: [{header_name: X-Claim, claim_name: a.b}], clear_route_cache: true");
  ASSERT_EQ(filter.providers.size(), 1u);
  const config::JwtProvider& p = filter.providers[0];
  EXPECT_EQ(p.name, "p");
  EXPECT_EQ(p.issuer, "i");
  EXPECT_THAT(p.audiences, ElementsAre("a", "b"));
  ASSERT_TRUE(p.subject);
  EXPECT_EQ(p.subject->text, "s");
  EXPECT_TRUE(p.require_expiration && p.forward && p.pad_payload && p.clear_route_cache);
  EXPECT_EQ(p.max_lifetime, Duration::seconds(60));
  EXPECT_EQ(p.payload_header, "x-payload");
  EXPECT_EQ(p.payload_key, "pm");
  EXPECT_EQ(p.header_key, "hm");
  EXPECT_EQ(p.failed_key, "fm");
  EXPECT_THAT(p.space_delimited_claims, ElementsAre("scope"));
  EXPECT_EQ(p.clock_skew_seconds, 5u);
  EXPECT_EQ(p.verified.size(), 2u) << "one for each worker";
  ASSERT_EQ(p.claims_to_headers.size(), 1u);
  EXPECT_EQ(p.claims_to_headers[0].header, "x-claim");
  EXPECT_THAT(p.claims_to_headers[0].path, ElementsAre("a", "b"));
  ASSERT_EQ(p.keys.size(), 1u);
  EXPECT_EQ(p.keys[0].id, "k");
  ASSERT_EQ(p.locations.size(), 3u);
  EXPECT_EQ(p.locations[0].kind, Kind::kHeader);
  EXPECT_EQ(p.locations[0].name, "x-jwt");
  EXPECT_EQ(p.locations[0].prefix, "v ");
  EXPECT_THAT(p.locations[0].issuers, ElementsAre("i"));
  EXPECT_EQ(p.locations[1].kind, Kind::kParameter);
  EXPECT_EQ(p.locations[1].name, "q");
  EXPECT_EQ(p.locations[2].kind, Kind::kCookie);
  EXPECT_EQ(p.locations[2].name, "c");
}

TEST(TranslateFilters_JwtAuthn, HasEnvoysDefaults) {
  const config::JwtProvider p = jwt("issuer: \"\"").providers.at(0);
  ASSERT_EQ(p.locations.size(), 2u);
  EXPECT_EQ(p.locations[0].name, "authorization");
  EXPECT_EQ(p.locations[0].prefix, "Bearer ");
  EXPECT_EQ(p.locations[1].name, "access_token");
  EXPECT_TRUE(p.locations[0].issuers.empty()) << "of any issuer";
  EXPECT_EQ(p.clock_skew_seconds, 60u);
  EXPECT_TRUE(p.verified.empty());
  EXPECT_FALSE(p.forward || p.subject || p.max_lifetime || p.require_expiration);
}

TEST(TranslateFilters_JwtAuthn, TakesRulesAndRequirements) {
  using Kind = config::JwtRequirement::Kind;
  const auto filter = jwt(
      "issuer: i",
      ", bypass_cors_preflight: true, strip_failure_response: true, requirement_map: {m: {provider_name: p}, "
      "both: {requires_all: {requirements: [{provider_name: p}, {allow_missing: {}}]}}}, rules: ["
      "{match: {prefix: /open}}, {match: {path: /named}, requirement_name: m}, "
      "{match: {prefix: /any}, requires: {requires_any: {requirements: [{provider_and_audiences: {provider_name: p, audiences: "
      "[\"http://x\"]}}, {allow_missing: {}}, {allow_missing_or_failed: {}}]}}}, "
      "{match: {prefix: /}, requires: {requires_any: {requirements: [{allow_missing: {}}, {allow_missing: {}}]}}}]");
  EXPECT_TRUE(filter.bypass_cors_preflight && filter.strip_failure_response);
  ASSERT_EQ(filter.rules.size(), 4u);
  EXPECT_EQ(filter.rules[0].match.path.text, "/open");
  EXPECT_EQ(filter.rules[0].requirement.kind, Kind::kNothing);
  EXPECT_EQ(filter.rules[1].requirement.kind, Kind::kProvider);
  const config::JwtRequirement& any = filter.rules[2].requirement;
  EXPECT_EQ(any.kind, Kind::kAny);
  EXPECT_TRUE(any.allow_missing && any.allow_failed);
  ASSERT_EQ(any.others.size(), 1u);
  EXPECT_THAT(any.others[0].audiences.value(), ElementsAre("x"));
  EXPECT_EQ(filter.rules[3].requirement.kind, Kind::kAllowMissing);
  ASSERT_EQ(filter.requirements.size(), 2u);
  EXPECT_EQ(filter.requirements[0].first, "both");
  EXPECT_EQ(filter.requirements[0].second.kind, Kind::kAll);
  EXPECT_EQ(filter.requirements[0].second.others.size(), 2u);
}

TEST(TranslateFilters_JwtAuthn, TakesWhatRoutesSay) {
  const auto named = route_filter<config::JwtAuthnPerRoute>(kJwtType, any(kJwtRouteType, "requirement_name: m"));
  EXPECT_EQ(named.requirement_name, "m");
  EXPECT_FALSE(named.disabled);
  EXPECT_TRUE(route_filter<config::JwtAuthnPerRoute>(kJwtType, any(kJwtRouteType, "disabled: true")).disabled);
}

TEST(TranslateFilters_JwtAuthn, RefusesWhatCannotBe) {
  const auto errors = [](const std::string& fields, const std::string& more) {
    return errors_of(with_filter(jwt_provider(fields, more)));
  };
  EXPECT_THAT(errors("issuer: i", ", rules: [{match: {prefix: /}, requires: {provider_name: q}}]"),
              Contains(HasSubstr("rules[0].requires.provider_name: there is no provider \"q\"")));
  EXPECT_THAT(errors("issuer: i", ", rules: [{match: {prefix: /}, requirement_name: q}]"),
              Contains(HasSubstr("rules[0].requirement_name: there is no requirement \"q\"")));
  EXPECT_THAT(errors("jwt_cache_config: {jwt_cache_size: 100000}", ""),
              Contains(HasSubstr("jwt_cache_size: must be at most 16384")));
  EXPECT_THAT(errors("issuer: i", ", filter_state_rules: {name: n}"),
              Contains(HasSubstr("filter_state_rules: is not supported")));
  EXPECT_THAT(errors_of(with_filter(any(kJwtType, "providers: {p: {issuer: i}}"))), Not(IsEmpty())) << "no keys";
}

/// A provider with these fields of remote_jwks beside http_uri, and its URI.
std::string remote_jwks(const std::string& more, const std::string& uri = "https://issuer.test:8443/keys?v=1") {
  return any(kJwtType,
             "providers: {p: {remote_jwks: {http_uri: {uri: \"" + uri + "\", cluster: keys, timeout: 3s}" + more + "}}}");
}
KeySetPlan remote_plan(const std::string& more, const std::string& uri = "https://issuer.test:8443/keys?v=1") {
  const auto loaded = load_text(with_filter(remote_jwks(more, uri)));
  const auto sets = loaded ? loaded->key_sets->sets() : std::vector<std::shared_ptr<const KeySet>>();
  EXPECT_THAT(sets, SizeIs(1));
  return sets.empty() ? KeySetPlan() : sets[0]->plan;
}

TEST(TranslateFilters_JwtAuthn, TakesEveryFieldOfRemoteKeys) {
  const KeySetPlan plan = remote_plan(
      ", cache_duration: 60s, async_fetch: {failed_refetch_duration: 2.5s}, "
      "retry_policy: {num_retries: 3, retry_back_off: {base_interval: 0.2s, max_interval: 0.7s}}");
  EXPECT_EQ(plan.uri, "https://issuer.test:8443/keys?v=1");
  EXPECT_EQ(plan.authority, "issuer.test:8443");
  EXPECT_EQ(plan.path, "/keys?v=1");
  EXPECT_EQ(plan.cluster, "keys");
  EXPECT_EQ(plan.timeout, Duration::seconds(3));
  EXPECT_EQ(plan.cache_duration, Duration::seconds(60));
  EXPECT_TRUE(plan.is_async && plan.holds_listener);
  EXPECT_EQ(plan.failed_refetch_duration, Duration::milliseconds(2500));
  EXPECT_EQ(plan.retries, 3u);
  EXPECT_EQ(plan.base_interval, Duration::milliseconds(200));
  EXPECT_EQ(plan.max_interval, Duration::milliseconds(700));
  EXPECT_NE(plan.cell, nullptr);
  EXPECT_FALSE(remote_plan(", async_fetch: {fast_listener: true}").holds_listener);
}

TEST(TranslateFilters_JwtAuthn, RemoteKeysHaveEnvoysDefaults) {
  const KeySetPlan plan = remote_plan("", "http://issuer.test");
  EXPECT_EQ(plan.path, "/");
  EXPECT_EQ(plan.cache_duration, Duration::seconds(600));
  EXPECT_EQ(plan.failed_refetch_duration, Duration::seconds(1));
  EXPECT_FALSE(plan.is_async || plan.holds_listener);
  EXPECT_EQ(plan.retries, 0u);
  const KeySetPlan retried = remote_plan(", retry_policy: {retry_on: never}");
  EXPECT_EQ(retried.retries, 1u);
  EXPECT_EQ(retried.base_interval, Duration::seconds(1));
  EXPECT_EQ(retried.max_interval, Duration::seconds(10));
  EXPECT_EQ(remote_plan(", retry_policy: {retry_back_off: {base_interval: 0.2s}}").max_interval, Duration::seconds(2));
}

TEST(TranslateFilters_JwtAuthn, RemoteKeysLieInASlotOfTheirOwn) {
  const auto loaded = load_text(with_filter(remote_jwks("")));
  ASSERT_TRUE(loaded);
  const auto& provider = std::get<config::JwtAuthn>(manager_of(loaded->snapshot).filters.at(0).config).providers.at(0);
  ASSERT_NE(provider.remote_keys, nullptr);
  EXPECT_TRUE(provider.remote_keys->is_awaited());
  EXPECT_EQ(jwt("issuer: i").providers.at(0).remote_keys, nullptr);
}

TEST(TranslateFilters_JwtAuthn, RefusesRemoteKeysThatCannotBe) {
  const auto errors = [](const std::string& more, const std::string& uri = "http://issuer.test/keys") {
    return errors_of(with_filter(remote_jwks(more, uri)));
  };
  EXPECT_THAT(errors("", "http:///keys"),
              Contains(HasSubstr("remote_jwks.http_uri.uri: \"http:///keys\" is not a URI with a host")));
  EXPECT_THAT(errors("", "http://issuer.test/a b"), Contains(HasSubstr("is not a URI with a host")));
  EXPECT_THAT(errors(", retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}"),
              Contains(HasSubstr("retry_policy.retry_back_off.max_interval: must not be less than base_interval")));
  EXPECT_THAT(errors(", retry_policy: {host_selection_retry_max_attempts: 3}"),
              Contains(HasSubstr("host_selection_retry_max_attempts: is not supported")));
  EXPECT_THAT(errors(", cache_duration: 0s"), Contains(HasSubstr("cache_duration")));
}

TEST(TranslateFilters_JwtAuthn, AProviderWithoutAKeyOnlyWarns) {
  const auto loaded = load_text(with_filter(any(kJwtType, "providers: {p: {local_jwks: {inline_string: nonsense}}}")));
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(std::get<config::JwtAuthn>(manager_of(loaded->snapshot).filters.at(0).config).providers.at(0).keys.empty());
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

std::string template_permission(const std::string& text) {
  return "{uri_template: {name: t, typed_config: {\"@type\": "
         "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: \"" +
         text + "\"}}}";
}

TEST(TranslateFilters_Rbac, TakesTemplatesOfPaths) {
  const auto policy = policy_of(template_permission("/v1/*/{rest=**}"), "{any: true}");
  const auto path = only<config::AccessCondition::UrlPath>(policy.permission).path;
  EXPECT_EQ(path.kind, config::StringMatcher::Kind::kRegex);
  ASSERT_EQ(path.regex.programs.size(), 2u) << "one for each worker";
  EXPECT_TRUE(re2::RE2::FullMatch("/v1/a/b/c", *path.regex.programs[0]));
  EXPECT_FALSE(re2::RE2::FullMatch("/v2/a/b", *path.regex.programs[0]));
  EXPECT_THAT(errors_of(with_filter(any(kRbacType, "rules: {policies: {p: {permissions: [" + template_permission("no path") +
                                                       "], principals: [{any: true}]}}}"))),
              Contains(HasSubstr("path_template: \"no path\" is no path template")));
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
  EXPECT_EQ(only<Condition::Address>(principal("{source_ip: " + range + "}")).which, Which::kPeer);
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
