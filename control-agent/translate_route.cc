// envoy.config.route.v3.RouteConfiguration -> config::RouteTable.
#include <memory>
#include <utility>

#include "config/compile/route_index.h"
#include "config/compile/route_table.h"
#include "control-agent/filters/http_filters.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_rate_limit.h"
#include "control-agent/translate_retry.h"
#include "control-agent/translate_route_action.h"
#include "control-agent/translate_route_match.h"
#include "envoy/config/route/v3/route.pb.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;

namespace {

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
                                          const RouteScope& scope, TranslateContext& context) {
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

config::Route translate_one_route(const route::Route& route, const std::string& path, const RouteScope& scope,
                                  TranslateContext& context) {
  config::Route out;
  out.name = route.name();
  out.match = translate_route_match(route.match(), join_path(path, "match"), context);
  switch (route.action_case()) {
    case route::Route::kRoute:
      out.action = translate_forward(route.route(), route.match(), join_path(path, "route"), scope, context);
      break;
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

config::VirtualHost translate_virtual_host(const route::VirtualHost& host, const std::string& path, RouteScope scope,
                                           TranslateContext& context) {
  using RequireTls = config::VirtualHost::RequireTls;
  if (host.has_retry_policy())
    scope.retry = translate_retry_policy(host.retry_policy(), join_path(path, "retry_policy"), context);
  if (host.has_per_request_buffer_limit_bytes()) scope.retry_buffer_limit_bytes = host.per_request_buffer_limit_bytes().value();
  if (host.has_hedge_policy()) scope.hedge_on_try_timeout = host.hedge_policy().hedge_on_per_try_timeout();
  scope.mirrors = translate_mirrors(host.request_mirror_policies(), join_path(path, "request_mirror_policies"), scope, context);
  config::VirtualHost out;
  out.name = host.name();
  out.domains.assign(host.domains().begin(), host.domains().end());
  for (int i = 0; i < host.routes_size(); ++i) {
    out.routes.push_back(
        translate_one_route(host.routes(i), index_path(join_path(path, "routes"), static_cast<std::size_t>(i)), scope, context));
  }
  out.index = config::index_routes(out.routes);
  out.headers = translate_mutations(host, path, context.diagnostics);
  out.require_tls = host.require_tls() == route::VirtualHost::ALL             ? RequireTls::kAll
                    : host.require_tls() == route::VirtualHost::EXTERNAL_ONLY ? RequireTls::kExternalOnly
                                                                              : RequireTls::kNone;
  out.include_request_attempt_count = host.include_request_attempt_count();
  out.include_attempt_count_in_response = host.include_attempt_count_in_response();
  out.include_is_timeout_retry_header = host.include_is_timeout_retry_header();
  out.rate_limits = translate_rate_limits(host.rate_limits(), join_path(path, "rate_limits"), context);
  out.filters = translate_route_filters(host.typed_per_filter_config(), join_path(path, "typed_per_filter_config"), context);
  return out;
}

}  // namespace

std::shared_ptr<const config::RouteTable> translate_routes(const route::RouteConfiguration& routes, const std::string& path,
                                                           bool validate_clusters, TranslateContext& context) {
  RouteScope scope;
  scope.validate_clusters = routes.has_validate_clusters() ? routes.validate_clusters().value() : validate_clusters;
  if (routes.has_max_direct_response_body_size_bytes())
    scope.max_body_bytes = routes.max_direct_response_body_size_bytes().value();

  scope.mirrors = translate_mirrors(routes.request_mirror_policies(), join_path(path, "request_mirror_policies"), scope, context);

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
  table->ignore_path_parameters = routes.ignore_path_parameters_in_path_matching();
  for (const auto& name : routes.internal_only_headers()) table->internal_only_headers.push_back(lower(name));
  table->most_specific_header_mutations_wins = routes.most_specific_header_mutations_wins();
  table->filters = translate_route_filters(routes.typed_per_filter_config(), join_path(path, "typed_per_filter_config"), context);
  return table;
}

}  // namespace millrace::agent
