// Outlier detection ejects endpoints when it has to, and not before, and lets them return when their time is over: a second,
// plain account of each endpoint, kept from what workers count of its results, turn by turn. Where a turn brings failures and
// successes their order is not known: the account is an interval then. Envoy: "Outlier detection",
// envoy.config.cluster.v3.OutlierDetection.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/model/cluster.h"
#include "tests/simulation/findings.h"

namespace millrace::sim {

/// Results of one origin of errors; of an interval, or since the beginning.
struct Results {
  std::uint64_t requests = 0;
  std::uint64_t successes = 0;
  [[nodiscard]] std::uint64_t failures() const { return requests - successes; }
  [[nodiscard]] double success_percent() const { return 100.0 * static_cast<double>(successes) / static_cast<double>(requests); }
};

/// A run of failures that is `least` to `most` long, as far as one can know.
class FailureRun {
 public:
  /// Takes over the results of a turn. `run` of them in a row are a detection, after which the next run begins; 0: never.
  void count(const Results& turn, std::uint32_t run);
  [[nodiscard]] bool was_detected() const { return surely_; }  ///< in the last turn
  [[nodiscard]] bool may_have_been_detected() const { return maybe_; }

 private:
  std::uint64_t least_ = 0;
  std::uint64_t most_ = 0;
  bool surely_ = false;
  bool maybe_ = false;
};

struct EjectionOracleConfig {
  config::OutlierDetection detection;  ///< that the cluster has to keep to
  bool gateway_failures_only = false;  ///< every failure is one of a gateway: 502 to 504, or none of the endpoint's own
  Duration delay;                      ///< by which worker 0 may be late to look
};

class EjectionOracle {
 public:
  EjectionOracle(const config::Cluster& cluster, const EjectionOracleConfig& config);
  /// Nothing may have changed since the last call but by this turn.
  void after_turn(Instant now, Findings& findings);

 private:
  enum Origin : std::size_t { kExternal, kLocal };
  enum Detection : std::size_t {
    kConsecutive5xx,
    kConsecutiveGatewayFailure,
    kConsecutiveLocalOriginFailure,
    kSuccessRate,
    kLocalOriginSuccessRate,
    kFailurePercentage,
    kLocalOriginFailurePercentage,
    kDetections
  };
  struct Endpoint {
    config::Endpoint config;
    std::array<Results, 2> total = {};   // by Origin
    std::array<Results, 2> turn = {};    // what it has brought
    std::array<Results, 2> looked = {};  // the totals at the last sweep
    std::array<Results, 2> interval = {};
    std::array<FailureRun, 3> runs = {};           // by Detection
    std::array<bool, kDetections> detected = {};   // in this turn, surely
    std::array<bool, kDetections> suspected = {};  // or maybe
    bool ejected = false;
    Instant ejected_at = {};
    Instant returned_at = Instant::never();
    std::uint64_t least_times = 0;  // that its ejections are in a row
    std::uint64_t most_times = 0;
    Instant known_ejection = {};  // of which the gateway has told before this turn
    std::uint64_t sent = 0;       // requests to it

    [[nodiscard]] bool is_ejected() const { return config.cell->has(report::EndpointFault::kEjected); }
    [[nodiscard]] bool is_ejected_anew() const { return config.cell->outlier.peek().ejected_at != known_ejection; }
    [[nodiscard]] bool stays_ejected() const { return ejected && is_ejected() && !is_ejected_anew(); }
  };

  void count(Endpoint& endpoint);
  void count_runs(Endpoint& endpoint);
  void look_at_rates();
  void compare_success_rates(Origin origin, Detection detection);
  void compare_failure_percentages(Origin origin, Detection detection);
  void audit_endpoint(Endpoint& endpoint, Instant now, Findings& findings);
  void audit_ejection(Endpoint& endpoint, Instant now, Findings& findings);
  void audit_return(Endpoint& endpoint, Instant now, Findings& findings);
  void audit_requests(Endpoint& endpoint, bool avoids, Findings& findings) const;
  [[nodiscard]] bool must_be_ejected(const Endpoint& endpoint) const;
  [[nodiscard]] bool may_be_ejected(const Endpoint& endpoint) const;
  [[nodiscard]] bool allows(std::size_t ejected) const;
  [[nodiscard]] std::uint32_t enforcing(std::size_t detection) const;
  [[nodiscard]] Duration ejection_time(std::uint64_t times) const;
  [[nodiscard]] std::size_t ejected() const;
  [[nodiscard]] bool panics() const;
  [[nodiscard]] std::int64_t pending() const;

  const EjectionOracleConfig config_;
  const bool checked_;  // by health checks, which let endpoints return early
  const std::shared_ptr<report::ClusterCell> cell_;
  std::vector<Endpoint> endpoints_;
  std::size_t ejected_before_ = 0;
  std::size_t ejected_ = 0;
  std::size_t most_ejected_ = 0;  // at any time of the turn
  std::int64_t pending_before_ = 0;
  bool panicked_before_ = false;
};

}  // namespace millrace::sim
