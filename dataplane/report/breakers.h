// What a cluster has in progress, as its circuit breakers count it. The totals are shared by all workers, who take shares of them
// (dataplane/proxy/breakers/lease.h); how much each really uses stands in its own block.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/report/counter.h"

namespace millrace::report {

enum class BreakerResource : std::uint8_t { kConnections, kPendingRequests, kRequests, kRetries, kConnectionPools };
inline constexpr std::size_t kBreakerResources = 5;
inline constexpr std::size_t kBreakerPriorities = 2;  ///< of routing: default, high

/// Units that workers have taken, whether they use them or keep them for later. On a line of its own.
struct alignas(64) SharedCount {
  std::atomic<std::uint32_t> taken{0};
};

/// Of one cluster and priority. Where nothing limits a resource nobody takes of it.
struct BreakerTotals {
  std::array<SharedCount, kBreakerResources> counts;

  [[nodiscard]] SharedCount& of(BreakerResource resource) { return counts[static_cast<std::size_t>(resource)]; }
  [[nodiscard]] const SharedCount& of(BreakerResource resource) const { return counts[static_cast<std::size_t>(resource)]; }
};

/// What one worker uses of them.
struct BreakerUse {
  std::array<Gauge, kBreakerResources> in_use;

  [[nodiscard]] Gauge& of(BreakerResource resource) { return in_use[static_cast<std::size_t>(resource)]; }
  [[nodiscard]] const Gauge& of(BreakerResource resource) const { return in_use[static_cast<std::size_t>(resource)]; }
};

}  // namespace millrace::report
