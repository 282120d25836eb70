#include <algorithm>
#include <utility>

#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_rate_limit.h"

namespace millrace::agent {

using envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;
namespace ratelimit = envoy::extensions::common::ratelimit::v3;

namespace {

constexpr int kLeastStatus = 400;

std::vector<config::LocalRateLimit::Descriptor> translate_descriptors(const LocalRateLimit& limit, const std::string& path,
                                                                      TranslateContext& context) {
  std::vector<config::LocalRateLimit::Descriptor> out;
  for (int i = 0; i < limit.descriptors_size(); ++i) {
    const std::string descriptor_path = index_path(path, static_cast<std::size_t>(i));
    config::LocalRateLimit::Descriptor descriptor;
    for (const auto& entry : limit.descriptors(i).entries()) descriptor.entries.emplace_back(entry.key(), entry.value());
    if (std::ranges::find(out, descriptor.entries, &config::LocalRateLimit::Descriptor::entries) != out.end())
      context.diagnostics.error(descriptor_path, "has the entries of one before it: give each descriptor once");
    descriptor.bucket =
        translate_token_bucket(limit.descriptors(i).token_bucket(), join_path(descriptor_path, "token_bucket"), context);
    out.push_back(std::move(descriptor));
  }
  std::ranges::sort(out, {}, &config::LocalRateLimit::Descriptor::entries);
  return out;
}

config::LocalRateLimit::VirtualHostLimits translate_virtual_host_limits(ratelimit::VhRateLimitsOptions option) {
  using Limits = config::LocalRateLimit::VirtualHostLimits;
  switch (option) {
    case ratelimit::INCLUDE: return Limits::kAlways;
    case ratelimit::IGNORE: return Limits::kNever;
    default: return Limits::kUnlessRouteHasSome;
  }
}

}  // namespace

config::LocalRateLimit translate_filter(const LocalRateLimit& limit, const std::string& path, TranslateContext& context) {
  config::LocalRateLimit out;
  if (limit.status().code() >= kLeastStatus) out.status = static_cast<std::uint16_t>(limit.status().code());
  if (limit.has_token_bucket())
    out.bucket = translate_token_bucket(limit.token_bucket(), join_path(path, "token_bucket"), context);
  out.descriptors = translate_descriptors(limit, join_path(path, "descriptors"), context);
  if (limit.has_filter_enabled()) out.enabled = translate_fraction(limit.filter_enabled(), context);
  if (limit.has_filter_enforced()) out.enforced = translate_fraction(limit.filter_enforced(), context);
  if (!limit.has_token_bucket() && out.enabled.numerator > 0)
    context.diagnostics.error(join_path(path, "token_bucket"), "must be set where filter_enabled is above 0%");
  out.unenforced_request_add =
      translate_header_options(limit.request_headers_to_add_when_not_enforced(),
                               join_path(path, "request_headers_to_add_when_not_enforced"), context.diagnostics);
  out.limited_response_add =
      translate_header_options(limit.response_headers_to_add(), join_path(path, "response_headers_to_add"), context.diagnostics);
  out.stage = limit.stage();
  out.virtual_host = translate_virtual_host_limits(limit.vh_rate_limits());
  if (limit.has_always_consume_default_token_bucket())
    out.always_takes_default = limit.always_consume_default_token_bucket().value();
  out.per_connection = limit.local_rate_limit_per_downstream_connection();
  out.tells_limits = limit.enable_x_ratelimit_headers() == ratelimit::DRAFT_VERSION_03;
  out.resource_exhausted = limit.rate_limited_as_resource_exhausted();
  out.cell = context.cells.local_rate_limits.get(limit.stat_prefix());
  return out;
}

}  // namespace millrace::agent
