#include "control-agent/discovery/scoped_routes.h"

#include <algorithm>
#include <set>
#include <utility>

#include "control-agent/discovery/connection_managers.h"
#include "control-agent/translate_scoped_routes.h"

namespace millrace::agent {
namespace {

const ResourcePtr<ScopeMessage>& find_scope(const ScopeSet& scopes, const std::string& name) {
  return *std::ranges::find(*scopes, name, [](const auto& scope) -> const std::string& { return scope->name; });
}

/// Those of `source`, in `scoped`.
void take_scopes(config::ScopedRoutes& scoped, const std::string& stat_prefix, const ScopeSet& scopes, const ScopeUse& use) {
  for (const ResourcePtr<ScopeMessage>& scope : *scopes) {
    use.about(scope->origin(), [&](TranslateContext& context) {
      context.http_stat_prefix = context.stat_prefix = stat_prefix;
      scoped.scopes.push_back(translate_scope(scope->message(), scope->path(), context));
    });
  }
  for (const auto& [one, other] : order_scopes(scoped)) {
    const ResourcePtr<ScopeMessage>& second = find_scope(scopes, other);
    const ResourcePtr<ScopeMessage>& at_fault = use.is_new(second) ? second : find_scope(scopes, one);
    use.about(at_fault->origin(), [&](TranslateContext& context) {
      context.diagnostics.error(join_path(at_fault->path(), "key"),
                                "the scopes \"" + one + "\" and \"" + other + "\" have the same key");
    });
  }
}

}  // namespace

ScopeSources scope_sources(const ListenerMessage& listener) {
  ScopeSources out;
  for_each_manager(listener, [&](const auto& manager) {
    if (!manager.scoped_routes().has_scoped_rds()) return;
    const auto& source = manager.scoped_routes().scoped_rds().scoped_rds_config_source();
    out.emplace(source_key(source), source);
  });
  return out;
}

void update_scopes(Scopes& scopes, const Resources& before, const Resources& now) {
  std::set<std::string> changed;
  using Table = decltype(Resources::scopes);
  Table::for_each_change(before.scopes, now.scopes,
                         [&](const ResourceKey& key, const auto*, const auto*) { changed.insert(key.source); });
  std::erase_if(scopes, [&](const auto& entry) { return !now.known_scopes.contains(entry.first); });
  for (const std::string& source : now.known_scopes) {
    if (scopes.contains(source) && !changed.contains(source)) continue;
    std::vector<ResourcePtr<ScopeMessage>> all;
    for (const auto& [key, scope] : now.scopes) {
      if (key.source == source) all.push_back(scope);
    }
    std::ranges::sort(all, {}, [](const auto& scope) -> const std::string& { return scope->name; });
    scopes[source] = std::make_shared<const std::vector<ResourcePtr<ScopeMessage>>>(std::move(all));
  }
}

void add_scope_routes(const ListenerMessage& listener, const Scopes& scopes, RouteSources& out) {
  for_each_manager(listener, [&](const auto& manager) {
    if (!manager.has_scoped_routes()) return;
    const auto& scoped = manager.scoped_routes();
    const auto add = [&](const ScopeMessage& scope) {
      if (scope.route_configuration_name().empty()) return;
      out.emplace(ResourceKey{source_key(scoped.rds_config_source()), scope.route_configuration_name()},
                  scoped.rds_config_source());
    };
    for (const ScopeMessage& scope : scoped.scoped_route_configurations_list().scoped_route_configurations()) add(scope);
    if (!scoped.has_scoped_rds()) return;
    const auto found = scopes.find(source_key(scoped.scoped_rds().scoped_rds_config_source()));
    if (found == scopes.end()) return;
    for (const ResourcePtr<ScopeMessage>& scope : *found->second) add(scope->message());
  });
}

void fill_scopes(config::HttpConnectionManager& http, const ScopeUse& use) {
  auto scoped = std::make_shared<config::ScopedRoutes>(*http.scoped);
  if (scoped->is_discovered) {
    scoped->scopes.clear();
    if (const auto found = use.scopes.find(scoped->source); found != use.scopes.end())
      take_scopes(*scoped, http.stat_prefix, found->second, use);
  }
  for (config::Scope& scope : scoped->scopes) {
    if (!scope.route_config_name.empty()) scope.routes = use.routes({scoped->route_config_source, scope.route_config_name});
  }
  http.scoped = std::move(scoped);
}

}  // namespace millrace::agent
