#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::ForwardAction;
using config::HeaderMatcher;
using config::HeaderMutation;
using config::PathMatcher;
using config::StringMatcher;
using testing::ElementsAre;
using testing::HasSubstr;

config::Route route(const std::string& match, const std::string& action = "route: {cluster: origin}",
                    const std::string& more = {}) {
  BootstrapText text;
  text.match = match;
  text.action = action;
  text.route = more;
  const auto snapshot = snapshot_of(text);
  return snapshot == nullptr ? config::Route{} : route_of(snapshot);
}

ForwardAction forward(const std::string& fields) {
  return std::get<ForwardAction>(route("prefix: /", "route: {" + fields + "}").action);
}

std::vector<std::string> refusals(const std::string& match, const std::string& action = "route: {cluster: origin}",
                                  const std::string& more = {}) {
  BootstrapText text;
  text.match = match;
  text.action = action;
  text.route = more;
  return errors_of(text);
}

TEST(TranslateRoute, TakesEveryKindOfPath) {
  EXPECT_EQ(route("prefix: /a").match.path.kind, PathMatcher::Kind::kPrefix);
  EXPECT_EQ(route("path: /a, case_sensitive: false").match.path.kind, PathMatcher::Kind::kExact);
  EXPECT_FALSE(route("path: /a, case_sensitive: false").match.path.case_sensitive);
  EXPECT_TRUE(route("path: /a").match.path.case_sensitive);
  EXPECT_EQ(route("path_separated_prefix: /a").match.path.text, "/a");
  const auto regex = route("safe_regex: {regex: \"/[0-9]+\"}").match.path;
  EXPECT_EQ(regex.kind, PathMatcher::Kind::kRegex);
  EXPECT_EQ(regex.regex.programs.size(), 2U);
}

TEST(TranslateRoute, TakesEveryKindOfHeaderMatcher) {
  const auto headers = route(
                           "prefix: /, headers: [{name: X-A, exact_match: V}, {name: b, prefix_match: p}, {name: c, "
                           "suffix_match: s}, {name: d, contains_match: m}, "
                           "{name: e, safe_regex_match: {regex: r}}, {name: f, range_match: {start: -1, end: 5}}, {name: g, "
                           "present_match: false}, "
                           "{name: h, string_match: {exact: ABC, ignore_case: true}, invert_match: true, "
                           "treat_missing_header_as_empty: true}, {name: i}, "
                           "{name: Host, exact_match: a}]")
                           .match.headers;
  ASSERT_EQ(headers.size(), 10U);
  EXPECT_EQ(headers[0].name, "x-a");
  EXPECT_EQ(headers[0].string.text, "V");
  EXPECT_EQ(headers[1].string.kind, StringMatcher::Kind::kPrefix);
  EXPECT_EQ(headers[2].string.kind, StringMatcher::Kind::kSuffix);
  EXPECT_EQ(headers[3].string.kind, StringMatcher::Kind::kContains);
  EXPECT_EQ(headers[4].string.kind, StringMatcher::Kind::kRegex);
  EXPECT_EQ(headers[5].kind, HeaderMatcher::Kind::kRange);
  EXPECT_EQ(headers[5].range_start, -1);
  EXPECT_EQ(headers[6].kind, HeaderMatcher::Kind::kPresent);
  EXPECT_FALSE(headers[6].present);
  EXPECT_EQ(headers[7].string.text, "abc");
  EXPECT_TRUE(headers[7].string.ignore_case);
  EXPECT_TRUE(headers[7].invert);
  EXPECT_TRUE(headers[7].treat_missing_as_empty);
  EXPECT_EQ(headers[8].kind, HeaderMatcher::Kind::kPresent);
  EXPECT_TRUE(headers[8].present);
  EXPECT_EQ(headers[9].name, ":authority");
}

