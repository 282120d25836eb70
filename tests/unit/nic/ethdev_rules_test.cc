// EthdevRules against a driver that this program plays itself: it defines the functions of rte_flow, which go before the
// library's. No device here takes rules.
#include "nic/ethdev_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rte_errno.h>
#include <rte_flow.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

struct rte_flow {
  std::vector<rte_flow_action_type> actions;
  std::uint16_t queue = 0;
  std::uint64_t hits = 0;
};

namespace millrace::nic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint16_t kEthdev = 3;

/// The driver that is played.
struct Driver {
  std::vector<std::unique_ptr<rte_flow>> flows;
  bool counts = true;
  std::size_t room = SIZE_MAX;  ///< flows; validation does not know it
  int flushes = 0;

  int validate(const rte_flow_action* actions, rte_flow_error* error) const {
    for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions) {
      if (actions->type != RTE_FLOW_ACTION_TYPE_COUNT || counts) continue;
      error->message = "no counters";
      return -ENOTSUP;
    }
    return 0;
  }
};
Driver* driver = nullptr;

}  // namespace
}  // namespace millrace::nic

extern "C" {

int rte_flow_validate(std::uint16_t port, const rte_flow_attr*, const rte_flow_item[], const rte_flow_action actions[],
                      rte_flow_error* error) {
  EXPECT_EQ(port, millrace::nic::kEthdev);
  return millrace::nic::driver->validate(actions, error);
}

rte_flow* rte_flow_create(std::uint16_t, const rte_flow_attr*, const rte_flow_item[], const rte_flow_action actions[],
                          rte_flow_error* error) {
  auto& flows = millrace::nic::driver->flows;
  if (flows.size() == millrace::nic::driver->room) {
    error->message = "table full";
    rte_errno = ENOSPC;
    return nullptr;
  }
  auto& flow = flows.emplace_back(std::make_unique<rte_flow>());
  for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions) {
    flow->actions.push_back(actions->type);
    if (actions->type == RTE_FLOW_ACTION_TYPE_QUEUE)
      flow->queue = static_cast<const rte_flow_action_queue*>(actions->conf)->index;
  }
  return flow.get();
}

int rte_flow_destroy(std::uint16_t, rte_flow* flow, rte_flow_error*) {
  return std::erase_if(millrace::nic::driver->flows, [flow](const auto& one) { return one.get() == flow; }) == 1 ? 0 : -ENOENT;
}

int rte_flow_flush(std::uint16_t, rte_flow_error*) {
  ++millrace::nic::driver->flushes;
  millrace::nic::driver->flows.clear();
  return 0;
}

int rte_flow_query(std::uint16_t, rte_flow* flow, const rte_flow_action*, void* data, rte_flow_error*) {
  auto* count = static_cast<rte_flow_query_count*>(data);
  count->hits_set = 1;
  count->hits = flow->hits;
  return 0;
}
}

namespace millrace::nic {
namespace {

class EthdevRules_Install : public ::testing::Test {
 protected:
  EthdevRules_Install() { driver = &driver_; }
  Driver driver_;
  const std::vector<DeviceRule> two_{DeviceRule{}, DeviceRule{.v4 = false}};
};

TEST_F(EthdevRules_Install, MakesCountedEntriesAndSumsTheirHits) {
  EthdevRules rules(kEthdev);
  ASSERT_TRUE(rules.install(1, two_).has_value());
  ASSERT_EQ(driver_.flows.size(), 2u);
  EXPECT_THAT(driver_.flows[0]->actions, ElementsAre(RTE_FLOW_ACTION_TYPE_COUNT, RTE_FLOW_ACTION_TYPE_DROP));
  driver_.flows[0]->hits = 5;
  driver_.flows[1]->hits = 7;
  EXPECT_EQ(rules.hits(1), 12u);
  EXPECT_EQ(rules.hits(0), std::nullopt);
  EXPECT_EQ(rules.hits(2), std::nullopt);
}

TEST_F(EthdevRules_Install, SteersToTheQueue) {
  EthdevRules rules(kEthdev);
  const DeviceRule steer{.queue = 6};
  ASSERT_TRUE(rules.install(0, {&steer, 1}).has_value());
  EXPECT_THAT(driver_.flows[0]->actions, ElementsAre(RTE_FLOW_ACTION_TYPE_COUNT, RTE_FLOW_ACTION_TYPE_QUEUE));
  EXPECT_EQ(driver_.flows[0]->queue, 6);
}

TEST_F(EthdevRules_Install, GoesWithoutCountersWhereThereAreNone) {
  driver_.counts = false;
  EthdevRules rules(kEthdev);
  ASSERT_TRUE(rules.install(0, two_).has_value());
  EXPECT_THAT(driver_.flows[0]->actions, ElementsAre(RTE_FLOW_ACTION_TYPE_DROP));
  EXPECT_EQ(rules.hits(0), std::nullopt);
}

TEST_F(EthdevRules_Install, TakesBackWhatDoesNotFitAsAWholeAndKeepsTheReason) {
  driver_.room = 3;
  EthdevRules rules(kEthdev);
  ASSERT_TRUE(rules.install(0, two_).has_value());
  const auto second = rules.install(1, two_);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error(), HasSubstr("table full"));
  EXPECT_EQ(driver_.flows.size(), 2u);
  EXPECT_EQ(rules.hits(1), std::nullopt);
}

TEST_F(EthdevRules_Install, TakesEverythingOutAtTheEndIfThereIsAnything) {
  {
    EthdevRules nothing(kEthdev);
  }
  EXPECT_EQ(driver_.flushes, 0);
  {
    EthdevRules rules(kEthdev);
    ASSERT_TRUE(rules.install(2, two_).has_value());
  }
  EXPECT_EQ(driver_.flushes, 1);
  EXPECT_TRUE(driver_.flows.empty());
}

}  // namespace
}  // namespace millrace::nic
