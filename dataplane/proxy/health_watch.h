// The active health checks of one cluster on one worker, where they are configured: the probes of those endpoints that this
// worker checks for all. health/README.md says which.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>

#include "config/model/cluster.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/health/checker.h"

namespace millrace::proxy {

struct Runtime;
class HealthProbe;
class OutlierWatch;

/// What came of a check.
struct CheckResult {
  bool success = false;
  bool degraded = false;                          ///< of a success
  CheckFailure failure = CheckFailure::kNetwork;  ///< of a failure
  bool retriable = false;                         ///< of kActive
  bool excludes = false;                          ///< of kActive: the endpoint has said that it goes
};

class HealthWatch {
 public:
  /// From here on endpoints that are new count as failed. `outliers` hears of good results; null: nobody does. `serving`: of a
  /// cluster that waits for its first checks, what serves under its name meanwhile.
  HealthWatch(Runtime& runtime, OutlierWatch* outliers, std::shared_ptr<const config::Cluster> config, Instant now,
              const config::Cluster* serving = nullptr);
  ~HealthWatch();

  /// Takes over a new version: checks of what has not changed go on, and what was found of endpoints that stay remains.
  void update(std::shared_ptr<const config::Cluster> config, Instant now, const config::Cluster* serving = nullptr);
  /// The cluster is gone from the configuration: nothing is checked any more. What was found is forgotten, but for the endpoints
  /// of `successor`; null: there is none.
  void retire(Instant now, const config::Cluster* successor = nullptr);

  /// An answer of `endpoint` to a request has said that it fails: x-envoy-immediate-health-check-fail.
  void fail_at_once(const config::Endpoint& endpoint, Instant now);

  // For its probes.
  [[nodiscard]] Runtime& runtime() const { return runtime_; }
  [[nodiscard]] const config::Cluster& cluster() const { return *config_; }
  [[nodiscard]] const config::HealthCheck& settings() const { return *config_->health_check; }
  [[nodiscard]] HealthChecker& checker() { return *checker_; }
  /// Takes a result in. Returns how long to wait for the next check.
  [[nodiscard]] Duration conclude(const config::Endpoint& endpoint, const CheckResult& result, Instant now);

 private:
  using Probes = std::unordered_map<const report::EndpointCell*, std::unique_ptr<HealthProbe>>;

  [[nodiscard]] bool checks(const config::Endpoint& endpoint) const;
  void follow_endpoints(const config::HealthCheck* before, Instant now);
  void stop(Probes& probes, Instant now);
  void log(const config::Endpoint& endpoint, const CheckOutcome& outcome, CheckFailure failure, Instant now);

  Runtime& runtime_;
  OutlierWatch* outliers_;
  std::shared_ptr<const config::Cluster> config_;
  std::optional<HealthChecker> checker_;
  Probes probes_;
};

}  // namespace millrace::proxy
