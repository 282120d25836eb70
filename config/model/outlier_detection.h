// When endpoints that fail are left out for a while. Source: envoy.config.cluster.v3.OutlierDetection.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::config {

/// A run of failures. A count of 0 never ends an endpoint's service.
struct ConsecutiveFailures {
  std::uint32_t count = 5;
  std::uint32_t enforcing_percent = 100;  ///< how often one that is detected is ejected; 0 to 100
};

struct OutlierDetection {
  Duration interval = Duration::seconds(10);            ///< of looking at rates, and at who may come back; above zero
  Duration base_ejection_time = Duration::seconds(30);  ///< times the ejections in a row
  Duration max_ejection_time = Duration::seconds(300);  ///< at least base_ejection_time
  Duration max_ejection_time_jitter;
  std::uint32_t max_ejection_percent = 10;  ///< of the cluster's endpoints
  bool always_eject_one_host = false;       ///< whatever max_ejection_percent says
  /// Failures of ours (no connection, resets, timeouts) count apart from what endpoints answer.
  bool split_external_local_origin_errors = false;
  bool return_on_health_check = true;  ///< successful_active_health_check_uneject_host

  ConsecutiveFailures consecutive_5xx;
  ConsecutiveFailures consecutive_gateway_failure = {.count = 5, .enforcing_percent = 0};
  ConsecutiveFailures consecutive_local_origin_failure;  ///< only where they are split

  /// Endpoints whose success rate is below the mean less `stdev_factor` standard deviations.
  struct SuccessRate {
    std::uint32_t minimum_hosts = 5;
    std::uint32_t request_volume = 100;  ///< in one interval
    std::uint32_t stdev_factor = 1'900;  ///< thousandths
    std::uint32_t enforcing_percent = 100;
    std::uint32_t enforcing_local_origin_percent = 100;
  } success_rate;

  /// Endpoints of whose requests at least `threshold` percent fail.
  struct FailurePercentage {
    std::uint32_t threshold = 85;
    std::uint32_t minimum_hosts = 5;
    std::uint32_t request_volume = 50;  ///< in one interval
    std::uint32_t enforcing_percent = 0;
    std::uint32_t enforcing_local_origin_percent = 0;
  } failure_percentage;
};

}  // namespace millrace::config
