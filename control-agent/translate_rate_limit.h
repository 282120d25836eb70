// envoy.config.route.v3.RateLimit and envoy.type.v3.TokenBucket, for routes and for filters that limit. For translate_*.cc and
// filters/ only.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "config/model/rate_limit.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/v3/token_bucket.pb.h"

namespace millrace::agent {

using RateLimits = google::protobuf::RepeatedPtrField<envoy::config::route::v3::RateLimit>;
/// `path` is that of the list.
[[nodiscard]] std::vector<config::RateLimit> translate_rate_limits(const RateLimits& rate_limits, const std::string& path,
                                                                   TranslateContext& context);

/// With a cell that it keeps as long as it stands at `path` with these limits.
[[nodiscard]] config::RateLimitBucket translate_token_bucket(const envoy::type::v3::TokenBucket& bucket, const std::string& path,
                                                             TranslateContext& context);

/// The same limits, with a cell for all that name `key`.
[[nodiscard]] config::RateLimitBucket share_token_bucket(const config::RateLimitBucket& bucket, const std::string& key,
                                                         TranslateContext& context);

}  // namespace millrace::agent
