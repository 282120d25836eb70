// The HTTP filters of a connection manager, in the order in which requests pass them, and what routes say of them. Each filter is
// one alternative of the two variants; the router, always the last, is not among them.
// Source: envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter, typed_per_filter_config.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/model/filters/answer_health_checks.h"
#include "config/model/filters/bandwidth_limit.h"
#include "config/model/filters/buffer_requests.h"
#include "config/model/filters/compression.h"
#include "config/model/filters/cors.h"
#include "config/model/filters/csrf.h"
#include "config/model/filters/edit_headers.h"
#include "config/model/filters/fault.h"
#include "config/model/filters/jwt_authn.h"
#include "config/model/filters/local_rate_limit.h"
#include "config/model/rbac.h"

namespace millrace::config {

/// Of a filter that is discovered: nothing has come, and there is no default. Requests are answered with an error.
struct MissingConfig {};

using HttpFilterConfig = std::variant<AnswerHealthChecks, BandwidthLimit, BufferRequests, Compressor, Cors, Csrf, Decompressor,
                                      EditHeaders, Fault, JwtAuthn, LocalRateLimit, MissingConfig, Rbac>;

/// config_discovery: envoy.config.core.v3.ExtensionConfigSource. The resource has the filter's name.
struct FilterDiscovery {
  std::string source;              ///< the file; empty: a control plane
  std::vector<std::string> types;  ///< full names of messages that it may be
  HttpFilterConfig fallback;       ///< default_config, or MissingConfig
};

struct HttpFilter {
  std::string name;                                       ///< by which routes refer to it
  bool disabled = false;                                  ///< but for routes that say otherwise
  HttpFilterConfig config;                                ///< of one that is discovered: what has come, or its fallback
  std::shared_ptr<const FilterDiscovery> discovery = {};  ///< null: the configuration stands in the listener
};

/// std::monostate: it says only whether the filter is disabled.
using RouteFilterConfig = std::variant<std::monostate, BandwidthLimit, BufferRequests, CompressorOverride, CorsPolicy, Csrf,
                                       Fault, HeaderEdits, JwtAuthnPerRoute, LocalRateLimit, RbacPerRoute>;

/// An entry of typed_per_filter_config: of a route configuration, a virtual host, a route or a weighted cluster.
struct RouteFilter {
  std::string name;
  bool disabled = false;
  RouteFilterConfig config;
};

/// All entries of one level.
struct RouteFilters {
  std::vector<RouteFilter> entries;

  /// Null: this level says nothing of the filter.
  [[nodiscard]] const RouteFilter* find(std::string_view name) const {
    for (const RouteFilter& entry : entries) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }
};

}  // namespace millrace::config
