// Scopes that come by themselves (SRDS): which of them listeners need, which routes these need, and a connection manager with
// those of now.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/model/listener.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/translate.h"

namespace millrace::agent {

/// Where the connection managers of a listener have their scopes from, by source_key().
using ScopeSources = std::map<std::string, envoy::config::core::v3::ConfigSource>;
[[nodiscard]] ScopeSources scope_sources(const ListenerMessage& listener);

/// All that a source has, by name. What has not changed is the same object.
using ScopeSet = std::shared_ptr<const std::vector<ResourcePtr<ScopeMessage>>>;
/// By source; one that is not there has not come yet.
using Scopes = std::map<std::string, ScopeSet>;
/// Brings `scopes` from what `before` held to what `now` holds.
void update_scopes(Scopes& scopes, const Resources& before, const Resources& now);

/// Adds the routes of scopes, those in the listener included.
void add_scope_routes(const ListenerMessage& listener, const Scopes& scopes, RouteSources& out);

/// What fill_scopes() needs of the world.
struct ScopeUse {
  const Scopes& scopes;
  /// Has it come with this change?
  std::function<bool(const ResourcePtr<ScopeMessage>&)> is_new;
  /// Runs a translation whose errors are about what has that origin.
  std::function<void(const ResourceOrigin&, const std::function<void(TranslateContext&)>&)> about;
  /// The table of a route configuration; null: it has not come.
  std::function<std::shared_ptr<const config::RouteTable>(const ResourceKey&)> routes;
};

/// Puts what has come into `http`, which has scoped routes.
void fill_scopes(config::HttpConnectionManager& http, const ScopeUse& use);

}  // namespace millrace::agent
