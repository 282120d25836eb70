#include "control-agent/translate_scoped_routes.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "control-agent/discovery/resources.h"
#include "control-agent/translate_common.h"
#include "control-agent/xds/server_plan.h"
#include "dataplane/base/limits.h"

namespace millrace::agent {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using Extractor = hcm::ScopedRoutes::ScopeKeyBuilder::FragmentBuilder::HeaderValueExtractor;

namespace {

config::ScopeFragment translate_fragment(const Extractor& extractor, const std::string& path, TranslateContext& context) {
  config::ScopeFragment out{.header = lower(extractor.name()), .element_separator = extractor.element_separator()};
  switch (extractor.extract_type_case()) {
    case Extractor::kIndex:
      out.index = extractor.index();
      if (out.index > 0 && out.element_separator.empty())
        context.diagnostics.error(join_path(path, "index"), "needs an element_separator to count elements by");
      break;
    case Extractor::kElement: out.pair = {.key = extractor.element().key(), .separator = extractor.element().separator()}; break;
    case Extractor::EXTRACT_TYPE_NOT_SET:
      context.diagnostics.error(path, "must have an index or an element: which part of the value is taken");
      break;
  }
  return out;
}

void translate_fragments(const hcm::ScopedRoutes::ScopeKeyBuilder& builder, const std::string& path, config::ScopedRoutes& out,
                         TranslateContext& context) {
  const std::string list = join_path(path, "fragments");
  if (static_cast<std::size_t>(builder.fragments_size()) > limits::kMaxScopeFragments)
    context.diagnostics.error(list, "must be at most " + std::to_string(limits::kMaxScopeFragments));
  for (int i = 0; i < builder.fragments_size(); ++i) {
    const std::string at = join_path(index_path(list, static_cast<std::size_t>(i)), "header_value_extractor");
    out.fragments.push_back(translate_fragment(builder.fragments(i).header_value_extractor(), at, context));
  }
}

}  // namespace

std::shared_ptr<const config::ScopedRoutes> translate_scoped_routes(const hcm::ScopedRoutes& scoped, const std::string& path,
                                                                    TranslateContext& context) {
  auto out = std::make_shared<config::ScopedRoutes>();
  out->name = scoped.name();
  translate_fragments(scoped.scope_key_builder(), join_path(path, "scope_key_builder"), *out, context);
  out->route_config_source = source_key(scoped.rds_config_source());
  check_config_source(scoped.rds_config_source(), join_path(path, "rds_config_source"), context.bootstrap, context.diagnostics);
  const auto& list = scoped.scoped_route_configurations_list().scoped_route_configurations();
  const auto is_named = [](const auto& scope) { return !scope.route_configuration_name().empty(); };
  if (!scoped.has_rds_config_source() && (scoped.has_scoped_rds() || std::ranges::any_of(list, is_named)))
    context.diagnostics.error(join_path(path, "rds_config_source"), "must be set: it says where the routes of scopes come from");
  if (scoped.has_scoped_rds()) {
    out->is_discovered = true;
    const auto& source = scoped.scoped_rds().scoped_rds_config_source();
    out->source = source_key(source);
    check_config_source(source, join_path(path, "scoped_rds.scoped_rds_config_source"), context.bootstrap, context.diagnostics);
    return out;
  }
  const std::string list_path = join_path(path, "scoped_route_configurations_list.scoped_route_configurations");
  for (int i = 0; i < list.size(); ++i)
    out->scopes.push_back(translate_scope(list[i], index_path(list_path, static_cast<std::size_t>(i)), context));
  for (const auto& [one, other] : order_scopes(*out))
    context.diagnostics.error(list_path, "the scopes \"" + one + "\" and \"" + other + "\" have the same key");
  return out;
}

config::Scope translate_scope(const envoy::config::route::v3::ScopedRouteConfiguration& scope, const std::string& path,
                              TranslateContext& context) {
  config::Scope out{.name = scope.name(), .key = {}, .routes = nullptr, .route_config_name = scope.route_configuration_name()};
  for (const auto& fragment : scope.key().fragments()) out.key.push_back(fragment.string_key());
  const bool is_named = !out.route_config_name.empty();
  if (is_named == scope.has_route_configuration())
    context.diagnostics.error(
        join_path(path, "route_configuration_name"),
        is_named ? "cannot be set together with route_configuration: choose one" : "must be set, or else route_configuration");
  if (scope.has_route_configuration())
    out.routes = translate_routes(scope.route_configuration(), join_path(path, "route_configuration"), true, context);
  return out;
}

std::vector<std::pair<std::string, std::string>> order_scopes(config::ScopedRoutes& scoped) {
  scoped.sort();
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t i = 1; i < scoped.scopes.size(); ++i) {
    if (scoped.scopes[i].key == scoped.scopes[i - 1].key) out.emplace_back(scoped.scopes[i - 1].name, scoped.scopes[i].name);
  }
  return out;
}

}  // namespace millrace::agent
