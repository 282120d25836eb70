// Which route table a request has, where a connection manager has several. Pure. Source:
// envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.
#pragma once

#include <optional>
#include <string_view>

#include "config/model/listener.h"
#include "config/model/scoped_routes.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

/// What `fragment` reads of the request; nothing: it is not there.
[[nodiscard]] std::optional<std::string_view> scope_fragment(const config::ScopeFragment& fragment,
                                                             const http::RequestHead& head);

/// The table of the request as it is now. Null: it is in no scope, or the routes of its scope have not come.
[[nodiscard]] const config::RouteTable* route_table_of(const config::HttpConnectionManager& manager,
                                                       const http::RequestHead& head);

}  // namespace millrace::proxy
