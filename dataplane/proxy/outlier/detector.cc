#include "dataplane/proxy/outlier/detector.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

using report::EndpointCell;
using report::EndpointFault;
using report::EndpointStats;
using report::OutlierRate;
using report::OutlierRecord;
using report::OutlierResults;
using report::OutlierStats;

namespace {

// What failures of ours count as where they are not split from what endpoints answer, as in Envoy.
constexpr std::uint16_t kConnectionFailureStatus = 503;
constexpr std::uint16_t kTimeoutStatus = 504;
constexpr std::uint16_t kPassedThroughStatus = 200;

// Among the bits of OutlierRecord::suspicions, behind those of detections.
constexpr std::uint32_t kHealthyNote = 1u << 31;

constexpr bool is_5xx(std::uint16_t status) { return status >= 500 && status < 600; }
constexpr bool is_gateway_failure(std::uint16_t status) { return status >= 502 && status <= 504; }

// Most endpoints have nothing to forget: their line stays shared.
void clear(std::atomic<std::uint32_t>& failures) {
  if (failures.load(std::memory_order_relaxed) != 0) failures.store(0, std::memory_order_relaxed);
}

void clear_failures(OutlierRecord& record) {
  clear(record.consecutive_5xx);
  clear(record.consecutive_gateway_failure);
  clear(record.consecutive_local_origin_failure);
}

// True for the one failure that completes a run.
bool completes_run(std::atomic<std::uint32_t>& failures, const config::ConsecutiveFailures& run) {
  return failures.fetch_add(1, std::memory_order_relaxed) + 1 == run.count;
}

void count(OutlierResults& results, bool success) {
  results.requests.add();
  if (success) results.successes.add();
}

// The results since the last look.
void measure_endpoint(const EndpointCell& endpoint, OutlierResults EndpointStats::* which, OutlierRate& rate) {
  std::uint64_t requests = 0;
  std::uint64_t successes = 0;
  for (const EndpointStats& worker : endpoint.per_worker) {
    // Successes first: a request that is counted in between has failed at the worst.
    successes += (worker.*which).successes.value();
    requests += (worker.*which).requests.value();
  }
  rate.requests = requests - rate.seen_requests;
  const std::uint64_t good = std::min(successes - rate.seen_successes, rate.requests);
  rate.seen_requests = requests;
  rate.seen_successes = successes;
  const double percent = rate.requests == 0 ? -1 : static_cast<double>(good) * 100.0 / static_cast<double>(rate.requests);
  rate.percent.store(percent, std::memory_order_relaxed);
}

}  // namespace

OutlierDetector::OutlierDetector(const config::Cluster& cluster, std::size_t worker, Rng& rng)
    : cluster_(cluster), worker_(worker), rng_(rng) {
  MR_ASSERT(cluster.outlier_detection.has_value());
}

void OutlierDetector::on_status(EndpointCell& endpoint, std::uint16_t status, Instant now) {
  count_status(endpoint, status, now);
}

void OutlierDetector::on_connected(EndpointCell& endpoint, Instant now) {
  if (settings().split_external_local_origin_errors) count_local(endpoint, true, now);
}

void OutlierDetector::on_passed_through(EndpointCell& endpoint, Instant now) {
  if (settings().split_external_local_origin_errors) {
    count_local(endpoint, true, now);
  } else {
    count_status(endpoint, kPassedThroughStatus, now);
  }
}

void OutlierDetector::on_failure(EndpointCell& endpoint, LocalFailure failure, Instant now) {
  if (settings().split_external_local_origin_errors) {
    count_local(endpoint, false, now);
  } else {
    count_status(endpoint, failure == LocalFailure::kTimeout ? kTimeoutStatus : kConnectionFailureStatus, now);
  }
}

void OutlierDetector::count_status(EndpointCell& endpoint, std::uint16_t status, Instant now) {
  OutlierRecord& record = endpoint.outlier.get();
  count(endpoint.per_worker[worker_].external_results, !is_5xx(status));
  if (!is_5xx(status)) {
    clear(record.consecutive_5xx);
    clear(record.consecutive_gateway_failure);
    return;
  }
  if (!is_gateway_failure(status)) {
    clear(record.consecutive_gateway_failure);
  } else if (completes_run(record.consecutive_gateway_failure, settings().consecutive_gateway_failure)) {
    suspect(endpoint, Detection::kConsecutiveGatewayFailure, now);
  }
  if (completes_run(record.consecutive_5xx, settings().consecutive_5xx)) suspect(endpoint, Detection::kConsecutive5xx, now);
}

