#include "nic/rules/rule_table.h"

namespace millrace::nic {

RuleTable::RuleTable(std::span<const FlowRule> rules) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].steers()) continue;
    auto entry = std::make_unique<Entry>();
    entry->match = rules[i].match;
    entry->index = i;
    if (const auto* police = std::get_if<FlowRule::Police>(&rules[i].action)) {
      entry->bucket.emplace(police->packets_per_second, police->burst);
      needs_time_ = true;
    }
    entries_.push_back(std::move(entry));
  }
}

bool RuleTable::passes(const FlowKey& key, Instant now) {
  for (const auto& entry : entries_) {
    if (!entry->match.matches(key)) continue;
    entry->hits.fetch_add(1, std::memory_order_relaxed);
    if (entry->bucket && entry->bucket->take(now)) return true;
    entry->dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  return true;
}

RuleTable::Counts RuleTable::counts(std::size_t index) const {
  for (const auto& entry : entries_) {
    if (entry->index != index) continue;
    return {.hits = entry->hits.load(std::memory_order_relaxed), .dropped = entry->dropped.load(std::memory_order_relaxed)};
  }
  return {};
}

}  // namespace millrace::nic
