#include "nic/rules/rule_placement.h"

#include <algorithm>

namespace millrace::nic {
namespace {

bool is_drop(const FlowRule& rule) { return std::holds_alternative<FlowRule::Drop>(rule.action); }

// Of two rules of one kind that a packet may match: which of them comes first does not matter.
bool decide_alike(const FlowRule& a, const FlowRule& b) { return a.action == b.action && (is_drop(a) || a.steers()); }

class Placement {
 public:
  Placement(std::span<const FlowRule> rules, const RulePort& port, FlowTable& table)
      : rules_(rules), port_(port), table_(table) {}

  std::vector<RuleUse> run() {
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      std::string reason = place(i);
      const Place where = reason.empty() ? Place::kDevice : Place::kSoftware;
      uses_.push_back({.name = rules_[i].name, .where = where, .reason = std::move(reason)});
    }
    return std::move(uses_);
  }

 private:
  /// Empty when the device took the rule, else why it did not.
  std::string place(std::size_t index) {
    const FlowRule& rule = rules_[index];
    if (rule.steers() && port_.queues != port_.workers) {
      return "the port has " + std::to_string(port_.queues) + " queue(s) for " + std::to_string(port_.workers) + " workers";
    }
    auto entries = compile_rule(rule, port_.vlan);
    if (!entries) return entries.error();
    priorities_.resize(index + 1);
    // What drops goes before what steers; what steers elsewhere, in the rules' order. Priorities that nobody needs are not asked
    // for: many devices have none.
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      const FlowRule& other = rules_[i];
      if (i == index || other.match.disjoint(rule.match)) continue;
      if (rule.steers() && is_drop(other)) priorities_[index] = std::max(priorities_[index], 1u);
      if (i > index || other.steers() != rule.steers() || decide_alike(other, rule)) continue;
      if (uses_[i].where == Place::kSoftware)
        return "\"" + other.name + "\", which software does, may match the same packets first";
      priorities_[index] = std::max(priorities_[index], priorities_[i] + 1);
    }
    for (DeviceRule& entry : *entries) entry.priority = priorities_[index];
    const auto installed = table_.install(index, *entries);
    return installed ? std::string() : installed.error();
  }

  std::span<const FlowRule> rules_;
  const RulePort port_;
  FlowTable& table_;
  std::vector<RuleUse> uses_;
  std::vector<std::uint32_t> priorities_;  // of rules_, as far as they were placed
};

}  // namespace

std::vector<RuleUse> place_rules(std::span<const FlowRule> rules, const RulePort& port, FlowTable& table) {
  return Placement(rules, port, table).run();
}

}  // namespace millrace::nic
