#include "dataplane/proxy/health_watch.h"

#include <array>
#include <string_view>
#include <utility>

#include "dataplane/proxy/health/event_text.h"
#include "dataplane/proxy/health_probe.h"
#include "dataplane/proxy/outlier_watch.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

using report::EndpointFault;

HealthWatch::HealthWatch(Runtime& runtime, OutlierWatch* outliers, std::shared_ptr<const config::Cluster> config, Instant now,
                         const config::Cluster* serving)
    : runtime_(runtime), outliers_(outliers), config_(std::move(config)) {
  HealthChecker::begin(*config_, serving);
  follow_endpoints(nullptr, now);
}

HealthWatch::~HealthWatch() = default;

void HealthWatch::update(std::shared_ptr<const config::Cluster> config, Instant now, const config::Cluster* serving) {
  const std::shared_ptr<const config::Cluster> before = std::exchange(config_, std::move(config));
  HealthChecker::forget(*before, config_.get());
  HealthChecker::begin(*config_, serving);
  follow_endpoints(before->health_check.get(), now);
}

void HealthWatch::retire(Instant now, const config::Cluster* successor) {
  stop(probes_, now);
  checker_.reset();
  HealthChecker::forget(*config_, successor);
}

bool HealthWatch::checks(const config::Endpoint& endpoint) const {
  return endpoint.extras().health_target != nullptr &&
         endpoint.cell->id % endpoint.cell->per_worker.size() == static_cast<std::size_t>(runtime_.worker());
}

void HealthWatch::follow_endpoints(const config::HealthCheck* before, Instant now) {
  Probes known = std::exchange(probes_, {});
  checker_.reset();
  if (config_->health_check != nullptr) {
    checker_.emplace(*config_, runtime_.worker(), runtime_.context.rng);
    const bool same_checks = before != nullptr && before->content_hash == settings().content_hash;
    for (const config::Endpoint& endpoint : config_->endpoints) {
      if (!checks(endpoint)) continue;
      std::unique_ptr<HealthProbe>& probe = probes_[endpoint.cell.get()];
      if (probe != nullptr) continue;  // it stands there twice
      const auto at = known.find(endpoint.cell.get());
      if (at != known.end() && same_checks && at->second->follow(endpoint)) {
        probe = std::move(at->second);
        known.erase(at);
      } else {
        probe = make_health_probe(*this, endpoint);
        probe->start(now);
      }
    }
  }
  stop(known, now);
}

void HealthWatch::stop(Probes& probes, Instant now) {
  for (const auto& [cell, probe] : probes) probe->stop(now);
  probes.clear();
}

Duration HealthWatch::conclude(const config::Endpoint& endpoint, const CheckResult& result, Instant now) {
  report::EndpointCell& cell = *endpoint.cell;
  if (result.excludes) checker_->exclude(cell);
  const CheckOutcome outcome = result.success ? checker_->on_success(cell, result.degraded, now)
                                              : checker_->on_failure(cell, result.failure, result.retriable);
  log(endpoint, outcome, result.failure, now);
  OutlierDetector* detector = outliers_ == nullptr ? nullptr : outliers_->detector();
  if (result.success && !cell.has(EndpointFault::kFailedHealthCheck) && detector != nullptr) detector->on_healthy(cell, now);
  return checker_->wait_after(outcome, result.success);
}

void HealthWatch::fail_at_once(const config::Endpoint& endpoint, Instant now) {
  if (!checker_ || endpoint.extras().health_target == nullptr || !endpoint.cell->health.peek().watched.load()) return;
  checker_->exclude(*endpoint.cell);
  log(endpoint, checker_->on_failure(*endpoint.cell, CheckFailure::kPassive), CheckFailure::kPassive, now);
}

void HealthWatch::log(const config::Endpoint& endpoint, const CheckOutcome& outcome, CheckFailure failure, Instant now) {
  if (settings().log_sinks.empty()) return;
  for (const CheckEvent event : kCheckEvents) {
    if (!outcome.has(event)) continue;
    const CheckEventFacts facts{
        .event = event, .failure = failure, .first = outcome.first, .wall_nanoseconds = runtime_.wall_nanoseconds(now)};
    std::array<char, 2'048> line;
    const std::string_view text(line.data(), write_check_event(facts, *config_, endpoint, line));
    for (const std::uint32_t sink : settings().log_sinks) runtime_.context.log.push(sink, text);
  }
}

}  // namespace millrace::proxy
