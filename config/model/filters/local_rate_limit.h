// Rate limits of this gateway alone. Source: envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "config/model/header_mutation.h"
#include "config/model/matcher.h"
#include "config/model/rate_limit.h"
#include "dataplane/report/cells.h"

namespace millrace::config {

/// The same in the connection manager and for a route, which replaces it as a whole.
struct LocalRateLimit {
  struct Descriptor {
    RateLimitDescriptor entries;
    RateLimitBucket bucket;
  };
  /// Whether the virtual host's descriptors count beside the route's.
  enum class VirtualHostLimits : std::uint8_t { kUnlessRouteHasSome, kAlways, kNever };

  std::uint16_t status = 429;
  std::optional<RateLimitBucket> bucket;               ///< nothing: only where it is never enabled
  std::vector<Descriptor> descriptors;                 ///< in the order of their entries, none twice
  Fraction enabled = {0, 100};                         ///< requests that count
  Fraction enforced = {0, 100};                        ///< of those that found no token, how many are answered
  std::vector<HeaderMutation> unenforced_request_add;  ///< to requests that found none and go on
  std::vector<HeaderMutation> limited_response_add;    ///< to the answers of those that do not
  std::uint32_t stage = 0;                             ///< of the descriptors that are looked at
  VirtualHostLimits virtual_host = VirtualHostLimits::kUnlessRouteHasSome;
  bool always_takes_default = true;  ///< a token of `bucket` beside that of a descriptor's
  bool per_connection = false;       ///< each client connection has buckets of its own
  bool tells_limits = false;         ///< x-ratelimit-* in responses
  bool resource_exhausted = false;   ///< what gRPC clients are told, instead of "unavailable"
  std::shared_ptr<report::LocalRateLimitCell> cell;
};

}  // namespace millrace::config
