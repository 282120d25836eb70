// What the overload manager tells the workers, and what both tell the world of it. The manager's thread writes levels and
// pressures; any thread reads. One for the process.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "dataplane/report/cells.h"
#include "dataplane/report/counter.h"

namespace millrace::report {

/// What is done when something runs short. Names: Envoy's, behind "envoy.overload_actions.".
enum class OverloadAction : std::uint8_t {
#define MR_OVERLOAD_ACTION(name, text) name,
#include "dataplane/report/overload_action.def"
#undef MR_OVERLOAD_ACTION
};
inline constexpr std::size_t kOverloadActions = 0
#define MR_OVERLOAD_ACTION(name, text) +1
#include "dataplane/report/overload_action.def"
#undef MR_OVERLOAD_ACTION
    ;

/// Envoy's name.
[[nodiscard]] constexpr const char* to_text(OverloadAction action) {
  switch (action) {
#define MR_OVERLOAD_ACTION(name, text) \
  case OverloadAction::name: return "envoy.overload_actions." text;
#include "dataplane/report/overload_action.def"
#undef MR_OVERLOAD_ACTION
  }
  return "";
}

/// One thing that is watched.
struct ResourceStats {
  explicit ResourceStats(std::string resource) : name(std::move(resource)) {}

  const std::string name;   ///< "envoy.resource_monitors.fixed_heap"
  Gauge pressure;           ///< percent
  Counter failed_updates;   ///< it could not be read
  Counter skipped_updates;  ///< always 0: a look is over before the next one is due
};

class OverloadCell {
 public:
  /// Of a level: the action is in full effect.
  static constexpr std::uint32_t kSaturated = 10'000;

  OverloadCell(std::vector<std::string> resource_names, std::size_t workers) : streams_reset(workers) {
    for (std::string& name : resource_names) resources.emplace_back(std::move(name));
  }

  /// 0 (not at all) to kSaturated.
  [[nodiscard]] std::uint32_t level(OverloadAction action) const {
    return levels_[static_cast<std::size_t>(action)].load(std::memory_order_relaxed);
  }
  void set_level(OverloadAction action, std::uint32_t level) {
    levels_[static_cast<std::size_t>(action)].store(level, std::memory_order_relaxed);
  }

  std::deque<ResourceStats> resources;  ///< their number is constant
  Counter heap_shrinks;
  std::vector<Counter> streams_reset;          ///< by worker
  std::atomic<std::uint32_t> reset_rounds{0};  ///< counts up when workers have to look for expensive streams
  SharedTotal connections;                     ///< of all clients

 private:
  std::array<std::atomic<std::uint32_t>, kOverloadActions> levels_{};
};

}  // namespace millrace::report
