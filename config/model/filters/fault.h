// Faults that are injected on purpose. Source: envoy.extensions.filters.http.fault.v3.HTTPFault.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model/matcher.h"
#include "dataplane/base/time.h"

namespace millrace::config {

/// The same in the connection manager and for a route, which replaces it as a whole.
struct Fault {
  /// One kind of fault: how often, and whether requests themselves say how much.
  struct Injection {
    Fraction percentage = {0, 100};
    bool by_header = false;  ///< x-envoy-fault-*-request says what; and how often, up to `percentage`
  };
  struct Delay : Injection {
    Duration fixed;  ///< unless by_header
  };
  struct Abort : Injection {
    std::uint16_t http_status = 0;             ///< unless by_header or a grpc_status
    std::optional<std::uint32_t> grpc_status;  ///< 0 to 16
  };
  struct RateLimit : Injection {
    std::uint64_t kibibytes_per_second = 0;  ///< at least 1, unless by_header
  };

  std::optional<Delay> delay;
  std::optional<Abort> abort;
  std::optional<RateLimit> response_rate_limit;
  std::string upstream_cluster;               ///< only for requests that go there; empty: all
  std::vector<HeaderMatcher> headers;         ///< all have to match
  std::vector<std::string> downstream_nodes;  ///< x-envoy-downstream-service-node has to be one of them; empty: whatever it is
  std::optional<std::uint32_t> max_active;    ///< faults at a time, over all workers; nothing: no limit

  [[nodiscard]] bool does_nothing() const { return !delay && !abort && !response_rate_limit; }
};

}  // namespace millrace::config
