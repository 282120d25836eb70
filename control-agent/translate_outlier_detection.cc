#include "control-agent/translate_outlier_detection.h"

#include <algorithm>
#include <string_view>

#include "control-agent/translate_common.h"

namespace millrace::agent {

using envoy::config::cluster::v3::OutlierDetection;

namespace {

constexpr auto kTenYears = Duration::seconds(10LL * 365 * 86'400);  // longer ones end no sooner, and cannot be multiplied

// Keeps its default where `is_set` says that nothing else is wanted.
void read(std::uint32_t& out, bool is_set, const google::protobuf::UInt32Value& value) {
  if (is_set) out = value.value();
}

void translate_times(const OutlierDetection& source, const std::string& path, config::OutlierDetection& out,
                     Diagnostics& diagnostics) {
  const auto duration = [&](const google::protobuf::Duration& value, std::string_view field) {
    return std::min(translate_duration(value, join_path(path, field), diagnostics), kTenYears);
  };
  if (source.has_interval()) out.interval = duration(source.interval(), "interval");
  if (source.has_base_ejection_time()) out.base_ejection_time = duration(source.base_ejection_time(), "base_ejection_time");
  if (source.has_max_ejection_time()) {
    out.max_ejection_time = duration(source.max_ejection_time(), "max_ejection_time");
    if (out.max_ejection_time < out.base_ejection_time)
      diagnostics.error(join_path(path, "max_ejection_time"), "must not be less than base_ejection_time");
  } else {
    out.max_ejection_time = std::max(out.max_ejection_time, out.base_ejection_time);
  }
  if (source.has_max_ejection_time_jitter())
    out.max_ejection_time_jitter = duration(source.max_ejection_time_jitter(), "max_ejection_time_jitter");
}

void translate_consecutive(const OutlierDetection& source, config::OutlierDetection& out) {
  read(out.consecutive_5xx.count, source.has_consecutive_5xx(), source.consecutive_5xx());
  read(out.consecutive_5xx.enforcing_percent, source.has_enforcing_consecutive_5xx(), source.enforcing_consecutive_5xx());
  read(out.consecutive_gateway_failure.count, source.has_consecutive_gateway_failure(), source.consecutive_gateway_failure());
  read(out.consecutive_gateway_failure.enforcing_percent, source.has_enforcing_consecutive_gateway_failure(),
       source.enforcing_consecutive_gateway_failure());
  read(out.consecutive_local_origin_failure.count, source.has_consecutive_local_origin_failure(),
       source.consecutive_local_origin_failure());
  read(out.consecutive_local_origin_failure.enforcing_percent, source.has_enforcing_consecutive_local_origin_failure(),
       source.enforcing_consecutive_local_origin_failure());
}

void translate_rates(const OutlierDetection& source, config::OutlierDetection& out) {
  auto& rate = out.success_rate;
  read(rate.minimum_hosts, source.has_success_rate_minimum_hosts(), source.success_rate_minimum_hosts());
  read(rate.request_volume, source.has_success_rate_request_volume(), source.success_rate_request_volume());
  read(rate.stdev_factor, source.has_success_rate_stdev_factor(), source.success_rate_stdev_factor());
  read(rate.enforcing_percent, source.has_enforcing_success_rate(), source.enforcing_success_rate());
  read(rate.enforcing_local_origin_percent, source.has_enforcing_local_origin_success_rate(),
       source.enforcing_local_origin_success_rate());

  auto& failures = out.failure_percentage;
  read(failures.threshold, source.has_failure_percentage_threshold(), source.failure_percentage_threshold());
  read(failures.minimum_hosts, source.has_failure_percentage_minimum_hosts(), source.failure_percentage_minimum_hosts());
  read(failures.request_volume, source.has_failure_percentage_request_volume(), source.failure_percentage_request_volume());
  read(failures.enforcing_percent, source.has_enforcing_failure_percentage(), source.enforcing_failure_percentage());
  read(failures.enforcing_local_origin_percent, source.has_enforcing_failure_percentage_local_origin(),
       source.enforcing_failure_percentage_local_origin());
}

}  // namespace

config::OutlierDetection translate_outlier_detection(const OutlierDetection& detection, const std::string& path,
                                                     Diagnostics& diagnostics) {
  config::OutlierDetection out;
  translate_times(detection, path, out, diagnostics);
  translate_consecutive(detection, out);
  translate_rates(detection, out);
  read(out.max_ejection_percent, detection.has_max_ejection_percent(), detection.max_ejection_percent());
  out.always_eject_one_host = detection.always_eject_one_host().value();
  out.split_external_local_origin_errors = detection.split_external_local_origin_errors();
  if (detection.has_successful_active_health_check_uneject_host())
    out.return_on_health_check = detection.successful_active_health_check_uneject_host().value();
  return out;
}

}  // namespace millrace::agent
