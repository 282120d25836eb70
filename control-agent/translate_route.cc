// envoy.config.route.v3.RouteConfiguration -> config::RouteTable.
#include <limits>
#include <memory>
#include <utility>

#include "config/compile/format_compiler.h"
#include "config/compile/regex_compiler.h"
#include "config/compile/route_table.h"
#include "control-agent/filters/http_filters.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_rate_limit.h"
#include "control-agent/translate_retry.h"
#include "envoy/config/route/v3/route.pb.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;

namespace {

constexpr std::uint32_t kDefaultDirectResponseBytes = 4096;  // Envoy's max_direct_response_body_size_bytes

/// What holds for all routes of one table, or of one virtual host of it.
struct TableScope {
  bool validate_clusters = true;
  std::uint32_t max_body_bytes = kDefaultDirectResponseBytes;
  std::shared_ptr<const config::RetryPolicy> retry = {};  ///< of routes that have none; null: none
  std::uint32_t retry_buffer_limit_bytes = std::numeric_limits<std::uint32_t>::max();
};

std::optional<config::RegexRewrite> translate_rewrite(const envoy::type::matcher::v3::RegexMatchAndSubstitute& rewrite,
                                                      const std::string& path, TranslateContext& context) {
  auto compiled = config::compile_rewrite(rewrite.pattern().regex(), rewrite.substitution(), context.workers);
  if (compiled) return std::move(*compiled);
  context.diagnostics.error(path, std::move(compiled.error()));
  return std::nullopt;
}

config::PathMatcher translate_path(const route::RouteMatch& match, const std::string& path, TranslateContext& context) {
  using Kind = config::PathMatcher::Kind;
  config::PathMatcher out;
  out.case_sensitive = !match.has_case_sensitive() || match.case_sensitive().value();
  switch (match.path_specifier_case()) {
    case route::RouteMatch::kPrefix:
      out.kind = Kind::kPrefix;
      out.text = match.prefix();
      break;
    case route::RouteMatch::kPath:
      out.kind = Kind::kExact;
      out.text = match.path();
      break;
    case route::RouteMatch::kPathSeparatedPrefix:
      out.kind = Kind::kPathSeparatedPrefix;
      out.text = match.path_separated_prefix();
      break;
    case route::RouteMatch::kSafeRegex:
      out.kind = Kind::kRegex;
      out.regex = translate_regex(match.safe_regex(), join_path(path, "safe_regex"), context);
      if (!out.case_sensitive) {
        context.diagnostics.error(join_path(path, "case_sensitive"),
                                  "has no effect on safe_regex: start the expression with (?i) instead");
      }
      break;
    default: context.diagnostics.error(path, "one of prefix, path, path_separated_prefix, safe_regex must be set");
  }
  return out;
}

config::RouteMatch translate_match(const route::RouteMatch& match, const std::string& path, TranslateContext& context) {
  config::RouteMatch out;
  out.path = translate_path(match, path, context);
  out.headers = translate_header_matchers(match.headers(), join_path(path, "headers"), context);
  for (int i = 0; i < match.query_parameters_size(); ++i) {
    out.query_parameters.push_back(translate_query_matcher(
        match.query_parameters(i), index_path(join_path(path, "query_parameters"), static_cast<std::size_t>(i)), context));
  }
  if (match.has_runtime_fraction()) out.runtime_fraction = translate_fraction(match.runtime_fraction().default_value());
  return out;
}

void check_cluster(const std::string& name, const std::string& path, const TableScope& scope, TranslateContext& context) {
  if (!scope.validate_clusters || context.cluster_names.contains(name)) return;
  context.diagnostics.error(path, "there is no cluster \"" + name + "\"; define it, or set validate_clusters to false");
}

void translate_weights(const route::WeightedCluster& weighted, const std::string& path, const TableScope& scope,
                       config::ForwardAction& out, TranslateContext& context) {
  const std::string list = join_path(path, "clusters");
  for (int i = 0; i < weighted.clusters_size(); ++i) {
    const auto& cluster = weighted.clusters(i);
    const std::string cluster_path = index_path(list, static_cast<std::size_t>(i));
    config::WeightedCluster target;
    target.name = cluster.name();
    if (target.name.empty()) {
      context.diagnostics.error(join_path(cluster_path, "name"), "must be set");
    } else {
      check_cluster(target.name, join_path(cluster_path, "name"), scope, context);
    }
    if (!cluster.has_weight()) context.diagnostics.error(join_path(cluster_path, "weight"), "must be set");
    target.weight = cluster.weight().value();
    target.headers = translate_mutations(cluster, cluster_path, context.diagnostics);
    target.host_rewrite = cluster.host_rewrite_literal();
    target.filters =
        translate_route_filters(cluster.typed_per_filter_config(), join_path(cluster_path, "typed_per_filter_config"), context);
    out.total_weight += target.weight;
    out.clusters.push_back(std::move(target));
  }
  if (weighted.clusters_size() > 0 && out.total_weight == 0)
    context.diagnostics.error(list, "the sum of the weights must be greater than 0");
  if (out.total_weight > std::numeric_limits<std::uint32_t>::max()) {
    context.diagnostics.error(list, "the sum of the weights must be at most 4294967295");
  }
}

void translate_upgrades(const route::RouteAction& action, const std::string& path, config::ForwardAction& out,
                        TranslateContext& context) {
  for (int i = 0; i < action.upgrade_configs_size(); ++i) {
    const auto& upgrade = action.upgrade_configs(i);
    const std::string type_path =
        join_path(index_path(join_path(path, "upgrade_configs"), static_cast<std::size_t>(i)), "upgrade_type");
    if (lower(upgrade.upgrade_type()) != "websocket") {
      context.diagnostics.error(type_path, "\"" + upgrade.upgrade_type() + "\" is not supported yet: only websocket is");
    } else if (out.websocket) {
      context.diagnostics.error(type_path, "\"" + upgrade.upgrade_type() + "\" is given twice");
    } else {
      out.websocket = !upgrade.has_enabled() || upgrade.enabled().value();
    }
  }
}

config::ForwardAction translate_forward(const route::RouteAction& action, const std::string& path, const TableScope& scope,
                                        TranslateContext& context) {
  config::ForwardAction out;
  if (action.has_weighted_clusters()) {
    translate_weights(action.weighted_clusters(), join_path(path, "weighted_clusters"), scope, out, context);
  } else if (action.cluster_specifier_case() == route::RouteAction::kCluster) {
    if (!action.cluster().empty()) check_cluster(action.cluster(), join_path(path, "cluster"), scope, context);
    out.clusters.push_back({action.cluster(), 1, {}, {}, {}});
    out.total_weight = 1;
  }
  switch (action.cluster_not_found_response_code()) {
    case route::RouteAction::NOT_FOUND: out.cluster_not_found_status = 404; break;
    case route::RouteAction::INTERNAL_SERVER_ERROR: out.cluster_not_found_status = 500; break;
    default: break;
  }
  if (!action.prefix_rewrite().empty()) out.prefix_rewrite = action.prefix_rewrite();
  if (action.has_regex_rewrite()) {
    const std::string rewrite_path = join_path(path, "regex_rewrite");
    if (out.prefix_rewrite) context.diagnostics.error(rewrite_path, "cannot be set together with prefix_rewrite: choose one");
    out.regex_rewrite = translate_rewrite(action.regex_rewrite(), rewrite_path, context);
  }
  out.host_rewrite_literal = action.host_rewrite_literal();
  out.host_rewrite_header = lower(action.host_rewrite_header());
  out.append_x_forwarded_host = action.append_x_forwarded_host();
  if (action.has_timeout()) out.timeout = translate_duration(action.timeout(), join_path(path, "timeout"), context.diagnostics);
  if (action.has_idle_timeout()) {
    out.idle_timeout = translate_duration(action.idle_timeout(), join_path(path, "idle_timeout"), context.diagnostics);
  }
  translate_upgrades(action, path, out, context);
  out.retry = action.has_retry_policy() ? translate_retry_policy(action.retry_policy(), join_path(path, "retry_policy"), context)
                                        : scope.retry;
  out.retry_buffer_limit_bytes = scope.retry_buffer_limit_bytes;
  out.rate_limits = translate_rate_limits(action.rate_limits(), join_path(path, "rate_limits"), context);
  out.include_virtual_host_rate_limits = action.include_vh_rate_limits().value();
  return out;
}

config::RedirectAction translate_redirect(const route::RedirectAction& action, const std::string& path,
                                          TranslateContext& context) {
  config::RedirectAction out;
  static constexpr std::uint16_t kStatus[] = {301, 302, 303, 307, 308};  // in the order of RedirectResponseCode
  const auto code = static_cast<std::size_t>(action.response_code());
  if (code < std::size(kStatus)) out.status = kStatus[code];
  out.scheme = action.https_redirect() ? "https" : lower(action.scheme_redirect());
  out.host = action.host_redirect();
  if (action.port_redirect() > 65'535) {
    context.diagnostics.error(join_path(path, "port_redirect"),
                              "must be at most 65535, is " + std::to_string(action.port_redirect()));
  } else if (action.port_redirect() != 0) {
    out.port = static_cast<std::uint16_t>(action.port_redirect());
  }
  if (!action.path_redirect().empty()) out.path = action.path_redirect();
  if (!action.prefix_rewrite().empty()) out.prefix_rewrite = action.prefix_rewrite();
  if (action.has_regex_rewrite())
    out.regex_rewrite = translate_rewrite(action.regex_rewrite(), join_path(path, "regex_rewrite"), context);
  out.strip_query = action.strip_query();
  return out;
}

config::DirectResponse translate_response(const route::DirectResponseAction& action, const std::string& path,
                                          const TableScope& scope, TranslateContext& context) {
  config::DirectResponse out;
  if (action.status() < 200 || action.status() > 599) {
    context.diagnostics.error(join_path(path, "status"),
                              "must be a final HTTP status, 200 to 599, is " + std::to_string(action.status()));
  } else {
    out.status = static_cast<std::uint16_t>(action.status());
  }
  const std::string body_path = join_path(path, "body");
  if (auto body = read_data_source(action.body(), body_path, context.diagnostics)) out.body = std::move(*body);
  if (out.body.size() > scope.max_body_bytes) {
    context.diagnostics.error(body_path, "has " + std::to_string(out.body.size()) +
                                             " bytes, more than max_direct_response_body_size_bytes (" +
                                             std::to_string(scope.max_body_bytes) + ")");
  }
  return out;
}

config::Route translate_one_route(const route::Route& route, const std::string& path, const TableScope& scope,
                                  TranslateContext& context) {
  config::Route out;
  out.name = route.name();
  out.match = translate_match(route.match(), join_path(path, "match"), context);
  switch (route.action_case()) {
    case route::Route::kRoute: out.action = translate_forward(route.route(), join_path(path, "route"), scope, context); break;
    case route::Route::kRedirect: out.action = translate_redirect(route.redirect(), join_path(path, "redirect"), context); break;
    case route::Route::kDirectResponse:
      out.action = translate_response(route.direct_response(), join_path(path, "direct_response"), scope, context);
      break;
    default: context.diagnostics.error(path, "one of route, redirect, direct_response must be set");
  }
  if (auto* forward = std::get_if<config::ForwardAction>(&out.action); forward && route.has_per_request_buffer_limit_bytes())
    forward->retry_buffer_limit_bytes = route.per_request_buffer_limit_bytes().value();
  out.headers = translate_mutations(route, path, context.diagnostics);
  out.filters = translate_route_filters(route.typed_per_filter_config(), join_path(path, "typed_per_filter_config"), context);
  return out;
}

config::VirtualHost translate_virtual_host(const route::VirtualHost& host, const std::string& path, TableScope scope,
                                           TranslateContext& context) {
  using RequireTls = config::VirtualHost::RequireTls;
  if (host.has_retry_policy())
    scope.retry = translate_retry_policy(host.retry_policy(), join_path(path, "retry_policy"), context);
  if (host.has_per_request_buffer_limit_bytes()) scope.retry_buffer_limit_bytes = host.per_request_buffer_limit_bytes().value();
  config::VirtualHost out;
  out.name = host.name();
  out.domains.assign(host.domains().begin(), host.domains().end());
  for (int i = 0; i < host.routes_size(); ++i) {
    out.routes.push_back(
        translate_one_route(host.routes(i), index_path(join_path(path, "routes"), static_cast<std::size_t>(i)), scope, context));
  }
  out.headers = translate_mutations(host, path, context.diagnostics);
  out.require_tls = host.require_tls() == route::VirtualHost::ALL             ? RequireTls::kAll
                    : host.require_tls() == route::VirtualHost::EXTERNAL_ONLY ? RequireTls::kExternalOnly
                                                                              : RequireTls::kNone;
  out.include_request_attempt_count = host.include_request_attempt_count();
  out.rate_limits = translate_rate_limits(host.rate_limits(), join_path(path, "rate_limits"), context);
  out.filters = translate_route_filters(host.typed_per_filter_config(), join_path(path, "typed_per_filter_config"), context);
  return out;
}

}  // namespace

