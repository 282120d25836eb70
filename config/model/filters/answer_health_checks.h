// Health checks of this gateway by others. Source: envoy.extensions.filters.http.health_check.v3.HealthCheck.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model/matcher.h"
#include "dataplane/base/time.h"

namespace millrace::config {

/// What the upstream said last, for all workers. Any thread may call.
class HealthCheckCache {
 public:
  /// Zero: nothing, or it is too old.
  [[nodiscard]] std::uint16_t status(Instant now) const {
    const std::uint64_t kept = kept_.load(std::memory_order_relaxed);
    return milliseconds(now) < kept >> kStatusBits ? static_cast<std::uint16_t>(kept & ((1u << kStatusBits) - 1)) : 0;
  }
  void keep(std::uint16_t status, Instant until) {
    kept_.store(milliseconds(until) << kStatusBits | status, std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kStatusBits = 10;
  static std::uint64_t milliseconds(Instant at) { return static_cast<std::uint64_t>(at.to_nanoseconds() / 1'000'000); }

  std::atomic<std::uint64_t> kept_{0};  // until when, and the status
};

struct AnswerHealthChecks {
  std::vector<HeaderMatcher> headers;       ///< of a request that is a health check: all have to match
  bool pass_through = false;                ///< the upstream answers
  Duration cache_time;                      ///< of its answers; zero: none is kept
  std::shared_ptr<HealthCheckCache> cache;  ///< null: none is kept
  /// Where the gateway answers: clusters, and the percentage of their endpoints that has to be healthy.
  std::vector<std::pair<std::string, std::uint32_t>> min_healthy_percentages;
  std::string service_cluster;  ///< this gateway's name in the answers
};

}  // namespace millrace::config
