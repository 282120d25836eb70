#include <algorithm>

#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

using envoy::extensions::filters::http::bandwidth_limit::v3::BandwidthLimit;

namespace {

constexpr std::uint64_t kBytesPerKibibyte = 1024;
constexpr std::uint64_t kMostKibibytes = std::uint64_t{1} << 30;  // a second: more than any network here carries

}  // namespace

// A limit may be missing where routes have limits of their own; what it were to limit then passes, and is counted.
config::BandwidthLimit translate_filter(const BandwidthLimit& limit, const std::string& path, TranslateContext& context) {
  config::BandwidthLimit out;
  if (!limit.has_runtime_enabled() || translate_flag(limit.runtime_enabled(), context)) {
    out.limits_requests = (limit.enable_mode() & BandwidthLimit::REQUEST) != 0;
    out.limits_responses = (limit.enable_mode() & BandwidthLimit::RESPONSE) != 0;
  }
  out.bytes_per_second =
      (limit.has_limit_kbps() ? std::min<std::uint64_t>(limit.limit_kbps().value(), kMostKibibytes) : kMostKibibytes) *
      kBytesPerKibibyte;
  if (limit.has_fill_interval())
    out.fill_interval = translate_duration(limit.fill_interval(), join_path(path, "fill_interval"), context.diagnostics);
  out.rate = context.cells.byte_rates.get(path + "|" + std::to_string(out.bytes_per_second));
  out.cell = context.cells.bandwidth_limits.get(limit.stat_prefix());
  return out;
}

config::BandwidthLimit translate_bandwidth_limit_of_route(const BandwidthLimit& limit, const std::string& path,
                                                          TranslateContext& context) {
  if (!limit.has_limit_kbps()) context.diagnostics.error(join_path(path, "limit_kbps"), "must be set for a route");
  return translate_filter(limit, path, context);
}

}  // namespace millrace::agent
