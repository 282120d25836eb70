// Outlier detection of one cluster: endpoints that fail are ejected for a while. Workers tell it what comes of requests and of
// connections; what they know together stands in the cells of cluster and endpoints, so that a detector is only a worker's view
// of it. Sans-I/O: time is an argument, whoever owns the detector calls sweep().
//
//   in service --a run of failures (at once), or a bad rate (at a sweep)--> ejected --its time is over (at a sweep)--> in service
//
// A success writes no shared line: the counts of failures in a row are only read while they are 0, and rates are a worker's own
// counters, added up at the sweep. What is decided is decided under a lock in the cluster's cell, which nobody waits for on the
// way of a request: a worker that finds it taken leaves a note, and the one that holds it looks for notes when it lets go. As
// Envoy documents it (intro/arch_overview/upstream/outlier). Not here: the event log, monitors of extensions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

/// Failures of ours: no answer was had of the endpoint.
enum class LocalFailure : std::uint8_t {
  kConnection,  ///< refused, timed out, or lost before the response was complete
  kTimeout,     ///< of a request, or of one of its tries
};

class OutlierDetector {
 public:
  /// `cluster` has outlier_detection; it and `rng` outlive this object.
  OutlierDetector(const config::Cluster& cluster, std::size_t worker, Rng& rng);

  /// A response has begun.
  void on_status(report::EndpointCell& endpoint, std::uint16_t status, Instant now);
  /// A request has got a connection; its response will say the rest.
  void on_connected(report::EndpointCell& endpoint, Instant now);
  /// A connection that is passed through is made: there is nothing else to hear of.
  void on_passed_through(report::EndpointCell& endpoint, Instant now);
  void on_failure(report::EndpointCell& endpoint, LocalFailure failure, Instant now);
  /// An active health check of an endpoint that does not fail them has succeeded: it returns, where the configuration says so.
  void on_healthy(report::EndpointCell& endpoint, Instant now);

  /// Lets endpoints return, looks at rates. To be called every `interval`, by one worker. False: another holds the lock; try
  /// again soon.
  [[nodiscard]] bool sweep(Instant now);

  /// Forgets what was found out about endpoints of `before` that `after` does not have, or does not watch; null: it is gone.
  /// Waits for the lock. Every worker that has taken over a configuration calls it, since each may have ejected until then.
  static void forget(const config::Cluster& before, const config::Cluster* after);

 private:
  /// Why an endpoint is an outlier; one bit each.
  enum class Detection : std::uint8_t {
    kConsecutive5xx,
    kConsecutiveGatewayFailure,
    kConsecutiveLocalOriginFailure,
    kSuccessRate,
    kLocalOriginSuccessRate,
    kFailurePercentage,
    kLocalOriginFailurePercentage,
  };
  /// What a detection is called in the statistics, and how often it is enforced.
  struct DetectionRow {
    report::Counter report::OutlierStats::* detected;
    report::Counter report::OutlierStats::* enforced;
    std::uint32_t enforcing_percent;
  };
  /// One of the two origins of errors.
  struct Origin {
    report::OutlierRate report::OutlierRecord::* rate;
    report::OutlierResults report::EndpointStats::* results;
    report::OutlierThreshold& threshold;
    Detection success_rate;
    Detection failure_percentage;
  };

  void count_status(report::EndpointCell& endpoint, std::uint16_t status, Instant now);
  void count_local(report::EndpointCell& endpoint, bool success, Instant now);
  void suspect(report::EndpointCell& endpoint, Detection detection, Instant now);
  void leave_note(report::EndpointCell& endpoint, std::uint32_t note, Instant now);

  // Under the lock.
  [[nodiscard]] bool try_lock() { return !shared().lock.exchange(true); }
  void unlock(Instant now);
  void judge(report::EndpointCell& endpoint, Detection detection, Instant now);
  void judge_suspicions(report::EndpointCell& endpoint, Instant now);
  void eject(report::EndpointCell& endpoint, Detection detection, Instant now);
  void return_if_due(report::EndpointCell& endpoint, Instant now);
  void let_return(report::EndpointCell& endpoint, Instant now);
  void recount();
  void measure(const Origin& origin);
  void compare_success_rates(const Origin& origin, Instant now);
  void compare_failure_percentages(const Origin& origin, Instant now);
  void reward(report::EndpointCell& endpoint, Instant now);

  [[nodiscard]] const config::OutlierDetection& settings() const { return *cluster_.outlier_detection; }
  [[nodiscard]] report::OutlierShared& shared() { return cluster_.cell->outlier.get(); }
  [[nodiscard]] report::OutlierStats& stats() { return cluster_.cell->per_worker[worker_].outlier; }
  [[nodiscard]] DetectionRow row_of(Detection detection) const;

  const config::Cluster& cluster_;
  const std::size_t worker_;
  Rng& rng_;
};

}  // namespace millrace::proxy
