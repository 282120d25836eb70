// What the workers of a gateway share of a cluster's outlier detection: dataplane/proxy/outlier/detector.h says what it means.
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/report/counter.h"

namespace millrace::report {

/// Results that one worker has had from one endpoint. Its success rate is that of the difference between two looks.
struct OutlierResults {
  Counter requests;
  Counter successes;
};

/// A rate of one origin of errors: that of what endpoints answer, or that of our own.
struct OutlierRate {
  std::atomic<double> percent{-1};  ///< of the last interval, 0 to 100; -1: too few requests, or ejected. Any thread may read.
  // Of whoever holds OutlierShared::lock:
  std::uint64_t seen_requests = 0;  ///< at the last look, over all workers
  std::uint64_t seen_successes = 0;
  std::uint64_t requests = 0;  ///< in the last interval
};

/// Of one endpoint.
struct OutlierRecord {
  // Failures in a row. Any worker counts, and writes 0 where it is not 0 yet.
  alignas(64) std::atomic<std::uint32_t> consecutive_5xx{0};
  std::atomic<std::uint32_t> consecutive_gateway_failure{0};
  std::atomic<std::uint32_t> consecutive_local_origin_failure{0};
  std::atomic<std::uint32_t> suspicions{0};  ///< bits: detections, or a good health check, that found the lock taken

  // Of whoever holds OutlierShared::lock:
  alignas(64) Instant ejected_at;
  Instant returned_at = Instant::never();  ///< from the last ejection; never(): there was none
  Duration jitter;                         ///< of the present ejection
  std::uint32_t ejections_in_a_row = 0;    ///< what base_ejection_time is multiplied by; falls while all is well
  OutlierRate external;
  OutlierRate local;
};

/// What success rates are compared with; -1 where an interval had too few endpoints to say.
struct OutlierThreshold {
  std::atomic<double> average{-1};
  std::atomic<double> ejection{-1};
};

/// Of one cluster.
struct OutlierShared {
  alignas(64) std::atomic<bool> lock{false};  ///< tried, never waited for on the way of a request
  std::atomic<bool> suspicious{false};        ///< an endpoint has suspicions
  std::atomic<std::uint32_t> ejected{0};      ///< endpoints; written under the lock
  OutlierThreshold external;
  OutlierThreshold local;
};

}  // namespace millrace::report
