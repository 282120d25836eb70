// What a request counts as for rate limits: descriptors. Pure. Source: envoy.config.route.v3.RateLimit.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "config/model/filters/local_rate_limit.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

struct RateLimitEntry {
  std::string_view key;
  std::string_view value;
};

/// What descriptors are made of.
struct RateLimitSubject {
  const http::RequestHead& head;
  const IpAddress& client;   ///< the trusted one
  std::string_view cluster;  ///< that the request goes to
  std::uint32_t worker = 0;  ///< which program of each config::Regex is ours
};

/// The request's descriptor; `out` is empty when it has none. False: the arena is exhausted.
[[nodiscard]] bool describe(const config::RateLimit& limit, const RateLimitSubject& subject, Arena& arena,
                            std::span<const RateLimitEntry>& out);

/// The one with the same entries in the same order; null: none. `descriptors`: in the order of their entries.
[[nodiscard]] const config::LocalRateLimit::Descriptor* find_descriptor(
    std::span<const config::LocalRateLimit::Descriptor> descriptors, std::span<const RateLimitEntry> entries);

}  // namespace millrace::proxy