void OutlierDetector::count_local(EndpointCell& endpoint, bool success, Instant now) {
  OutlierRecord& record = endpoint.outlier.get();
  count(endpoint.per_worker[worker_].local_results, success);
  if (success) {
    clear(record.consecutive_local_origin_failure);
  } else if (completes_run(record.consecutive_local_origin_failure, settings().consecutive_local_origin_failure)) {
    suspect(endpoint, Detection::kConsecutiveLocalOriginFailure, now);
  }
}

void OutlierDetector::suspect(EndpointCell& endpoint, Detection detection, Instant now) {
  if (try_lock()) {
    judge(endpoint, detection, now);
    unlock(now);
    return;
  }
  leave_note(endpoint, 1u << static_cast<unsigned>(detection), now);
}

void OutlierDetector::on_healthy(EndpointCell& endpoint, Instant now) {
  if (!settings().return_on_health_check || !endpoint.has(EndpointFault::kEjected)) return;
  if (try_lock()) {
    let_return(endpoint, now);
    unlock(now);
    return;
  }
  leave_note(endpoint, kHealthyNote, now);
}

void OutlierDetector::leave_note(EndpointCell& endpoint, std::uint32_t note, Instant now) {
  endpoint.outlier.get().suspicions.fetch_or(note);
  shared().suspicious.store(true);
  if (try_lock()) unlock(now);  // its holder may have let go before it could see the note
}

// All in sequential order: either the one who could not get the lock finds it free again, or we find the note.
void OutlierDetector::unlock(Instant now) {
  do {
    if (shared().suspicious.exchange(false)) {
      for (const config::Endpoint& endpoint : cluster_.endpoints) judge_suspicions(*endpoint.cell, now);
    }
    shared().lock.store(false);
  } while (shared().suspicious.load() && try_lock());
}

void OutlierDetector::judge_suspicions(EndpointCell& endpoint, Instant now) {
  if (endpoint.outlier.peek().suspicions.load() == 0) return;
  const std::uint32_t suspicions = endpoint.outlier.get().suspicions.exchange(0);
  for (const Detection detection :
       {Detection::kConsecutiveGatewayFailure, Detection::kConsecutive5xx, Detection::kConsecutiveLocalOriginFailure}) {
    if ((suspicions & (1u << static_cast<unsigned>(detection))) != 0) judge(endpoint, detection, now);
  }
  if ((suspicions & kHealthyNote) != 0) let_return(endpoint, now);
}

// A run of failures. Where it does not lead to an ejection, the next one begins.
void OutlierDetector::judge(EndpointCell& endpoint, Detection detection, Instant now) {
  if (endpoint.has(EndpointFault::kEjected)) return;
  eject(endpoint, detection, now);
  OutlierRecord& record = endpoint.outlier.get();
  switch (detection) {
    case Detection::kConsecutiveGatewayFailure: clear(record.consecutive_gateway_failure); break;
    case Detection::kConsecutiveLocalOriginFailure: clear(record.consecutive_local_origin_failure); break;
    default: clear(record.consecutive_5xx); stats().ejections_consecutive_5xx.add();
  }
}

OutlierDetector::DetectionRow OutlierDetector::row_of(Detection detection) const {
  using Stats = OutlierStats;
  const config::OutlierDetection& of = settings();
  switch (detection) {
    case Detection::kConsecutive5xx: break;
    case Detection::kConsecutiveGatewayFailure:
      return {&Stats::ejections_detected_consecutive_gateway_failure, &Stats::ejections_enforced_consecutive_gateway_failure,
              of.consecutive_gateway_failure.enforcing_percent};
    case Detection::kConsecutiveLocalOriginFailure:
      return {&Stats::ejections_detected_consecutive_local_origin_failure,
              &Stats::ejections_enforced_consecutive_local_origin_failure, of.consecutive_local_origin_failure.enforcing_percent};
    case Detection::kSuccessRate:
      return {&Stats::ejections_detected_success_rate, &Stats::ejections_enforced_success_rate,
              of.success_rate.enforcing_percent};
    case Detection::kLocalOriginSuccessRate:
      return {&Stats::ejections_detected_local_origin_success_rate, &Stats::ejections_enforced_local_origin_success_rate,
              of.success_rate.enforcing_local_origin_percent};
    case Detection::kFailurePercentage:
      return {&Stats::ejections_detected_failure_percentage, &Stats::ejections_enforced_failure_percentage,
              of.failure_percentage.enforcing_percent};
    case Detection::kLocalOriginFailurePercentage:
      return {&Stats::ejections_detected_local_origin_failure_percentage,
              &Stats::ejections_enforced_local_origin_failure_percentage, of.failure_percentage.enforcing_local_origin_percent};
  }
  return {&Stats::ejections_detected_consecutive_5xx, &Stats::ejections_enforced_consecutive_5xx,
          of.consecutive_5xx.enforcing_percent};
}