TEST(TranslateRoute, TakesQueryParametersAndFractions) {
  const auto match =
      route(
          "prefix: /, query_parameters: [{name: a}, {name: B, string_match: {prefix: x}}], runtime_fraction: {default_value: "
          "{numerator: 3, denominator: TEN_THOUSAND}, runtime_key: k}")
          .match;
  EXPECT_TRUE(match.query_parameters.at(0).present_only);
  EXPECT_EQ(match.query_parameters.at(1).name, "B");
  EXPECT_FALSE(match.query_parameters.at(1).present_only);
  EXPECT_EQ(match.runtime_fraction->numerator, 3U);
  EXPECT_EQ(match.runtime_fraction->denominator, 10'000U);
}

TEST(TranslateRoute, TakesWhatElseAMatchMayAskFor) {
  const auto match =
      route(
          "connect_matcher: {}, grpc: {}, tls_context: {presented: true, validated: false}, query_parameters: [{name: q, "
          "present_match: false}]")
          .match;
  EXPECT_EQ(match.path.kind, PathMatcher::Kind::kConnect);
  EXPECT_TRUE(match.grpc);
  EXPECT_EQ(match.certificate_presented, true);
  EXPECT_EQ(match.certificate_validated, false);
  EXPECT_FALSE(match.query_parameters.at(0).present);
  const auto plain = route("prefix: /").match;
  EXPECT_FALSE(plain.grpc);
  EXPECT_FALSE(plain.certificate_presented || plain.certificate_validated);
  EXPECT_EQ(route("safe_regex: {regex: /a}, case_sensitive: false").match.path.kind, PathMatcher::Kind::kRegex)
      << "ignored, as in Envoy";
  const auto by_claim =
      route("prefix: /, dynamic_metadata: [{filter: f, path: [{key: k}], value: {string_match: {exact: v}}, invert: true}]")
          .match;
  ASSERT_EQ(by_claim.metadata.size(), 1u);
  EXPECT_EQ(by_claim.metadata[0].filter, "f");
  EXPECT_TRUE(by_claim.metadata[0].invert);
}

// A path_match_policy, or a path_rewrite_policy.
std::string uri_template(const std::string& kind, const std::string& text) {
  const std::string type =
      kind == "match" ? "UriTemplateMatchConfig, path_template: " : "UriTemplateRewriteConfig, path_template_rewrite: ";
  return "path_" + kind + "_policy: {name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.path." + kind +
         ".uri_template.v3." + type + "\"" + text + "\"}}";
}

TEST(TranslateRoute, TakesPathTemplates) {
  const auto matched = route(uri_template("match", "/api/{version}/{rest=**}"),
                             "route: {cluster: origin, " + uri_template("rewrite", "/{rest}/of/{version}") + "}");
  EXPECT_EQ(matched.match.path.kind, PathMatcher::Kind::kRegex);
  EXPECT_EQ(matched.match.path.regex.programs.size(), 2U);
  const auto& action = std::get<ForwardAction>(matched.action);
  ASSERT_TRUE(action.regex_rewrite);
  EXPECT_EQ(action.regex_rewrite->substitution, "/\\2/of/\\1");
  EXPECT_THAT(refusals(uri_template("match", "api")),
              ElementsAre(HasSubstr("path_template: \"api\" is no path template: must begin with \"/\"")));
  EXPECT_THAT(refusals(uri_template("match", "/{a}"), "route: {cluster: origin, " + uri_template("rewrite", "/{b}") + "}"),
              ElementsAre(HasSubstr("\"b\" is no variable of the route's path template")));
  EXPECT_THAT(
      refusals("prefix: /", "route: {cluster: origin, " + uri_template("rewrite", "/b") + "}"),
      ElementsAre(HasSubstr("path_rewrite_policy: must be a UriTemplateRewriteConfig, in a route whose path_match_policy")));
}

TEST(TranslateRoute, TakesClustersThatRequestsChoose) {
  const auto named = forward("cluster_header: X-Cluster");
  EXPECT_EQ(named.clusters.at(0).name_header, "x-cluster");
  EXPECT_EQ(named.total_weight, 1U);
  const auto weighted = forward("weighted_clusters: {header_name: X-Random, clusters: [{cluster_header: X-Cluster, weight: 1}]}");
  EXPECT_EQ(weighted.random_value_header, "x-random");
  EXPECT_EQ(weighted.clusters.at(0).name_header, "x-cluster");
  EXPECT_THAT(refusals("prefix: /", "route: {weighted_clusters: {clusters: [{name: origin, cluster_header: a, weight: 1}]}}"),
              ElementsAre(HasSubstr("clusters[0].name: cannot be set together with cluster_header")));
}

TEST(TranslateRoute, TakesHostsOfEndpointsAndPaths) {
  EXPECT_TRUE(forward("cluster: origin, auto_host_rewrite: true").auto_host_rewrite);
  EXPECT_FALSE(forward("cluster: origin, auto_host_rewrite: false").auto_host_rewrite);
  const auto by_path =
      forward("cluster: origin, host_rewrite_path_regex: {pattern: {regex: \"^/(.+)/.+$\"}, substitution: '\\1'}");
  ASSERT_TRUE(by_path.host_rewrite_path);
  EXPECT_EQ(by_path.host_rewrite_path->substitution, "\\1");
}

TEST(TranslateRoute, TakesDurationsOfStreamsAndGrpcRequests) {
  const auto stream = forward(
      "cluster: origin, max_stream_duration: {max_stream_duration: 3s, grpc_timeout_header_max: 0s, grpc_timeout_header_offset: "
      "0.5s}");
  ASSERT_TRUE(stream.stream_duration);
  EXPECT_EQ(stream.stream_duration->limit, Duration::seconds(3));
  EXPECT_EQ(stream.stream_duration->grpc_header_max, Duration());
  EXPECT_EQ(stream.stream_duration->grpc_header_offset, Duration::milliseconds(500));
  const auto without = forward("cluster: origin, max_stream_duration: {}");
  ASSERT_TRUE(without.stream_duration);
  EXPECT_FALSE(without.stream_duration->limit || without.stream_duration->grpc_header_max);
  const auto grpc = forward("cluster: origin, max_grpc_timeout: 9s, grpc_timeout_offset: 1s");
  ASSERT_TRUE(grpc.grpc_timeout);
  EXPECT_EQ(grpc.grpc_timeout->max, Duration::seconds(9));
  EXPECT_EQ(grpc.grpc_timeout->offset, Duration::seconds(1));
  EXPECT_FALSE(forward("cluster: origin, grpc_timeout_offset: 1s").grpc_timeout);
}

TEST(TranslateRoute, TakesConnectUpgrades) {
  const auto action = forward("cluster: origin, upgrade_configs: [{upgrade_type: CONNECT}, {upgrade_type: WebSocket}]");
  EXPECT_EQ(action.connect, true);
  EXPECT_EQ(action.websocket, true);
  EXPECT_THAT(refusals("prefix: /", "route: {cluster: origin, upgrade_configs: [{upgrade_type: h2c}]}"),
              ElementsAre(HasSubstr("\"h2c\" is not supported yet: only websocket and CONNECT are")));
  EXPECT_FALSE(action.ends_connect);
  EXPECT_TRUE(forward("cluster: origin, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]").ends_connect);
  EXPECT_THAT(
      refusals("prefix: /",
               "route: {cluster: origin, upgrade_configs: [{upgrade_type: CONNECT, connect_config: "
               "{allow_post: true, proxy_protocol_config: {}}}]}"),
      ElementsAre(HasSubstr("proxy_protocol_config: is not supported yet"), HasSubstr("allow_post: is not supported yet")));
  EXPECT_THAT(refusals("prefix: /", "route: {cluster: origin, upgrade_configs: [{upgrade_type: websocket, connect_config: {}}]}"),
              ElementsAre(HasSubstr("upgrade_configs[0].connect_config: is only used by the upgrade_type CONNECT")));
}

TEST(TranslateRoute, TakesMirrorsOfTheMostSpecificLevel) {
  const auto mirrors = [](const std::string& name) { return "request_mirror_policies: [{cluster: " + name + "}]"; };
  BootstrapText text;
  text.table = ", validate_clusters: false, " + mirrors("of-table");
  const auto first = [&] { return std::get<ForwardAction>(route_of(snapshot_of(text)).action).mirrors->at(0).cluster; };
  EXPECT_EQ(first(), "of-table");
  text.host = ", " + mirrors("of-host");
  EXPECT_EQ(first(), "of-host");
  text.action = "route: {cluster: origin, " + mirrors("of-route") + "}";
  EXPECT_EQ(first(), "of-route");
  EXPECT_EQ(forward("cluster: origin").mirrors, nullptr);
}

TEST(TranslateRoute, TakesAllOfAMirror) {
  const auto mirrors =
      *forward(
           "cluster: origin, request_mirror_policies: [{cluster: origin, runtime_fraction: {default_value: {numerator: 3, "
           "denominator: MILLION}}, disable_shadow_host_suffix_append: true, trace_sampled: false}, "
           "{cluster_header: X-Mirror}]")
           .mirrors;
  ASSERT_EQ(mirrors.size(), 2u);
  EXPECT_EQ(mirrors[0].cluster, "origin");
  EXPECT_EQ(mirrors[0].fraction.numerator, 3u);
  EXPECT_EQ(mirrors[0].fraction.denominator, 1'000'000u);
  EXPECT_FALSE(mirrors[0].append_suffix);
  EXPECT_EQ(mirrors[1].cluster_header, "x-mirror");
  EXPECT_EQ(mirrors[1].fraction.numerator, mirrors[1].fraction.denominator) << "all";
  EXPECT_TRUE(mirrors[1].append_suffix);
  EXPECT_THAT(refusals("prefix: /",
                       "route: {cluster: origin, request_mirror_policies: [{cluster: nowhere}, {}, "
                       "{cluster: origin, cluster_header: a}]}"),
              ElementsAre(HasSubstr("request_mirror_policies[0].cluster: there is no cluster \"nowhere\""),
                          HasSubstr("request_mirror_policies[1].cluster: must be set"),
                          HasSubstr("request_mirror_policies[2].cluster: cannot be set together with cluster_header")));
}

TEST(TranslateRoute, TakesHedging) {
  EXPECT_FALSE(forward("cluster: origin").hedge_on_try_timeout);
  EXPECT_TRUE(forward("cluster: origin, hedge_policy: {hedge_on_per_try_timeout: true}").hedge_on_try_timeout);
  BootstrapText text;
  text.host = ", hedge_policy: {hedge_on_per_try_timeout: true}";
  EXPECT_TRUE(std::get<ForwardAction>(route_of(snapshot_of(text)).action).hedge_on_try_timeout);
  text.action = "route: {cluster: origin, hedge_policy: {initial_requests: 1}}";
  EXPECT_FALSE(std::get<ForwardAction>(route_of(snapshot_of(text)).action).hedge_on_try_timeout) << "as a whole";
}

std::string redirect_predicate(const std::string& type) {
  return "{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.internal_redirect." + type + "}}";
}

TEST(TranslateRoute, TakesInternalRedirects) {
  EXPECT_EQ(forward("cluster: origin").redirects, nullptr);
  const auto usual = forward("cluster: origin, internal_redirect_policy: {}").redirects;
  ASSERT_NE(usual, nullptr);
  EXPECT_EQ(usual->most, 1u);
  EXPECT_THAT(usual->statuses, ElementsAre(302));
  const auto all =
      *forward(
           "cluster: origin, internal_redirect_policy: {max_internal_redirects: 5, redirect_response_codes: [303, 307, 200], "
           "allow_cross_scheme_redirect: true, response_headers_to_copy: [X-Token], predicates: [" +
           redirect_predicate("previous_routes.v3.PreviousRoutesConfig") + ", " +
           redirect_predicate("safe_cross_scheme.v3.SafeCrossSchemeConfig") + ", " +
           redirect_predicate("allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [a, b]") + ", " +
           redirect_predicate("allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [b, c]") + "]}")
           .redirects;
  EXPECT_EQ(all.most, 5u);
  EXPECT_THAT(all.statuses, ElementsAre(303, 307)) << "others are ignored, as in Envoy";
  EXPECT_TRUE(all.allow_cross_scheme);
  EXPECT_TRUE(all.forbid_previous_routes);
  EXPECT_TRUE(all.forbid_http_to_https);
  EXPECT_TRUE(all.only_allowed_routes);
  EXPECT_THAT(all.allowed_routes, ElementsAre("b"));
  EXPECT_THAT(all.copied_headers, ElementsAre("x-token"));
}

TEST(TranslateRoute, TakesTheOldInternalRedirectAction) {
  EXPECT_EQ(forward("cluster: origin, max_internal_redirects: 3").redirects, nullptr);
  const auto old =
      forward("cluster: origin, internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 3").redirects;
  ASSERT_NE(old, nullptr);
  EXPECT_EQ(old->most, 3u);
}

TEST(TranslateRoute, RefusesInternalRedirectsThatItCannotFollow) {
  EXPECT_THAT(refusals("prefix: /",
                       "route: {cluster: origin, internal_redirect_policy: {predicates: [{name: x}], "
                       "response_headers_to_copy: [host, ':path']}}"),
              ElementsAre(HasSubstr("predicates[0].typed_config: must be set"), HasSubstr("\"host\" cannot be copied"),
                          HasSubstr("\":path\" cannot be copied")));
}

TEST(TranslateRoute, ForwardsWithEnvoysDefaults) {
  const auto action = forward("cluster: origin");
  EXPECT_EQ(action.clusters.at(0).name, "origin");
  EXPECT_EQ(action.total_weight, 1U);
  EXPECT_EQ(action.timeout, Duration::seconds(15));
  EXPECT_FALSE(action.idle_timeout);
  EXPECT_EQ(action.cluster_not_found_status, 503);
  EXPECT_FALSE(action.websocket);
}

TEST(TranslateRoute, TakesRewritesTimesAndUpgrades) {
  const auto action = forward(
      "cluster: origin, prefix_rewrite: /b, host_rewrite_literal: h, append_x_forwarded_host: true, timeout: 0s, "
      "idle_timeout: 3s, cluster_not_found_response_code: NOT_FOUND, upgrade_configs: [{upgrade_type: websocket, enabled: "
      "false}]");
  EXPECT_EQ(action.prefix_rewrite, "/b");
  EXPECT_EQ(action.host_rewrite_literal, "h");
  EXPECT_TRUE(action.append_x_forwarded_host);
  EXPECT_EQ(action.timeout, Duration());
  EXPECT_EQ(action.idle_timeout, Duration::seconds(3));
  EXPECT_EQ(action.cluster_not_found_status, 404);
  EXPECT_EQ(action.websocket, false);
  const auto regex = forward(
      "cluster: origin, regex_rewrite: {pattern: {regex: \"^/(.*)$\"}, substitution: '/x/\\1'}, host_rewrite_header: X-H");
  EXPECT_EQ(regex.regex_rewrite->substitution, "/x/\\1");
  EXPECT_EQ(regex.host_rewrite_header, "x-h");
}

TEST(TranslateRoute, TakesWeightedClusters) {
  const auto action = forward(
      "weighted_clusters: {clusters: [{name: origin, weight: 90, host_rewrite_literal: h, response_headers_to_remove: [X-B]}, "
      "{name: origin, weight: 10}]}");
  EXPECT_EQ(action.total_weight, 100U);
  EXPECT_EQ(action.clusters.at(0).host_rewrite, "h");
  EXPECT_THAT(action.clusters.at(0).headers.response_remove, ElementsAre("x-b"));
}

TEST(TranslateRoute, TakesRedirects) {
  const auto redirect =
      std::get<config::RedirectAction>(route("prefix: /",
                                             "redirect: {https_redirect: true, host_redirect: h, port_redirect: 8443, "
                                             "path_redirect: /p, response_code: PERMANENT_REDIRECT, strip_query: true}")
                                           .action);
  EXPECT_EQ(redirect.status, 308);
  EXPECT_EQ(redirect.scheme, "https");
  EXPECT_EQ(redirect.host, "h");
  EXPECT_EQ(redirect.port, 8443);
  EXPECT_EQ(redirect.path, "/p");
  EXPECT_TRUE(redirect.strip_query);
  const auto plain = std::get<config::RedirectAction>(route("prefix: /", "redirect: {prefix_rewrite: /q}").action);
  EXPECT_EQ(plain.status, 301);
  EXPECT_EQ(plain.prefix_rewrite, "/q");
  EXPECT_FALSE(plain.port);
}

TEST(TranslateRoute, TakesDirectResponsesFromEverySource) {
  const auto body = [](const std::string& source) {
    return std::get<config::DirectResponse>(route("prefix: /", "direct_response: {status: 418, body: {" + source + "}}").action)
        .body;
  };
  const std::string file = testing::TempDir() + "millrace_body.txt";
  std::ofstream(file) << "from a file";
  ::setenv("MILLRACE_TEST_BODY", "from the environment", 1);
  EXPECT_EQ(body("inline_string: hi"), "hi");
  EXPECT_EQ(body("inline_bytes: aGk="), "hi");
  EXPECT_EQ(body("filename: " + file), "from a file");
  EXPECT_EQ(body("environment_variable: MILLRACE_TEST_BODY"), "from the environment");
  EXPECT_THAT(refusals("prefix: /", "direct_response: {status: 200, body: {filename: /nonexistent}}"),
              ElementsAre(HasSubstr("body.filename: the file \"/nonexistent\" cannot be read")));
  EXPECT_THAT(refusals("prefix: /", "direct_response: {status: 200, body: {environment_variable: MILLRACE_UNSET}}"),
              ElementsAre(HasSubstr("the environment has no variable \"MILLRACE_UNSET\"")));
}

TEST(TranslateRoute, BoundsDirectResponses) {
  const std::string body(4097, 'x');
  EXPECT_THAT(refusals("prefix: /", "direct_response: {status: 200, body: {inline_string: " + body + "}}"),
              ElementsAre(HasSubstr("body: has 4097 bytes, more than max_direct_response_body_size_bytes (4096)")));
  EXPECT_THAT(refusals("prefix: /", "direct_response: {status: 100}"), ElementsAre(HasSubstr("status: must be")));
  BootstrapText text;
  text.table = ", max_direct_response_body_size_bytes: 5000";
  text.action = "direct_response: {status: 200, body: {inline_string: " + body + "}}";
  EXPECT_NE(snapshot_of(text), nullptr);
}

TEST(TranslateRoute, TakesHeaderMutationsWithEnvoysActions) {
  const auto headers =
      route(
          "prefix: /", "route: {cluster: origin}",
          ", request_headers_to_add: [{header: {key: X-A, value: \"%PROTOCOL%\"}}, {header: {key: b, value: v}, append: false}, "
          "{header: {key: c, value: v}, append_action: ADD_IF_ABSENT}, {header: {key: d, value: v}, append_action: "
          "OVERWRITE_IF_EXISTS, keep_empty_value: true}, {header: {key: e, value: v}, append: true}, {header: {key: f, "
          "raw_value: "
          "aGk=}}], request_headers_to_remove: [X-R]")
          .headers;
  using Action = HeaderMutation::Action;
  std::vector<Action> actions;
  for (const auto& add : headers.request_add) actions.push_back(add.action);
  EXPECT_THAT(actions, ElementsAre(Action::kAppendIfExistsOrAdd, Action::kOverwriteIfExistsOrAdd, Action::kAddIfAbsent,
                                   Action::kOverwriteIfExists, Action::kAppendIfExistsOrAdd, Action::kAppendIfExistsOrAdd));
  EXPECT_EQ(headers.request_add[0].name, "x-a");
  EXPECT_EQ(headers.request_add[0].value.elements.at(0).command, config::FormatCommand::kProtocol);
  EXPECT_TRUE(headers.request_add[3].keep_empty_value);
  EXPECT_EQ(headers.request_add[5].value.source, "hi");
  EXPECT_THAT(headers.request_remove, ElementsAre("x-r"));
}

TEST(TranslateRoute, ProtectsPseudoFieldsAndHost) {
  EXPECT_THAT(
      refusals(
          "prefix: /", "route: {cluster: origin}",
          ", request_headers_to_add: [{header: {key: \":path\", value: /}}], request_headers_to_remove: [host, \":method\"], "
          "response_headers_to_add: [{header: {key: a, value: b}, append: true, append_action: ADD_IF_ABSENT}]"),
      ElementsAre(HasSubstr("request_headers_to_add[0].header.key: \":path\" cannot be changed"),
                  HasSubstr("request_headers_to_remove[0]: \"host\" cannot be removed"),
                  HasSubstr("request_headers_to_remove[1]: \":method\" cannot be removed"),
                  HasSubstr("response_headers_to_add[0].append: cannot be set together with append_action")));
}

TEST(TranslateRoute, TakesVirtualHostAndTableOptions) {
  BootstrapText text;
  text.host =
      ", require_tls: EXTERNAL_ONLY, include_request_attempt_count: true, include_attempt_count_in_response: true, "
      "include_is_timeout_retry_header: true";
  text.table =
      ", internal_only_headers: [X-Tenant], ignore_path_parameters_in_path_matching: true, ignore_port_in_host_matching: true, "
      "most_specific_header_mutations_wins: true, response_headers_to_remove: [server]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& table = *manager_of(snapshot).routes;
  EXPECT_EQ(table.name, "routes");
  EXPECT_EQ(table.virtual_hosts.at(0).require_tls, config::VirtualHost::RequireTls::kExternalOnly);
  EXPECT_TRUE(table.virtual_hosts.at(0).include_request_attempt_count);
  EXPECT_TRUE(table.virtual_hosts.at(0).include_attempt_count_in_response);
  EXPECT_TRUE(table.virtual_hosts.at(0).include_is_timeout_retry_header);
  EXPECT_THAT(table.internal_only_headers, ElementsAre("x-tenant"));
  EXPECT_TRUE(table.ignore_path_parameters);
  EXPECT_TRUE(table.ignore_port_in_host);
  EXPECT_TRUE(table.most_specific_header_mutations_wins);
  EXPECT_THAT(table.headers.response_remove, ElementsAre("server"));
  EXPECT_EQ(table.default_domain, 0U);
}

TEST(TranslateRoute, ChecksThatClustersExistUnlessToldNotTo) {
  BootstrapText text;
  text.action = "route: {cluster: nowhere}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("route.cluster: there is no cluster \"nowhere\"")));
  text.table = ", validate_clusters: false";
  EXPECT_NE(snapshot_of(text), nullptr);
}