std::shared_ptr<const config::RouteTable> translate_routes(const route::RouteConfiguration& routes, const std::string& path,
                                                           bool validate_clusters, TranslateContext& context) {
  TableScope scope;
  scope.validate_clusters = routes.has_validate_clusters() ? routes.validate_clusters().value() : validate_clusters;
  if (routes.has_max_direct_response_body_size_bytes())
    scope.max_body_bytes = routes.max_direct_response_body_size_bytes().value();

  auto table = std::make_shared<config::RouteTable>();
  table->name = routes.name();
  const std::string hosts_path = join_path(path, "virtual_hosts");
  for (int i = 0; i < routes.virtual_hosts_size(); ++i) {
    table->virtual_hosts.push_back(
        translate_virtual_host(routes.virtual_hosts(i), index_path(hosts_path, static_cast<std::size_t>(i)), scope, context));
  }
  for (auto& error : config::index_domains(*table)) {
    context.diagnostics.error(index_path(join_path(index_path(hosts_path, error.virtual_host), "domains"), error.domain),
                              std::move(error.reason));
  }
  table->headers = translate_mutations(routes, path, context.diagnostics);
  table->ignore_port_in_host = routes.ignore_port_in_host_matching();
  table->most_specific_header_mutations_wins = routes.most_specific_header_mutations_wins();
  table->filters = translate_route_filters(routes.typed_per_filter_config(), join_path(path, "typed_per_filter_config"), context);
  return table;
}

}  // namespace millrace::agent
