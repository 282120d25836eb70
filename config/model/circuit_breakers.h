// How much a cluster may have in progress at a time. Source: envoy.config.cluster.v3.CircuitBreakers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace millrace::config {

/// envoy.config.core.v3.RoutingPriority: requests of each have limits, and connections, of their own.
enum class RoutingPriority : std::uint8_t { kDefault, kHigh };
inline constexpr std::size_t kRoutingPriorities = 2;

/// A limit that nothing reaches. It costs nothing to keep.
inline constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();

/// Retries may be as many as this part of the requests in progress, waiting ones included.
struct RetryBudget {
  double percent = 20.0;              ///< 0 to 100
  std::uint32_t min_concurrency = 3;  ///< always allowed

  /// How many retries there may be while so many requests are in progress.
  [[nodiscard]] std::uint32_t allowed(std::int64_t in_progress) const {
    return std::max(static_cast<std::uint32_t>(static_cast<double>(in_progress) * percent / 100.0), min_concurrency);
  }
};

/// CircuitBreakers.Thresholds: for the whole gateway, all workers together.
struct BreakerThresholds {
  std::uint32_t max_connections = 1'024;
  std::uint32_t max_pending_requests = 1'024;
  std::uint32_t max_requests = 1'024;
  std::uint32_t max_retries = 3;
  std::uint32_t max_connection_pools = kUnlimited;
  std::optional<RetryBudget> retry_budget;  ///< replaces max_retries
  bool track_remaining = false;             ///< statistics say what is left
};

struct CircuitBreakers {
  std::array<BreakerThresholds, kRoutingPriorities> thresholds;
  /// per_host_thresholds: connections to one endpoint, whichever priority they are of.
  std::array<std::uint32_t, kRoutingPriorities> max_connections_per_endpoint = {kUnlimited, kUnlimited};

  [[nodiscard]] const BreakerThresholds& of(RoutingPriority priority) const {
    return thresholds[static_cast<std::size_t>(priority)];
  }
  [[nodiscard]] std::uint32_t connections_per_endpoint(RoutingPriority priority) const {
    return max_connections_per_endpoint[static_cast<std::size_t>(priority)];
  }
};

}  // namespace millrace::config
