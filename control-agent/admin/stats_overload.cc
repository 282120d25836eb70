// Statistics of the overload manager.
#include <string>

#include "control-agent/admin/stat_collector.h"

namespace millrace::agent {
namespace {

constexpr std::int64_t kPercent = 100;

CellCollector collector_of(const std::string& name, std::vector<Stat>& out) {
  return {out, "overload." + name + ".", "envoy_overload_", {{"envoy_overload_name", name}}};
}

void collect_action(const report::OverloadCell& cell, report::OverloadAction action, std::vector<Stat>& out) {
  using report::OverloadCell;
  const std::uint32_t level = cell.level(action);
  CellCollector collector = collector_of(report::to_text(action), out);
  collector.gauge("active", level == OverloadCell::kSaturated ? 1 : 0);
  collector.gauge("scale_percent", level * kPercent / OverloadCell::kSaturated);
  if (action == report::OverloadAction::kShrinkHeap) {
    collector.counter("shrink_count", static_cast<std::int64_t>(cell.heap_shrinks.value()));
  } else if (action == report::OverloadAction::kResetHighMemoryStream) {
    std::uint64_t count = 0;
    for (const report::Counter& worker : cell.streams_reset) count += worker.value();
    collector.counter("count", static_cast<std::int64_t>(count));
  }
}

}  // namespace

void collect_overload(const config::Overload& overload, std::vector<Stat>& out) {
  for (const report::OverloadAction action : overload.actions) collect_action(*overload.cell, action, out);
  for (const report::ResourceStats& resource : overload.cell->resources) {
    CellCollector collector = collector_of(resource.name, out);
    collector.gauge("pressure", resource.pressure.value());
    collector.counter("failed_updates", static_cast<std::int64_t>(resource.failed_updates.value()));
    collector.counter("skipped_updates", static_cast<std::int64_t>(resource.skipped_updates.value()));
  }
}

}  // namespace millrace::agent
