#include "nic/rules/rule_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace millrace::nic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Takes every rule but those it was told to refuse.
class FakeTable final : public FlowTable {
 public:
  Result<void, std::string> install(std::size_t rule, std::span<const DeviceRule> entries) override {
    if (refused.contains(rule)) return Error<std::string>("no room");
    priorities[rule] = entries.front().priority;
    return {};
  }
  std::set<std::size_t> refused;
  std::map<std::size_t, std::uint32_t> priorities;
};

FlowMatch to_port(std::uint16_t first, std::uint16_t last) {
  return {.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{first, last}};
}
FlowRule drop(const char* name, FlowMatch match = {}) { return {.name = name, .match = std::move(match)}; }
FlowRule police(const char* name, FlowMatch match = {}) {
  return {.name = name, .match = std::move(match), .action = FlowRule::Police{10, 10}};
}
FlowRule steer(const char* name, std::uint16_t worker, FlowMatch match = {}) {
  return {.name = name, .match = std::move(match), .action = FlowRule::Steer{worker}};
}

class PlaceRules : public ::testing::Test {
 protected:
  /// The names of those that are in the device.
  std::vector<std::string> in_device(std::vector<FlowRule> rules, const RulePort& port = {.queues = 4, .workers = 4}) {
    uses = place_rules(rules, port, table);
    std::vector<std::string> names;
    for (const RuleUse& use : uses) {
      if (use.where == Place::kDevice) names.push_back(use.name);
      EXPECT_EQ(use.reason.empty(), use.where == Place::kDevice) << use.name;
    }
    return names;
  }
  FakeTable table;
  std::vector<RuleUse> uses;
};

TEST_F(PlaceRules, KeepsTheDevicesReason) {
  table.refused = {1};
  EXPECT_THAT(in_device({drop("a", to_port(1, 1)), drop("b", to_port(2, 2)), drop("c", to_port(3, 3))}), ElementsAre("a", "c"));
  EXPECT_EQ(uses[1].reason, "no room");
}

TEST_F(PlaceRules, ADropDoesNotGoBeforeAPolicingRuleThatMightLetThePacketIn) {
  EXPECT_THAT(in_device({police("p", to_port(80, 80)), drop("same", to_port(1, 100)), drop("other", to_port(200, 300))}),
              ElementsAre("other"));
  EXPECT_THAT(uses[0].reason, HasSubstr("meter"));
  EXPECT_THAT(uses[1].reason, HasSubstr("\"p\""));
}

TEST_F(PlaceRules, ADropThatComesFirstIsNobodysHarm) {
  EXPECT_THAT(in_device({drop("first", to_port(1, 100)), police("p", to_port(80, 80))}), ElementsAre("first"));
}

TEST_F(PlaceRules, TwoDropsMayBeInEitherOrder) {
  table.refused = {0};
  EXPECT_THAT(in_device({drop("refused", to_port(1, 100)), drop("all")}), ElementsAre("all"));
  EXPECT_EQ(table.priorities[1], 0u);
}

TEST_F(PlaceRules, SteeringNeedsAQueueForEachWorker) {
  EXPECT_THAT(in_device({steer("s", 1), drop("d")}, {.queues = 1, .workers = 2}), ElementsAre("d"));
  EXPECT_THAT(uses[0].reason, HasSubstr("1 queue(s) for 2 workers"));
}

TEST_F(PlaceRules, SteeringRulesKeepTheirOrderAndGoAfterWhatDrops) {
  EXPECT_THAT(in_device({steer("wide", 1, to_port(1, 100)), steer("alone", 2, to_port(500, 500)),
                         steer("later", 2, to_port(80, 200)), steer("same", 1, to_port(90, 90)), drop("d", to_port(80, 80))}),
              ElementsAre("wide", "alone", "later", "same", "d"));
  EXPECT_EQ(table.priorities, (std::map<std::size_t, std::uint32_t>{{0, 1}, {1, 0}, {2, 2}, {3, 3}, {4, 0}}));
}

TEST_F(PlaceRules, ASteeringRuleDoesNotGoBeforeOneInSoftware) {
  table.refused = {0};
  EXPECT_THAT(in_device({steer("refused", 1, to_port(1, 100)), steer("same", 2, to_port(80, 80)),
                         steer("alike", 1, to_port(80, 80)), steer("other", 2, to_port(443, 443))}),
              ElementsAre("other"));
}

TEST_F(PlaceRules, SteeringAndPolicingAreNoneOfEachOthersBusiness) {
  EXPECT_THAT(in_device({police("p"), steer("s", 1)}), ElementsAre("s"));
}

}  // namespace
}  // namespace millrace::nic
