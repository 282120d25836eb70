#include "control-agent/overload/overload_manager.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace millrace::agent {
namespace {

using report::OverloadAction;
using report::OverloadCell;

constexpr double kPercent = 100;

std::uint32_t level_of(const OverloadTrigger& trigger, double pressure) {
  if (pressure >= trigger.saturation) return OverloadCell::kSaturated;
  if (pressure <= trigger.scaling) return 0;
  const double part = (pressure - trigger.scaling) / (trigger.saturation - trigger.scaling);
  return static_cast<std::uint32_t>(part * OverloadCell::kSaturated);
}

std::string percent(double part) { return std::to_string(std::lround(part * kPercent)) + "%"; }

}  // namespace

OverloadManager::OverloadManager(const OverloadPlan& plan, std::function<void()> shrink_heap)
    : plan_(plan), shrink_heap_(std::move(shrink_heap)), resources_(plan.readers.size()) {}

std::vector<std::string> OverloadManager::refresh(Clock::time_point now) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < resources_.size(); ++i) read(i, lines);
  for (const OverloadActionPlan& action : plan_.actions) {
    const std::uint32_t before = plan_.cell->level(action.action);
    const std::uint32_t level = level_of(action);
    plan_.cell->set_level(action.action, level);
    act(action.action, level, now);
    if ((before > 0) == (level > 0)) continue;
    std::string line = std::string("overload: ") + report::to_text(action.action) + (level > 0 ? " begins" : " ends") + ":";
    for (const OverloadTrigger& trigger : action.triggers)
      line +=
          " " + plan_.cell->resources[trigger.resource].name + " " + percent(resources_[trigger.resource].pressure.value_or(0));
    lines.push_back(std::move(line));
  }
  return lines;
}

void OverloadManager::read(std::size_t resource, std::vector<std::string>& lines) {
  Resource& state = resources_[resource];
  report::ResourceStats& stats = plan_.cell->resources[resource];
  const Result<double, std::string> pressure = plan_.readers[resource]();
  if (!pressure) {
    stats.failed_updates.add();
    if (!std::exchange(state.failing, true)) lines.push_back("overload: " + stats.name + " cannot be read: " + pressure.error());
    return;
  }
  state.failing = false;
  state.pressure = *pressure;
  stats.pressure.set(std::lround(*pressure * kPercent));
}

// One that was never read says nothing.
std::uint32_t OverloadManager::level_of(const OverloadActionPlan& action) const {
  std::uint32_t most = 0;
  for (const OverloadTrigger& trigger : action.triggers) {
    if (const auto& pressure = resources_[trigger.resource].pressure) most = std::max(most, agent::level_of(trigger, *pressure));
  }
  return most;
}

void OverloadManager::act(OverloadAction action, std::uint32_t level, Clock::time_point now) {
  if (action == OverloadAction::kResetHighMemoryStream && level > 0)
    plan_.cell->reset_rounds.fetch_add(1, std::memory_order_relaxed);
  if (action != OverloadAction::kShrinkHeap || level < OverloadCell::kSaturated) return;
  if (last_shrink_ != Clock::time_point::min() && now - last_shrink_ < kShrinkInterval) return;
  last_shrink_ = now;
  shrink_heap_();
  plan_.cell->heap_shrinks.add();
}

}  // namespace millrace::agent
