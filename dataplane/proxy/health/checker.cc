#include "dataplane/proxy/health/checker.h"

#include <algorithm>
#include <unordered_set>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

using report::EndpointCell;
using report::EndpointFault;

namespace {

constexpr bool is_of_network(CheckFailure failure) {
  return failure == CheckFailure::kNetwork || failure == CheckFailure::kNetworkTimeout;
}

}  // namespace

HealthChecker::HealthChecker(const config::Cluster& cluster, std::size_t worker, Rng& rng)
    : cluster_(cluster), worker_(worker), rng_(rng) {
  MR_ASSERT(cluster.health_check != nullptr);
}

CheckOutcome HealthChecker::on_success(EndpointCell& endpoint, bool degraded, Instant now) {
  stats().success.add();
  report::HealthRecord& record = endpoint.health.get();
  CheckOutcome outcome;
  outcome.first = !record.decided.exchange(true);
  record.failures.store(0);
  if (endpoint.has(EndpointFault::kFailedHealthCheck)) {
    const std::uint32_t successes = record.successes.fetch_add(1) + 1;
    if (outcome.first || successes >= settings().healthy_threshold) {
      record.healthy_since.store(now.to_nanoseconds(), std::memory_order_relaxed);  // before the version that tells of it
      set(endpoint, EndpointFault::kHealthCheckTimedOut, false);
      set(endpoint, EndpointFault::kFailedAtOnce, false);
      set(endpoint, EndpointFault::kFailedHealthCheck, false);
      outcome.add(CheckEvent::kAdd);
    } else {
      outcome.edge = true;
    }
  }
  if (!outcome.has(CheckEvent::kAdd) && settings().log_all_successes) outcome.add(CheckEvent::kSuccess);
  if (endpoint.set(EndpointFault::kAwaitsHealthCheck, false, *cluster_.cell)) outcome.edge = false;
  if (endpoint.set(EndpointFault::kDegraded, degraded, *cluster_.cell))
    outcome.add(degraded ? CheckEvent::kDegraded : CheckEvent::kNoLongerDegraded);
  return outcome;
}

CheckOutcome HealthChecker::on_failure(EndpointCell& endpoint, CheckFailure failure, bool retriable) {
  stats().failure.add();
  if (is_of_network(failure)) stats().network_failure.add();
  if (failure == CheckFailure::kPassive) stats().passive_failure.add();
  report::HealthRecord& record = endpoint.health.get();
  CheckOutcome outcome;
  outcome.first = !record.decided.exchange(true);
  record.successes.store(0);
  if (!endpoint.has(EndpointFault::kFailedHealthCheck)) {
    const bool at_once = !is_of_network(failure) && !retriable;
    if (at_once || record.failures.fetch_add(1) + 1 >= settings().unhealthy_threshold) {
      set(endpoint, EndpointFault::kFailedHealthCheck, true);
      outcome.add(CheckEvent::kEject);
    } else {
      outcome.edge = true;
    }
  }
  // One that stays failed shows what it fails by now.
  const bool timed_out = failure == CheckFailure::kNetworkTimeout && endpoint.has(EndpointFault::kFailedHealthCheck);
  set(endpoint, EndpointFault::kHealthCheckTimedOut, timed_out);
  if (endpoint.set(EndpointFault::kAwaitsHealthCheck, false, *cluster_.cell)) outcome.edge = false;
  if (outcome.first || settings().log_all_failures) outcome.add(CheckEvent::kFailure);
  return outcome;
}

void HealthChecker::exclude(EndpointCell& endpoint) { set(endpoint, EndpointFault::kFailedAtOnce, true); }

// Requests' connections alone: those of checks are not counted.
bool HealthChecker::has_traffic() const {
  return std::ranges::any_of(cluster_.cell->per_worker,
                             [](const report::ClusterStats& stats) { return stats.upstream_cx_total.value() > 0; });
}

// Uniform in milliseconds, its end excluded.
Duration HealthChecker::up_to(Duration most) {
  const auto milliseconds = static_cast<std::uint64_t>(most.to_milliseconds());
  return milliseconds == 0 ? Duration() : Duration::milliseconds(static_cast<std::int64_t>(rng_.next() % milliseconds));
}

Duration HealthChecker::first_wait() { return up_to(settings().initial_jitter); }

Duration HealthChecker::wait_after(const CheckOutcome& outcome, bool success) {
  const config::HealthCheck& of = settings();
  Duration wait;
  if (!has_traffic()) {
    wait = success && !outcome.edge ? of.no_traffic_healthy_interval : of.no_traffic_interval;
  } else if (success) {
    wait = outcome.edge ? of.healthy_edge_interval : of.interval;
  } else {
    wait = outcome.edge ? of.unhealthy_edge_interval : of.unhealthy_interval;
  }
  const Duration jitter = up_to(wait / 100 * of.interval_jitter_percent) + up_to(of.interval_jitter);
  return std::max(wait + jitter, Duration::milliseconds(1));
}

void HealthChecker::begin(const config::Cluster& cluster, const config::Cluster* serving) {
  if (cluster.health_check == nullptr) return;
  std::unordered_set<const EndpointCell*> in_use;
  if (serving != nullptr) {
    for (const config::Endpoint& endpoint : serving->endpoints) in_use.insert(endpoint.cell.get());
  }
  for (const config::Endpoint& endpoint : cluster.endpoints) {
    if (endpoint.extras().health_target == nullptr || endpoint.cell->health.get().watched.exchange(true)) continue;
    if (in_use.contains(endpoint.cell.get())) continue;
    endpoint.cell->set(EndpointFault::kFailedHealthCheck, true, *cluster.cell);
    endpoint.cell->set(EndpointFault::kAwaitsHealthCheck, cluster.health_check->exclude_new_endpoints, *cluster.cell);
  }
}

void HealthChecker::forget(const config::Cluster& before, const config::Cluster* after) {
  if (before.health_check == nullptr) return;
  std::unordered_set<const EndpointCell*> watched;
  if (after != nullptr && after->health_check != nullptr) {
    for (const config::Endpoint& endpoint : after->endpoints) {
      if (endpoint.extras().health_target != nullptr) watched.insert(endpoint.cell.get());
    }
  }
  for (const config::Endpoint& endpoint : before.endpoints) {
    if (endpoint.extras().health_target == nullptr || watched.contains(endpoint.cell.get())) continue;
    report::HealthRecord& record = endpoint.cell->health.get();
    if (!record.watched.exchange(false)) continue;
    record.decided.store(false);
    record.successes.store(0);
    record.failures.store(0);
    for (const EndpointFault fault :
         {EndpointFault::kFailedHealthCheck, EndpointFault::kDegraded, EndpointFault::kAwaitsHealthCheck,
          EndpointFault::kFailedAtOnce, EndpointFault::kHealthCheckTimedOut}) {
      endpoint.cell->set(fault, false, *before.cell);
    }
  }
}

}  // namespace millrace::proxy
