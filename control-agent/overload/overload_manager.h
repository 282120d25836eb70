// Judges overload: pressures of resources to levels of actions, as envoy.config.overload.v3 says. Pure but for the readers that
// it is given.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/report/overload.h"

namespace millrace::agent {

/// The pressure of a resource, 0 (none) to 1 (all is used) and above; or why it cannot be told.
using PressureReader = std::function<Result<double, std::string>()>;

struct OverloadTrigger {
  std::size_t resource = 0;  ///< index of OverloadPlan::readers
  double scaling = 0;        ///< up to here there is no overload
  double saturation = 0;     ///< from here on it is complete; between them it grows evenly. Never less than `scaling`
};

struct OverloadActionPlan {
  report::OverloadAction action;
  std::vector<OverloadTrigger> triggers;  ///< the one that says most counts
};

struct OverloadPlan {
  std::chrono::milliseconds interval{1000};
  std::vector<PressureReader> readers;  ///< as the cell's resources
  std::vector<OverloadActionPlan> actions;
  std::shared_ptr<report::OverloadCell> cell;  ///< never null
};

class OverloadManager {
 public:
  using Clock = std::chrono::steady_clock;

  /// How often free memory goes back to the system at the most.
  static constexpr std::chrono::seconds kShrinkInterval{10};

  /// `shrink_heap`: what gives it back.
  OverloadManager(const OverloadPlan& plan, std::function<void()> shrink_heap);

  /// Reads all resources and sets the level of each action. Returns a line for the log for each action that began or ended, and
  /// for each resource that could not be read where it could be before.
  std::vector<std::string> refresh(Clock::time_point now);

 private:
  struct Resource {
    std::optional<double> pressure;  ///< the last that could be read
    bool failing = false;
  };

  void read(std::size_t resource, std::vector<std::string>& lines);
  [[nodiscard]] std::uint32_t level_of(const OverloadActionPlan& action) const;
  void act(report::OverloadAction action, std::uint32_t level, Clock::time_point now);

  const OverloadPlan& plan_;
  const std::function<void()> shrink_heap_;
  std::vector<Resource> resources_;
  Clock::time_point last_shrink_ = Clock::time_point::min();
};

}  // namespace millrace::agent
