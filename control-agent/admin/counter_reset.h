// What /reset_counters does: workers own their counters, so what they have counted so far is remembered, and taken off.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "control-agent/admin/stats.h"

namespace millrace::agent {

/// Any thread may call.
class CounterReset {
 public:
  /// From here on counters count from what they are in `now`.
  void reset(const std::vector<Stat>& now) {
    const std::scoped_lock lock(mutex_);
    for (const Stat& stat : now) {
      if (stat.kind == StatKind::kCounter) zeros_[stat.name] = stat.value;
    }
  }
  void apply(std::vector<Stat>& stats) const {
    const std::scoped_lock lock(mutex_);
    if (zeros_.empty()) return;
    for (Stat& stat : stats) {
      const auto zero = stat.kind == StatKind::kCounter ? zeros_.find(stat.name) : zeros_.end();
      if (zero != zeros_.end()) stat.value -= zero->second;
    }
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::int64_t> zeros_;  // by name
};

}  // namespace millrace::agent
