// What a filter chain asks of a connection before it serves it. The filters that serve are in listener.h.
// Source: envoy.config.listener.v3.Filter.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>

#include "config/model/rate_limit.h"
#include "config/model/rbac.h"
#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"

namespace millrace::config {

/// envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit
struct ConnectionLimit {
  bool enabled = true;
  std::uint64_t max_connections = 1;                   ///< of the filter chain, over all workers
  Duration delay;                                      ///< for which one that is too many is held; zero: it ends at once
  std::shared_ptr<report::ConnectionTotalCell> total;  ///< of this very filter
  std::shared_ptr<report::ConnectionLimitCell> cell;
};

/// envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit: each connection takes a token.
struct ConnectionRateLimit {
  bool enabled = true;
  RateLimitBucket bucket;
  std::shared_ptr<report::NetworkRateLimitCell> cell;
};

using NetworkFilter = std::variant<Rbac, ConnectionLimit, ConnectionRateLimit>;

}  // namespace millrace::config
