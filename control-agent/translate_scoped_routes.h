// scoped_routes of a connection manager -> config::ScopedRoutes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model/scoped_routes.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/scoped_route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

/// Scopes that are discovered, and routes that are, come later (discovery/scoped_routes.h).
[[nodiscard]] std::shared_ptr<const config::ScopedRoutes> translate_scoped_routes(
    const envoy::extensions::filters::network::http_connection_manager::v3::ScopedRoutes& scoped, const std::string& path,
    TranslateContext& context);

[[nodiscard]] config::Scope translate_scope(const envoy::config::route::v3::ScopedRouteConfiguration& scope,
                                            const std::string& path, TranslateContext& context);

/// Makes the scopes ready to be found. The names of those that have one key, in pairs; empty: the keys differ.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> order_scopes(config::ScopedRoutes& scoped);

}  // namespace millrace::agent
