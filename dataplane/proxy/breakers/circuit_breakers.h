// The circuit breakers of one cluster and priority, as one worker sees them: what may still begin. Limits are those of the whole
// gateway; lease.h says how workers share them, and how exact that is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "config/model/circuit_breakers.h"
#include "dataplane/proxy/breakers/lease.h"
#include "dataplane/report/cells.h"

namespace millrace::proxy {

using report::BreakerResource;

class CircuitBreakers {
 public:
  /// `cell` outlives it.
  CircuitBreakers(report::ClusterCell& cell, config::RoutingPriority priority, std::size_t worker);

  void set_thresholds(const config::BreakerThresholds& thresholds);

  /// One more in progress; false when the limit is reached. Counting the overflow is the caller's.
  [[nodiscard]] bool take(BreakerResource resource) {
    if (!lease(resource).take()) return false;
    use_.of(resource).add();
    return true;
  }
  /// One more retry. With a budget its limit is what all workers have in progress now.
  [[nodiscard]] bool take_retry();
  /// One more, whatever the limit says.
  void force(BreakerResource resource) {
    lease(resource).force();
    use_.of(resource).add();
  }
  void release(BreakerResource resource) {
    lease(resource).release();
    use_.of(resource).subtract();
  }

 private:
  [[nodiscard]] Lease& lease(BreakerResource resource) { return leases_[static_cast<std::size_t>(resource)]; }
  [[nodiscard]] std::uint32_t retry_budget() const;

  report::ClusterCell& cell_;
  const std::size_t priority_;
  report::BreakerUse& use_;
  std::array<Lease, report::kBreakerResources> leases_;
  std::optional<config::RetryBudget> retry_budget_;
};

}  // namespace millrace::proxy