// Unless too many are ejected already, or chance spares it.
void OutlierDetector::eject(EndpointCell& endpoint, Detection detection, Instant now) {
  const DetectionRow row = row_of(detection);
  (stats().*row.detected).add();
  const std::uint32_t ejected = shared().ejected.load(std::memory_order_relaxed);
  const double percent = 100.0 * (ejected + 1.0) / static_cast<double>(cluster_.endpoints.size());
  const bool allowed = percent <= settings().max_ejection_percent || (settings().always_eject_one_host && ejected == 0);
  if (!allowed) {
    stats().ejections_overflow.add();
    return;
  }
  if (detection == Detection::kConsecutive5xx || detection == Detection::kSuccessRate) stats().ejections_total.add();
  if (rng_.below(100) >= row.enforcing_percent) return;
  (stats().*row.enforced).add();
  stats().ejections_enforced_total.add();
  OutlierRecord& record = endpoint.outlier.get();
  record.ejected_at = now;
  const auto jitter_ms = static_cast<std::uint64_t>(settings().max_ejection_time_jitter.to_milliseconds());
  record.jitter = Duration::milliseconds(static_cast<std::int64_t>(rng_.next() % (jitter_ms + 1)));
  if (settings().base_ejection_time * record.ejections_in_a_row < settings().max_ejection_time + settings().base_ejection_time)
    ++record.ejections_in_a_row;
  shared().ejected.store(ejected + 1, std::memory_order_relaxed);
  endpoint.set(EndpointFault::kEjected, true, *cluster_.cell);
}

bool OutlierDetector::sweep(Instant now) {
  if (!try_lock()) return false;
  recount();
  for (const config::Endpoint& endpoint : cluster_.endpoints) return_if_due(*endpoint.cell, now);
  const Origin external{&OutlierRecord::external, &EndpointStats::external_results, shared().external, Detection::kSuccessRate,
                        Detection::kFailurePercentage};
  const Origin local{&OutlierRecord::local, &EndpointStats::local_results, shared().local, Detection::kLocalOriginSuccessRate,
                     Detection::kLocalOriginFailurePercentage};
  for (const Origin& origin : {external, local}) {
    measure(origin);
    compare_success_rates(origin, now);
    compare_failure_percentages(origin, now);
  }
  for (const config::Endpoint& endpoint : cluster_.endpoints) reward(*endpoint.cell, now);
  unlock(now);
  return true;
}

// The configuration may have brought or taken ejected endpoints.
void OutlierDetector::recount() {
  const auto ejected = std::ranges::count_if(
      cluster_.endpoints, [](const config::Endpoint& endpoint) { return endpoint.cell->has(EndpointFault::kEjected); });
  shared().ejected.store(static_cast<std::uint32_t>(ejected), std::memory_order_relaxed);
}

void OutlierDetector::return_if_due(EndpointCell& endpoint, Instant now) {
  if (!endpoint.has(EndpointFault::kEjected)) return;
  OutlierRecord& record = endpoint.outlier.get();
  const Duration time = std::min(settings().base_ejection_time * record.ejections_in_a_row, settings().max_ejection_time);
  if (now - record.ejected_at >= time + record.jitter) let_return(endpoint, now);
}

void OutlierDetector::let_return(EndpointCell& endpoint, Instant now) {
  if (!endpoint.has(EndpointFault::kEjected)) return;
  OutlierRecord& record = endpoint.outlier.get();
  // Also the runs that did not lead to this: a few more failures must not be enough for the next ejection.
  clear_failures(record);
  record.returned_at = now;
  shared().ejected.fetch_sub(1, std::memory_order_relaxed);
  endpoint.set(EndpointFault::kEjected, false, *cluster_.cell);
}

// Rates that nobody asks for are not shown: those of ejected endpoints, of too few requests, and of all where there are too few
// endpoints to compare.
void OutlierDetector::measure(const Origin& origin) {
  const auto& success = settings().success_rate;
  const auto& failures = settings().failure_percentage;
  const std::size_t hosts = cluster_.endpoints.size();
  const bool too_few = hosts < success.minimum_hosts && hosts < failures.minimum_hosts;
  const std::uint32_t volume = std::min(success.request_volume, failures.request_volume);
  for (const config::Endpoint& endpoint : cluster_.endpoints) {
    OutlierRate& rate = endpoint.cell->outlier.get().*origin.rate;
    measure_endpoint(*endpoint.cell, origin.results, rate);
    if (too_few || rate.requests < volume || endpoint.cell->has(EndpointFault::kEjected))
      rate.percent.store(-1, std::memory_order_relaxed);
  }
}

