#include <algorithm>
#include <cmath>

#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

config::AnswerHealthChecks translate_filter(const envoy::extensions::filters::http::health_check::v3::HealthCheck& check,
                                            const std::string& path, TranslateContext& context) {
  config::AnswerHealthChecks out;
  out.headers = translate_header_matchers(check.headers(), join_path(path, "headers"), context);
  out.pass_through = check.pass_through_mode().value();
  out.service_cluster = context.service_cluster;
  if (check.has_cache_time()) {
    const std::string time_path = join_path(path, "cache_time");
    if (!out.pass_through) context.diagnostics.error(time_path, "has no effect without pass_through_mode: leave it out");
    out.cache_time = translate_duration(check.cache_time(), time_path, context.diagnostics);
    if (out.cache_time > Duration()) out.cache = std::make_shared<config::HealthCheckCache>();
  }
  const std::string map = join_path(path, "cluster_min_healthy_percentages");
  for (const auto& [name, percent] : check.cluster_min_healthy_percentages()) {
    out.min_healthy_percentages.emplace_back(name, static_cast<std::uint32_t>(std::trunc(percent.value())));
  }
  std::ranges::sort(out.min_healthy_percentages);
  if (out.pass_through && !out.min_healthy_percentages.empty())
    context.diagnostics.error(map, "has no effect with pass_through_mode: leave it out");
  return out;
}

}  // namespace millrace::agent
