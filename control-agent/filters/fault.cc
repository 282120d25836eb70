#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace faults = envoy::extensions::filters::common::fault::v3;
using envoy::extensions::filters::http::fault::v3::FaultAbort;
using envoy::extensions::filters::http::fault::v3::HTTPFault;

namespace {

constexpr std::uint32_t kLastGrpcStatus = 16;

config::Fault::Delay translate_delay(const faults::FaultDelay& delay, const std::string& path, Diagnostics& diagnostics) {
  config::Fault::Delay out;
  out.percentage = translate_fraction(delay.percentage());
  out.by_header = delay.has_header_delay();
  if (delay.has_fixed_delay()) out.fixed = translate_duration(delay.fixed_delay(), join_path(path, "fixed_delay"), diagnostics);
  return out;
}

config::Fault::Abort translate_abort(const FaultAbort& abort, const std::string& path, Diagnostics& diagnostics) {
  config::Fault::Abort out;
  out.percentage = translate_fraction(abort.percentage());
  switch (abort.error_type_case()) {
    case FaultAbort::kHttpStatus: out.http_status = static_cast<std::uint16_t>(abort.http_status()); break;
    case FaultAbort::kGrpcStatus:
      out.grpc_status = abort.grpc_status();
      if (abort.grpc_status() > kLastGrpcStatus) {
        diagnostics.error(join_path(path, "grpc_status"),
                          "must be a status of gRPC, 0 to 16, is " + std::to_string(abort.grpc_status()));
      }
      break;
    default: out.by_header = true;
  }
  return out;
}

config::Fault::RateLimit translate_rate(const faults::FaultRateLimit& limit) {
  config::Fault::RateLimit out;
  out.percentage = translate_fraction(limit.percentage());
  out.by_header = limit.has_header_limit();
  out.kibibytes_per_second = limit.fixed_limit().limit_kbps();
  return out;
}

}  // namespace

config::Fault translate_filter(const HTTPFault& fault, const std::string& path, TranslateContext& context) {
  config::Fault out;
  if (fault.has_delay()) out.delay = translate_delay(fault.delay(), join_path(path, "delay"), context.diagnostics);
  if (fault.has_abort()) out.abort = translate_abort(fault.abort(), join_path(path, "abort"), context.diagnostics);
  if (fault.has_response_rate_limit()) out.response_rate_limit = translate_rate(fault.response_rate_limit());
  out.upstream_cluster = fault.upstream_cluster();
  out.headers = translate_header_matchers(fault.headers(), join_path(path, "headers"), context);
  out.downstream_nodes.assign(fault.downstream_nodes().begin(), fault.downstream_nodes().end());
  if (fault.has_max_active_faults()) out.max_active = fault.max_active_faults().value();
  return out;
}

}  // namespace millrace::agent
