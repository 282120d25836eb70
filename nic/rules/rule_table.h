// The rules that drop and police, in software: what a device's flow table and meters do, by the same data. Pure: frames and the
// time are arguments.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/flow_rule.h"
#include "dataplane/base/time.h"
#include "nic/rules/frame_key.h"
#include "nic/rules/token_bucket.h"

namespace millrace::nic {

/// Immutable but for its counters and meters; any thread.
class RuleTable {
 public:
  struct Counts {
    std::uint64_t hits = 0;     ///< frames that the rule decided about
    std::uint64_t dropped = 0;  ///< those of them that did not pass
  };

  /// Of `rules`, those that steer are passed over, but keep their places in what counts() counts.
  explicit RuleTable(std::span<const FlowRule> rules);
  RuleTable(const RuleTable&) = delete;
  RuleTable& operator=(const RuleTable&) = delete;

  /// Whether the first rule that matches lets the frame pass; without one it does. What is not IP passes.
  [[nodiscard]] bool passes(std::span<const std::uint8_t> frame, Instant now) {
    const auto key = frame_key(frame);
    return !key || passes(key->flow, now);
  }
  [[nodiscard]] bool passes(const FlowKey& key, Instant now);

  /// Of rules[index].
  [[nodiscard]] Counts counts(std::size_t index) const;
  /// Some rule polices: passes() looks at the time.
  [[nodiscard]] bool needs_time() const { return needs_time_; }
  /// No rule drops or polices.
  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  struct alignas(64) Entry {
    FlowMatch match;
    std::size_t index = 0;  // among all rules
    std::optional<TokenBucket> bucket = {};
    std::atomic<std::uint64_t> hits{0};
    std::atomic<std::uint64_t> dropped{0};
  };

  std::vector<std::unique_ptr<Entry>> entries_;
  bool needs_time_ = false;
};

}  // namespace millrace::nic
