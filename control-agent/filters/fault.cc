#include <algorithm>
#include <limits>

#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace faults = envoy::extensions::filters::common::fault::v3;
using envoy::extensions::filters::http::fault::v3::FaultAbort;
using envoy::extensions::filters::http::fault::v3::HTTPFault;

namespace {

constexpr std::uint32_t kLastGrpcStatus = 16;
constexpr std::uint64_t kFirstHttpStatus = 200;
constexpr std::uint64_t kLastHttpStatus = 599;

// Where a fault names no key of the runtime these are asked, as in Envoy.
std::string key_of(const std::string& given, const char* otherwise) { return given.empty() ? otherwise : given; }

config::Fault::Delay translate_delay(const HTTPFault& fault, const std::string& path, TranslateContext& context) {
  const faults::FaultDelay& delay = fault.delay();
  config::Fault::Delay out;
  out.percentage = runtime_fraction(key_of(fault.delay_percent_runtime(), "fault.http.delay.fixed_delay_percent"),
                                    translate_fraction(delay.percentage()), context);
  out.by_header = delay.has_header_delay();
  if (!delay.has_fixed_delay()) return out;
  const Duration fixed = translate_duration(delay.fixed_delay(), join_path(path, "fixed_delay"), context.diagnostics);
  const auto milliseconds = static_cast<std::uint64_t>(fixed.to_milliseconds());
  const std::uint64_t wanted = std::min<std::uint64_t>(
      runtime_number(key_of(fault.delay_duration_runtime(), "fault.http.delay.fixed_duration_ms"), milliseconds, context),
      std::numeric_limits<std::uint32_t>::max());
  out.fixed = wanted == milliseconds ? fixed : Duration::milliseconds(static_cast<std::int64_t>(wanted));
  return out;
}

config::Fault::Abort translate_abort(const HTTPFault& fault, const std::string& path, TranslateContext& context) {
  const FaultAbort& abort = fault.abort();
  config::Fault::Abort out;
  out.percentage = runtime_fraction(key_of(fault.abort_percent_runtime(), "fault.http.abort.abort_percent"),
                                    translate_fraction(abort.percentage()), context);
  switch (abort.error_type_case()) {
    case FaultAbort::kHttpStatus: {
      const std::uint64_t wanted =
          runtime_number(key_of(fault.abort_http_status_runtime(), "fault.http.abort.http_status"), abort.http_status(), context);
      const bool is_status = wanted >= kFirstHttpStatus && wanted <= kLastHttpStatus;
      out.http_status = static_cast<std::uint16_t>(is_status ? wanted : abort.http_status());
      break;
    }
    case FaultAbort::kGrpcStatus: {
      if (abort.grpc_status() > kLastGrpcStatus) {
        context.diagnostics.error(join_path(path, "grpc_status"),
                                  "must be a status of gRPC, 0 to 16, is " + std::to_string(abort.grpc_status()));
      }
      const std::uint64_t wanted =
          runtime_number(key_of(fault.abort_grpc_status_runtime(), "fault.http.abort.grpc_status"), abort.grpc_status(), context);
      out.grpc_status = wanted <= kLastGrpcStatus ? static_cast<std::uint32_t>(wanted) : abort.grpc_status();
      break;
    }
    default: out.by_header = true;
  }
  return out;
}

config::Fault::RateLimit translate_rate(const HTTPFault& fault, TranslateContext& context) {
  const faults::FaultRateLimit& limit = fault.response_rate_limit();
  config::Fault::RateLimit out;
  out.percentage = runtime_fraction(key_of(fault.response_rate_limit_percent_runtime(), "fault.http.rate_limit.response_percent"),
                                    translate_fraction(limit.percentage()), context);
  out.by_header = limit.has_header_limit();
  out.kibibytes_per_second = limit.fixed_limit().limit_kbps();
  return out;
}

std::optional<std::uint32_t> translate_max_active(const HTTPFault& fault, TranslateContext& context) {
  constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t most =
      runtime_number(key_of(fault.max_active_faults_runtime(), "fault.http.max_active_faults"),
                     fault.has_max_active_faults() ? fault.max_active_faults().value() : kNoLimit, context);
  if (most > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(most);
}

}  // namespace

config::Fault translate_filter(const HTTPFault& fault, const std::string& path, TranslateContext& context) {
  config::Fault out;
  if (fault.has_delay()) out.delay = translate_delay(fault, join_path(path, "delay"), context);
  if (fault.has_abort()) out.abort = translate_abort(fault, join_path(path, "abort"), context);
  if (fault.has_response_rate_limit()) out.response_rate_limit = translate_rate(fault, context);
  out.upstream_cluster = fault.upstream_cluster();
  out.headers = translate_header_matchers(fault.headers(), join_path(path, "headers"), context);
  out.downstream_nodes.assign(fault.downstream_nodes().begin(), fault.downstream_nodes().end());
  out.max_active = translate_max_active(fault, context);
  return out;
}

}  // namespace millrace::agent
