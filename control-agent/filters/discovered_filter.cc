#include "control-agent/filters/discovered_filter.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "control-agent/discovery/resources.h"
#include "control-agent/filters/http_filters.h"
#include "control-agent/xds/server_plan.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"

namespace millrace::agent {
namespace {

using envoy::extensions::filters::http::router::v3::Router;

std::string_view type_of(std::string_view url) { return url.substr(url.rfind('/') + 1); }

void check_type(std::string_view type, const std::string& path, TranslateContext& context) {
  if (is_http_filter(type)) return;
  context.diagnostics.error(path, type == Router::descriptor()->full_name()
                                      ? "the router must stand in the listener: give it as typed_config"
                                      : "the type \"" + std::string(type) + "\" is not an HTTP filter that is supported");
}

}  // namespace

std::shared_ptr<const config::FilterDiscovery> translate_filter_discovery(
    const envoy::config::core::v3::ExtensionConfigSource& source, const std::string& path, TranslateContext& context) {
  auto out = std::make_shared<config::FilterDiscovery>();
  out->source = source_key(source.config_source());
  out->fallback = config::MissingConfig{};
  check_config_source(source.config_source(), join_path(path, "config_source"), context.bootstrap, context.diagnostics);
  for (int i = 0; i < source.type_urls_size(); ++i) {
    const std::string& type = out->types.emplace_back(type_of(source.type_urls(i)));
    check_type(type, index_path(join_path(path, "type_urls"), static_cast<std::size_t>(i)), context);
  }
  if (source.has_default_config()) {
    out->fallback = translate_discovered_filter(*out, source.default_config(), join_path(path, "default_config"), context);
  } else if (source.apply_default_config_without_warming()) {
    context.diagnostics.error(join_path(path, "apply_default_config_without_warming"), "needs a default_config to apply");
  }
  return out;
}

bool allows(const config::FilterDiscovery& discovery, const google::protobuf::Any& config) {
  return std::ranges::find(discovery.types, type_of(config.type_url())) != discovery.types.end();
}

config::HttpFilterConfig translate_discovered_filter(const config::FilterDiscovery& discovery,
                                                     const google::protobuf::Any& config, const std::string& path,
                                                     TranslateContext& context) {
  if (!allows(discovery, config)) {
    std::string types;
    for (const std::string& type : discovery.types) types += (types.empty() ? "\"" : ", \"") + type + "\"";
    context.diagnostics.error(path, "is of the type \"" + std::string(type_of(config.type_url())) +
                                        "\", but a listener that uses it permits only " + types + " (type_urls)");
    return config::MissingConfig{};
  }
  return translate_http_filter(config, path, context).value_or(config::MissingConfig{});
}

}  // namespace millrace::agent
