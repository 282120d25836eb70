#include "tests/simulation/ejection_oracle.h"

#include <algorithm>
#include <cmath>

namespace millrace::sim {
namespace {

using report::EndpointFault;

// Envoy's healthy_panic_threshold where none is set.
constexpr std::size_t kPanicPercent = 50;

Results total(const report::EndpointCell& cell, report::OutlierResults report::EndpointStats::* origin) {
  Results sum;
  for (const report::EndpointStats& worker : cell.per_worker) {
    sum.requests += (worker.*origin).requests.value();
    sum.successes += (worker.*origin).successes.value();
  }
  return sum;
}

Results operator-(const Results& a, const Results& b) { return {a.requests - b.requests, a.successes - b.successes}; }

}  // namespace

void FailureRun::count(const Results& turn, std::uint32_t run) {
  const std::uint64_t failures = turn.failures();
  maybe_ = run > 0 && most_ + failures >= run && failures > 0;
  surely_ = run > 0 && turn.successes == 0 && least_ + failures >= run && failures > 0;
  if (turn.successes > 0) {
    least_ = 0;
    most_ = failures;
  } else if (surely_ && least_ != most_) {
    least_ = 0;
    most_ += failures;
  } else {
    least_ += failures;
    most_ += failures;
  }
  if (run == 0) return;
  if (least_ == most_) least_ = most_ = most_ % run;
  most_ = std::min<std::uint64_t>(most_, run - 1);
  least_ = std::min(least_, most_);
}

EjectionOracle::EjectionOracle(const config::Cluster& cluster, const EjectionOracleConfig& config)
    : config_(config), checked_(cluster.health_check != nullptr), cell_(cluster.cell) {
  for (const config::Endpoint& endpoint : cluster.endpoints) endpoints_.push_back({.config = endpoint});
}

void EjectionOracle::after_turn(Instant now, Findings& findings) {
  for (Endpoint& endpoint : endpoints_) count(endpoint);
  look_at_rates();
  ejected_ = ejected();
  most_ejected_ = std::max(ejected_before_, ejected_) + static_cast<std::size_t>(std::ranges::count_if(
                                                            endpoints_, [](const Endpoint& e) { return e.is_ejected_anew(); }));
  const bool avoids = !panicked_before_ && !panics() && pending_before_ == 0 && ejected_ == ejected_before_;
  for (Endpoint& endpoint : endpoints_) {
    audit_requests(endpoint, avoids && endpoint.stays_ejected(), findings);
    audit_endpoint(endpoint, now, findings);
  }
  const bool too_many = ejected_ * 100 > config_.detection.max_ejection_percent * endpoints_.size();
  if (too_many && ejected_ > ejected_before_ && !(config_.detection.always_eject_one_host && ejected_ == 1))
    findings.add("gateway: " + std::to_string(ejected_) + " endpoints are ejected");
  if (cell_->outlier.peek().ejected.load() != ejected_) findings.add("gateway: ejections are miscounted");
  ejected_before_ = ejected_;
  pending_before_ = pending();
  panicked_before_ = panics();
}

// It may return and be ejected, or the other way round, within the turn.
void EjectionOracle::audit_endpoint(Endpoint& endpoint, Instant now, Findings& findings) {
  const bool is_ejected = endpoint.is_ejected();
  const bool anew = endpoint.is_ejected_anew();
  const std::string who = "gateway: " + endpoint.config.address.to_string();
  const Duration longest = ejection_time(endpoint.most_times) + config_.detection.max_ejection_time_jitter;
  if (endpoint.stays_ejected() && now - endpoint.ejected_at > longest + config_.detection.interval + config_.delay)
    findings.add(who + " is ejected for too long");
  if (endpoint.ejected && (!is_ejected || anew)) audit_return(endpoint, now, findings);
  if (!endpoint.ejected && (is_ejected || anew)) {
    audit_ejection(endpoint, now, findings);
  } else if (!endpoint.ejected && must_be_ejected(endpoint)) {
    findings.add(who + " has failed, and is not ejected");
  }
  if (endpoint.ejected && !is_ejected) audit_return(endpoint, now, findings);
  endpoint.known_ejection = endpoint.config.cell->outlier.peek().ejected_at;
}

void EjectionOracle::count(Endpoint& endpoint) {
  const std::array<Results, 2> now = {total(*endpoint.config.cell, &report::EndpointStats::external_results),
                                      total(*endpoint.config.cell, &report::EndpointStats::local_results)};
  endpoint.turn = {now[kExternal] - endpoint.total[kExternal], now[kLocal] - endpoint.total[kLocal]};
  endpoint.total = now;
  count_runs(endpoint);
  endpoint.detected = endpoint.suspected = {};
  for (std::size_t run = 0; run < endpoint.runs.size(); ++run) {
    endpoint.detected[run] = endpoint.runs[run].was_detected();
    endpoint.suspected[run] = endpoint.runs[run].may_have_been_detected();
  }
  if (!config_.gateway_failures_only) endpoint.detected[kConsecutiveGatewayFailure] = false;
}

void EjectionOracle::count_runs(Endpoint& endpoint) {
  const config::OutlierDetection& detection = config_.detection;
  endpoint.runs[kConsecutive5xx].count(endpoint.turn[kExternal], detection.consecutive_5xx.count);
  endpoint.runs[kConsecutiveGatewayFailure].count(endpoint.turn[kExternal], detection.consecutive_gateway_failure.count);
  endpoint.runs[kConsecutiveLocalOriginFailure].count(endpoint.turn[kLocal], detection.consecutive_local_origin_failure.count);
}

// Where the gateway has looked at rates in this turn: what it has counted until then tells of which results.
void EjectionOracle::look_at_rates() {
  const auto looked = [](const Endpoint& endpoint) {
    const report::OutlierRecord& record = endpoint.config.cell->outlier.peek();
    return std::array<Results, 2>{Results{record.external.seen_requests, record.external.seen_successes},
                                  Results{record.local.seen_requests, record.local.seen_successes}};
  };
  const auto is_new = [&](const Endpoint& endpoint) {
    return looked(endpoint)[kExternal].requests != endpoint.looked[kExternal].requests ||
           looked(endpoint)[kLocal].requests != endpoint.looked[kLocal].requests;
  };
  if (std::ranges::none_of(endpoints_, is_new)) return;
  for (Endpoint& endpoint : endpoints_) {
    for (const Origin origin : {kExternal, kLocal}) {
      endpoint.interval[origin] = looked(endpoint)[origin] - endpoint.looked[origin];
      endpoint.looked[origin] = looked(endpoint)[origin];
    }
  }
  compare_success_rates(kExternal, kSuccessRate);
  compare_success_rates(kLocal, kLocalOriginSuccessRate);
  compare_failure_percentages(kExternal, kFailurePercentage);
  compare_failure_percentages(kLocal, kLocalOriginFailurePercentage);
  // Whom it compared is not known where a run of failures has led to an ejection before.
  const auto by_run = [](const Endpoint& endpoint) {
    const bool failed = endpoint.suspected[kConsecutive5xx] || endpoint.suspected[kConsecutiveGatewayFailure] ||
                        endpoint.suspected[kConsecutiveLocalOriginFailure];
    return failed && endpoint.is_ejected_anew();
  };
  if (std::ranges::none_of(endpoints_, by_run)) return;
  for (Endpoint& endpoint : endpoints_) {
    for (std::size_t detection = kSuccessRate; detection < kDetections; ++detection) {
      endpoint.detected[detection] = false;
      endpoint.suspected[detection] = true;
    }
  }
}

// Endpoints that were ejected before have no rate, unless they have returned at the same look.
void EjectionOracle::compare_success_rates(Origin origin, Detection detection) {
  const auto& wanted = config_.detection.success_rate;
  std::vector<Endpoint*> compared;
  for (Endpoint& endpoint : endpoints_) {
    if (!endpoint.stays_ejected() && endpoint.interval[origin].requests >= std::max(wanted.request_volume, 1u))
      compared.push_back(&endpoint);
  }
  if (compared.empty() || compared.size() < wanted.minimum_hosts) return;
  const auto hosts = static_cast<double>(compared.size());
  double mean = 0;
  double variance = 0;
  for (const Endpoint* endpoint : compared) mean += endpoint->interval[origin].success_percent() / hosts;
  for (const Endpoint* endpoint : compared) {
    const double off = endpoint->interval[origin].success_percent() - mean;
    variance += off * off / hosts;
  }
  const double threshold = mean - wanted.stdev_factor / 1000.0 * std::sqrt(variance);
  constexpr double kRounding = 1e-6;
  for (Endpoint* endpoint : compared) {
    const double rate = endpoint->interval[origin].success_percent();
    endpoint->detected[detection] = rate < threshold - kRounding;
    endpoint->suspected[detection] = rate < threshold + kRounding;
  }
}

void EjectionOracle::compare_failure_percentages(Origin origin, Detection detection) {
  const auto& wanted = config_.detection.failure_percentage;
  std::vector<Endpoint*> compared;
  for (Endpoint& endpoint : endpoints_) {
    if (!endpoint.stays_ejected() && endpoint.interval[origin].requests >= std::max(wanted.request_volume, 1u))
      compared.push_back(&endpoint);
  }
  if (compared.size() < wanted.minimum_hosts) return;
  for (Endpoint* endpoint : compared) {
    const Results& interval = endpoint->interval[origin];
    endpoint->detected[detection] = endpoint->suspected[detection] =
        interval.failures() * 100 >= std::uint64_t{wanted.threshold} * interval.requests;
  }
}

void EjectionOracle::audit_ejection(Endpoint& endpoint, Instant now, Findings& findings) {
  if (!may_be_ejected(endpoint)) findings.add("gateway: " + endpoint.config.address.to_string() + " is ejected for no reason");
  // While it has served, each interval has taken one off.
  const Duration interval = config_.detection.interval;
  if (!endpoint.returned_at.is_never()) {
    const std::int64_t served = (now - endpoint.returned_at).to_nanoseconds();
    const auto most = static_cast<std::uint64_t>(served / interval.to_nanoseconds());
    const auto least = static_cast<std::uint64_t>(served / (interval + config_.delay).to_nanoseconds());
    endpoint.least_times -= std::min(endpoint.least_times, most);
    endpoint.most_times -= std::min(endpoint.most_times, least > 0 ? least - 1 : 0);
  }
  ++endpoint.least_times;
  ++endpoint.most_times;
  endpoint.ejected = true;
  endpoint.ejected_at = now;
}

void EjectionOracle::audit_return(Endpoint& endpoint, Instant now, Findings& findings) {
  const bool by_health_check = checked_ && config_.detection.return_on_health_check;
  if (now - endpoint.ejected_at < ejection_time(endpoint.least_times) && !by_health_check)
    findings.add("gateway: " + endpoint.config.address.to_string() + " has returned too early");
  // What this turn has brought may have come after it: as after a success.
  for (FailureRun& run : endpoint.runs) run = {};
  for (Results& turn : endpoint.turn) ++turn.requests, ++turn.successes;
  count_runs(endpoint);
  for (std::size_t run = 0; run < endpoint.runs.size(); ++run) {
    endpoint.detected[run] = false;
    endpoint.suspected[run] = endpoint.runs[run].may_have_been_detected();
  }
  endpoint.ejected = false;
  endpoint.returned_at = now;
}

void EjectionOracle::audit_requests(Endpoint& endpoint, bool avoids, Findings& findings) const {
  std::uint64_t sent = 0;
  for (const report::EndpointStats& worker : endpoint.config.cell->per_worker) sent += worker.rq_total.value();
  if (avoids && sent > endpoint.sent)
    findings.add("gateway: " + endpoint.config.address.to_string() + " gets requests, and is ejected");
  endpoint.sent = sent;
}

// However the other ejections of this turn came before it or after.
bool EjectionOracle::must_be_ejected(const Endpoint& endpoint) const {
  if (!allows(most_ejected_)) return false;
  for (std::size_t detection = 0; detection < kDetections; ++detection) {
    if (endpoint.detected[detection] && enforcing(detection) == 100) return true;
  }
  return false;
}

bool EjectionOracle::may_be_ejected(const Endpoint& endpoint) const {
  for (std::size_t detection = 0; detection < kDetections; ++detection) {
    if (endpoint.suspected[detection] && enforcing(detection) > 0) return true;
  }
  return false;
}

bool EjectionOracle::allows(std::size_t ejected) const {
  return (ejected + 1) * 100 <= config_.detection.max_ejection_percent * endpoints_.size() ||
         (config_.detection.always_eject_one_host && ejected == 0);
}

std::uint32_t EjectionOracle::enforcing(std::size_t detection) const {
  const config::OutlierDetection& of = config_.detection;
  switch (detection) {
    case kConsecutive5xx: return of.consecutive_5xx.enforcing_percent;
    case kConsecutiveGatewayFailure: return of.consecutive_gateway_failure.enforcing_percent;
    case kConsecutiveLocalOriginFailure: return of.consecutive_local_origin_failure.enforcing_percent;
    case kSuccessRate: return of.success_rate.enforcing_percent;
    case kLocalOriginSuccessRate: return of.success_rate.enforcing_local_origin_percent;
    case kFailurePercentage: return of.failure_percentage.enforcing_percent;
    default: return of.failure_percentage.enforcing_local_origin_percent;
  }
}

Duration EjectionOracle::ejection_time(std::uint64_t times) const {
  const config::OutlierDetection& of = config_.detection;
  return std::min(of.base_ejection_time * static_cast<std::int64_t>(times), of.max_ejection_time);
}

std::size_t EjectionOracle::ejected() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      endpoints_, [](const Endpoint& endpoint) { return endpoint.config.cell->has(EndpointFault::kEjected); }));
}

// Then health does not count, ejections included.
bool EjectionOracle::panics() const {
  std::size_t good = 0;
  std::size_t counted = 0;
  for (const Endpoint& endpoint : endpoints_) {
    const config::EndpointHealth health = config::health_of(endpoint.config);
    good += health == config::EndpointHealth::kHealthy || health == config::EndpointHealth::kDegraded;
    counted += health != config::EndpointHealth::kExcluded;
  }
  return good * 100 < kPanicPercent * counted || counted == 0;
}

std::int64_t EjectionOracle::pending() const {
  std::int64_t sum = 0;
  for (const report::ClusterStats& worker : cell_->per_worker) sum += worker.upstream_rq_pending_active.value();
  return sum;
}

}  // namespace millrace::sim
