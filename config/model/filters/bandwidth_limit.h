// Limits of how fast bodies pass. Source: envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"

namespace millrace::config {

/// The same in the connection manager and for a route, which replaces it as a whole.
struct BandwidthLimit {
  bool limits_requests = false;
  bool limits_responses = false;
  std::uint64_t bytes_per_second = 0;  ///< of both together, over all workers; at least 1 where there is something to limit
  Duration fill_interval = Duration::milliseconds(50);  ///< after which what waits tries again
  std::shared_ptr<report::ByteRateCell> rate;
  std::shared_ptr<report::BandwidthLimitCell> cell;
};

}  // namespace millrace::config
