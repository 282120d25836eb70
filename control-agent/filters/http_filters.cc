#include "control-agent/filters/http_filters.h"

#include <array>
#include <utility>

#include "control-agent/field_table.h"
#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace http = envoy::extensions::filters::http;
using google::protobuf::Any;

namespace {

template <typename Config>
using Row = std::optional<Config> (*)(const Any&, const std::string&, TranslateContext&);

/// Nothing: `any` holds another message.
template <typename Message, typename Config>
std::optional<Config> translate_as(const Any& any, const std::string& path, TranslateContext& context) {
  const auto message = unpack<Message>(any);
  if (!message) return std::nullopt;
  return translate_filter(*message, path, context);
}

template <typename Message>
constexpr Row<config::HttpFilterConfig> kFilter = translate_as<Message, config::HttpFilterConfig>;
template <typename Message>
constexpr Row<config::RouteFilterConfig> kRouteFilter = translate_as<Message, config::RouteFilterConfig>;

std::optional<config::RouteFilterConfig> translate_route_bandwidth_limit(const Any& any, const std::string& path,
                                                                         TranslateContext& context) {
  const auto limit = unpack<http::bandwidth_limit::v3::BandwidthLimit>(any);
  if (!limit) return std::nullopt;
  return translate_bandwidth_limit_of_route(*limit, path, context);
}

template <typename... Messages>
struct FilterTypes {
  static constexpr std::array kRows = {kFilter<Messages>...};
  static bool contain(std::string_view full_name) { return ((full_name == Messages::descriptor()->full_name()) || ...); }
};

// In connection managers.
using Filters = FilterTypes<http::bandwidth_limit::v3::BandwidthLimit, http::buffer::v3::Buffer, http::compressor::v3::Compressor,
                            http::cors::v3::Cors, http::csrf::v3::CsrfPolicy, http::decompressor::v3::Decompressor,
                            http::fault::v3::HTTPFault, http::jwt_authn::v3::JwtAuthentication, http::rbac::v3::RBAC,
                            http::header_mutation::v3::HeaderMutation, http::health_check::v3::HealthCheck,
                            http::local_ratelimit::v3::LocalRateLimit>;

// On routes, virtual hosts, route configurations and weighted clusters.
constexpr std::array kRouteFilters = {
    translate_route_bandwidth_limit,
    kRouteFilter<http::buffer::v3::BufferPerRoute>,
    kRouteFilter<http::compressor::v3::CompressorPerRoute>,
    kRouteFilter<http::cors::v3::CorsPolicy>,
    kRouteFilter<http::csrf::v3::CsrfPolicy>,
    kRouteFilter<http::fault::v3::HTTPFault>,
    kRouteFilter<http::jwt_authn::v3::PerRouteConfig>,
    kRouteFilter<http::rbac::v3::RBACPerRoute>,
    kRouteFilter<http::header_mutation::v3::HeaderMutationPerRoute>,
    kRouteFilter<http::local_ratelimit::v3::LocalRateLimit>,
};

template <typename Rows>
auto translate_by(const Rows& rows, const Any& config, const std::string& path, TranslateContext& context) {
  auto out = rows.front()(config, path, context);
  for (auto row = rows.begin() + 1; !out && row != rows.end(); ++row) out = (*row)(config, path, context);
  return out;
}

// In an envoy.config.route.v3.FilterConfig or bare. False: it is optional and of a type that we do not know; check_fields()
// warns.
bool translate_route_filter(const Any& any, const std::string& path, config::RouteFilter& out, TranslateContext& context) {
  const auto wrapper = unpack<envoy::config::route::v3::FilterConfig>(any);
  if (wrapper) {
    out.disabled = wrapper->disabled();
    if (!wrapper->has_config()) return true;
  }
  const Any& config = wrapper ? wrapper->config() : any;
  const std::string config_path = wrapper ? join_path(path, "config") : path;
  auto translated = translate_by(kRouteFilters, config, config_path, context);
  if (translated) {
    out.config = std::move(*translated);
    return true;
  }
  if (wrapper && wrapper->is_optional()) return false;
  context.diagnostics.error(config_path,
                            "the type \"" + config.type_url() + "\" is not one that a route can give to an HTTP filter");
  return true;
}

}  // namespace

std::optional<config::HttpFilterConfig> translate_http_filter(const Any& config, const std::string& path,
                                                              TranslateContext& context) {
  auto out = translate_by(Filters::kRows, config, path, context);
  if (!out) {
    const auto& url = config.type_url();
    context.diagnostics.error(path,
                              url.empty() ? "must be set" : "the type \"" + url + "\" is not an HTTP filter that is supported");
  }
  return out;
}

bool is_http_filter(std::string_view message) { return Filters::contain(message); }

config::RouteFilters translate_route_filters(const google::protobuf::Map<std::string, Any>& filters, const std::string& path,
                                             TranslateContext& context) {
  config::RouteFilters out;
  for (const auto& [name, any] : filters) {
    config::RouteFilter filter;
    filter.name = name;
    if (translate_route_filter(any, key_path(path, name), filter, context)) out.entries.push_back(std::move(filter));
  }
  return out;
}

}  // namespace millrace::agent