TEST(TranslateRoute, RefusesWhatContradictsItself) {
  EXPECT_THAT(refusals("prefix: /", "route: {weighted_clusters: {clusters: [{name: origin, weight: 0}]}}"),
              ElementsAre(HasSubstr("the sum of the weights must be greater than 0")));
  EXPECT_THAT(refusals("prefix: /", "route: {weighted_clusters: {clusters: [{weight: 1}, {name: origin}]}}"),
              ElementsAre(HasSubstr("clusters[0].name: must be set"), HasSubstr("clusters[1].weight: must be set")));
  EXPECT_THAT(refusals("prefix: /",
                       "route: {cluster: origin, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}"),
              ElementsAre(HasSubstr("route: prefix_rewrite, regex_rewrite and path_rewrite_policy exclude each other")));
  EXPECT_THAT(refusals("prefix: /", "route: {cluster: origin, regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}}"),
              ElementsAre(HasSubstr("regex_rewrite: the substitution \"\\1\" does not fit the pattern")));
  EXPECT_THAT(refusals("prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: a}, ignore_case: true}}]"),
              ElementsAre(HasSubstr("ignore_case: has no effect on safe_regex")));
  EXPECT_THAT(refusals("prefix: /", "redirect: {port_redirect: 70000}"),
              ElementsAre(HasSubstr("port_redirect: must be at most 65535")));
}

}  // namespace
}  // namespace millrace::agent::test
