#include "dataplane/proxy/outlier_watch.h"

#include <utility>

#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

OutlierWatch::OutlierWatch(Runtime& runtime, std::shared_ptr<const config::Cluster> config, Instant now)
    : runtime_(runtime), config_(std::move(config)), timer_(Timer::calling<&OutlierWatch::on_timer>(*this)) {
  begin(now);
}

// An interval that has begun goes on, unless it has another length now: configurations that come often must not put sweeps off.
void OutlierWatch::update(std::shared_ptr<const config::Cluster> config, Instant now) {
  const std::shared_ptr<const config::Cluster> before = std::exchange(config_, std::move(config));
  detector_.reset();
  OutlierDetector::forget(*before, config_.get());
  const bool same_interval = before->outlier_detection && config_->outlier_detection &&
                             before->outlier_detection->interval == config_->outlier_detection->interval;
  if (!same_interval) timer_.disarm();
  begin(now);
}

void OutlierWatch::retire() {
  detector_.reset();
  timer_.disarm();
  OutlierDetector::forget(*config_, nullptr);
}

void OutlierWatch::begin(Instant now) {
  if (!config_->outlier_detection) return;
  detector_.emplace(*config_, runtime_.worker(), runtime_.context.rng);
  if (runtime_.worker() == 0 && !timer_.is_armed()) runtime_.arm_after(timer_, now, config_->outlier_detection->interval);
}

void OutlierWatch::on_timer(Instant now) {
  const bool swept = detector_->sweep(now);
  runtime_.arm_after(timer_, now, swept ? config_->outlier_detection->interval : kRetry);
}

}  // namespace millrace::proxy