void OutlierDetector::compare_success_rates(const Origin& origin, Instant now) {
  const auto& wanted = settings().success_rate;
  // Those with enough requests, by their rates.
  const auto for_each_rate = [&](auto&& act) {
    for (const config::Endpoint& endpoint : cluster_.endpoints) {
      const OutlierRate& rate = endpoint.cell->outlier.peek().*origin.rate;
      const double percent = rate.percent.load(std::memory_order_relaxed);
      if (percent >= 0 && rate.requests >= wanted.request_volume) act(*endpoint.cell, percent);
    }
  };
  std::size_t hosts = 0;
  double sum = 0;
  for_each_rate([&](EndpointCell&, double percent) {
    ++hosts;
    sum += percent;
  });
  double average = -1;
  double threshold = -1;
  if (hosts > 0 && hosts >= wanted.minimum_hosts) {
    average = sum / static_cast<double>(hosts);
    double squares = 0;
    for_each_rate([&](EndpointCell&, double percent) { squares += (percent - average) * (percent - average); });
    threshold = average - wanted.stdev_factor / 1000.0 * std::sqrt(squares / static_cast<double>(hosts));
    for_each_rate([&](EndpointCell& endpoint, double percent) {
      if (percent >= threshold) return;
      stats().ejections_success_rate.add();
      eject(endpoint, origin.success_rate, now);
    });
  }
  origin.threshold.average.store(average, std::memory_order_relaxed);
  origin.threshold.ejection.store(threshold, std::memory_order_relaxed);
}

void OutlierDetector::compare_failure_percentages(const Origin& origin, Instant now) {
  const auto& wanted = settings().failure_percentage;
  const auto has_volume = [&](const config::Endpoint& endpoint) {
    const OutlierRate& rate = endpoint.cell->outlier.peek().*origin.rate;
    return rate.percent.load(std::memory_order_relaxed) >= 0 && rate.requests >= wanted.request_volume;
  };
  if (std::ranges::count_if(cluster_.endpoints, has_volume) < static_cast<std::ptrdiff_t>(wanted.minimum_hosts)) return;
  for (const config::Endpoint& endpoint : cluster_.endpoints) {
    if (!has_volume(endpoint) || endpoint.cell->has(EndpointFault::kEjected)) continue;
    const double percent = (endpoint.cell->outlier.peek().*origin.rate).percent.load(std::memory_order_relaxed);
    if (100.0 - percent >= wanted.threshold) eject(*endpoint.cell, origin.failure_percentage, now);
  }
}

// One that has served for an interval since its last ejection is ejected for less long the next time.
void OutlierDetector::reward(EndpointCell& endpoint, Instant now) {
  OutlierRecord& record = endpoint.outlier.get();
  if (endpoint.has(EndpointFault::kEjected) || record.ejections_in_a_row == 0 || record.returned_at.is_never()) return;
  if (now - record.returned_at >= settings().interval) --record.ejections_in_a_row;
}

void OutlierDetector::forget(const config::Cluster& before, const config::Cluster* after) {
  if (!before.outlier_detection) return;
  std::unordered_set<const EndpointCell*> watched;
  if (after != nullptr && after->outlier_detection) {
    for (const config::Endpoint& endpoint : after->endpoints) watched.insert(endpoint.cell.get());
  }
  report::OutlierShared& shared = before.cell->outlier.get();
  // Others hold it for one decision, or for one sweep; configurations change rarely.
  while (shared.lock.exchange(true)) __builtin_ia32_pause();
  for (const config::Endpoint& endpoint : before.endpoints) {
    if (watched.contains(endpoint.cell.get())) continue;
    OutlierRecord& record = endpoint.cell->outlier.get();
    clear_failures(record);
    record.suspicions.store(0);
    record.ejections_in_a_row = 0;
    record.returned_at = Instant::never();
    record.external.percent.store(-1, std::memory_order_relaxed);
    record.local.percent.store(-1, std::memory_order_relaxed);
    if (endpoint.cell->set(EndpointFault::kEjected, false, *before.cell) && shared.ejected.load(std::memory_order_relaxed) > 0)
      shared.ejected.fetch_sub(1, std::memory_order_relaxed);
  }
  shared.lock.store(false);
}

}  // namespace millrace::proxy
