// Active health checks of one cluster: what results of checks make of its endpoints, and when they are checked again. Sans-I/O:
// whoever makes the checks (health_probe.h) tells results; randomness is injected. What is known of an endpoint stands in its
// cell, for all workers, and outlives configurations; so this is only a worker's view of it, and the two may differ in who
// checks.
//
//   failed (at first, too) --successes in a row; the first check ever: one--> healthy
//   healthy --failures in a row; an answer that is no success: at once--> failed
//
// As Envoy documents it (intro/arch_overview/upstream/health_checking, config.core.v3.HealthCheck). Not here: runtime keys.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

/// envoy.data.core.v3.HealthCheckFailureType
enum class CheckFailure : std::uint8_t {
  kActive,          ///< the answer is not what is expected
  kPassive,         ///< an answer to a request said so
  kNetwork,         ///< there was no answer
  kNetworkTimeout,  ///< not in time
};

/// What envoy.data.core.v3.HealthCheckEvent tells of, in the order in which a result's are told.
enum class CheckEvent : std::uint8_t { kEject, kAdd, kSuccess, kFailure, kDegraded, kNoLongerDegraded };
inline constexpr CheckEvent kCheckEvents[] = {CheckEvent::kEject,   CheckEvent::kAdd,      CheckEvent::kSuccess,
                                              CheckEvent::kFailure, CheckEvent::kDegraded, CheckEvent::kNoLongerDegraded};

/// What a result has changed.
struct CheckOutcome {
  bool first = false;  ///< it was the first of the endpoint
  bool edge = false;   ///< a change is under way, but needs more results like this
  [[nodiscard]] bool has(CheckEvent event) const { return (events & (1u << static_cast<unsigned>(event))) != 0; }
  void add(CheckEvent event) { events |= 1u << static_cast<unsigned>(event); }
  std::uint32_t events = 0;  ///< to be logged
};

class HealthChecker {
 public:
  /// `cluster` has a health_check; it and `rng` outlive this object.
  HealthChecker(const config::Cluster& cluster, std::size_t worker, Rng& rng);

  void count_attempt() { stats().attempt.add(); }
  void count_verification() { stats().verify_cluster.add(); }

  CheckOutcome on_success(report::EndpointCell& endpoint, bool degraded, Instant now);
  /// `retriable`: of an answer, that it counts towards the threshold.
  CheckOutcome on_failure(report::EndpointCell& endpoint, CheckFailure failure, bool retriable = false);
  /// An answer that is a failure, to a check or to a request, has said that the endpoint goes. For a request on_failure()
  /// follows.
  void exclude(report::EndpointCell& endpoint);

  /// Before the first check.
  [[nodiscard]] Duration first_wait();
  /// Until the next one, after a result.
  [[nodiscard]] Duration wait_after(const CheckOutcome& outcome, bool success);

  /// Marks endpoints that are new to checks as failed, until one succeeds. Every worker that takes over a configuration calls it
  /// before it looks at their health, since whoever checks them may be later.
  /// Those that `serving` sends requests to stay as they are, until a check says something else; null: it is of no use yet.
  static void begin(const config::Cluster& cluster, const config::Cluster* serving = nullptr);
  /// Forgets what was found out about endpoints of `before` that `after` does not have, or does not check; null: it is gone.
  static void forget(const config::Cluster& before, const config::Cluster* after);

 private:
  [[nodiscard]] const config::HealthCheck& settings() const { return *cluster_.health_check; }
  [[nodiscard]] report::HealthCheckStats& stats() { return cluster_.cell->per_worker[worker_].health_check; }
  void set(report::EndpointCell& endpoint, report::EndpointFault fault, bool present) {
    endpoint.set(fault, present, *cluster_.cell);
  }
  [[nodiscard]] bool has_traffic() const;
  [[nodiscard]] Duration up_to(Duration most);

  const config::Cluster& cluster_;
  const std::size_t worker_;
  Rng& rng_;
};

}  // namespace millrace::proxy
