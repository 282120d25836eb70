// The outlier detection of one cluster on one worker, where it is configured: its detector, and, on worker 0, the timer of
// sweeps. One worker sweeps, so that an interval is looked at once; that it is the first is a choice as good as any, since all
// have every cluster.
#pragma once

#include <memory>
#include <optional>

#include "config/model/cluster.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/outlier/detector.h"

namespace millrace::proxy {

struct Runtime;

class OutlierWatch {
 public:
  OutlierWatch(Runtime& runtime, std::shared_ptr<const config::Cluster> config, Instant now);

  /// Takes over a new version.
  void update(std::shared_ptr<const config::Cluster> config, Instant now);
  /// The cluster is gone from the configuration: nothing is detected any more.
  void retire();
  /// Null: there is no outlier detection.
  [[nodiscard]] OutlierDetector* detector() { return detector_ ? &*detector_ : nullptr; }

 private:
  /// After which a sweep is tried again that another worker's decision stood in the way of.
  static constexpr Duration kRetry = Duration::milliseconds(1);

  void begin(Instant now);
  void on_timer(Instant now);

  Runtime& runtime_;
  std::shared_ptr<const config::Cluster> config_;
  std::optional<OutlierDetector> detector_;
  Timer timer_;
};

}  // namespace millrace::proxy
