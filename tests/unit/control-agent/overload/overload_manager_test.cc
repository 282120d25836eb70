#include "control-agent/overload/overload_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "control-agent/overload/resources.h"

namespace millrace::agent {
namespace {

using report::OverloadAction;
using report::OverloadCell;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// One resource, whose pressure the test sets, and one action.
class Judged : public testing::Test {
 protected:
  void watch(OverloadAction action, double scaling, double saturation) {
    plan_.cell = std::make_shared<OverloadCell>(std::vector<std::string>{"heap"}, 1);
    plan_.readers = {[this]() -> Result<double, std::string> {
      if (pressure_ < 0) return Error<std::string>("it is gone");
      return pressure_;
    }};
    plan_.actions = {{action, {{.resource = 0, .scaling = scaling, .saturation = saturation}}}};
    action_ = action;
    manager_.emplace(plan_, [this] { ++shrinks_; });
  }
  std::uint32_t level_at(double pressure) {
    pressure_ = pressure;
    lines_ = manager_->refresh(now_);
    return plan_.cell->level(action_);
  }

  OverloadPlan plan_;
  OverloadAction action_{};
  std::optional<OverloadManager> manager_;
  OverloadManager::Clock::time_point now_{};
  double pressure_ = 0;
  int shrinks_ = 0;
  std::vector<std::string> lines_;
};

TEST_F(Judged, AThresholdIsAllOrNothing) {
  watch(OverloadAction::kStopAcceptingRequests, 0.9, 0.9);
  EXPECT_EQ(level_at(0.89), 0u);
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(level_at(0.9), OverloadCell::kSaturated);
  EXPECT_THAT(lines_, ElementsAre("overload: envoy.overload_actions.stop_accepting_requests begins: heap 90%"));
  EXPECT_EQ(plan_.cell->resources[0].pressure.value(), 90);
  EXPECT_EQ(level_at(1.5), OverloadCell::kSaturated);
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(level_at(0.1), 0u);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("ends: heap 10%")));
}

TEST_F(Judged, AScaledTriggerGrowsEvenly) {
  watch(OverloadAction::kDisableHttpKeepalive, 0.5, 1.0);
  EXPECT_EQ(level_at(0.5), 0u);
  EXPECT_EQ(level_at(0.75), OverloadCell::kSaturated / 2);
  EXPECT_EQ(level_at(1.0), OverloadCell::kSaturated);
}

TEST_F(Judged, TheTriggerThatSaysMostCounts) {
  watch(OverloadAction::kStopAcceptingRequests, 0.9, 0.9);
  plan_.actions[0].triggers.push_back({.resource = 0, .scaling = 0.0, .saturation = 1.0});
  EXPECT_EQ(level_at(0.5), OverloadCell::kSaturated / 2);
  EXPECT_EQ(level_at(0.95), OverloadCell::kSaturated);
}

TEST_F(Judged, WhatCannotBeReadIsAsItWasAndToldOnce) {
  watch(OverloadAction::kStopAcceptingRequests, 0.9, 0.9);
  EXPECT_EQ(level_at(-1), 0u) << "nothing is known yet";
  EXPECT_THAT(lines_, ElementsAre("overload: heap cannot be read: it is gone"));
  level_at(0.95);
  EXPECT_EQ(level_at(-1), OverloadCell::kSaturated);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("cannot be read")));
  level_at(-1);
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(plan_.cell->resources[0].failed_updates.value(), 3u);
}

TEST_F(Judged, TheHeapShrinksEveryTenSeconds) {
  watch(OverloadAction::kShrinkHeap, 0.5, 1.0);
  level_at(0.9);
  EXPECT_EQ(shrinks_, 0);
  level_at(1.0);
  level_at(1.0);
  EXPECT_EQ(shrinks_, 1);
  now_ += std::chrono::seconds(10);
  level_at(1.0);
  EXPECT_EQ(shrinks_, 2);
  EXPECT_EQ(plan_.cell->heap_shrinks.value(), 2u);
}

TEST_F(Judged, WorkersAreAskedForExpensiveStreamsAtEachLook) {
  watch(OverloadAction::kResetHighMemoryStream, 0.5, 1.0);
  level_at(0.5);
  EXPECT_EQ(plan_.cell->reset_rounds.load(), 0u);
  level_at(0.6);
  level_at(0.6);
  EXPECT_EQ(plan_.cell->reset_rounds.load(), 2u);
}

TEST(Resources, TheHeapIsWhatMallocHasGivenOut) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "memory comes from the sanitizer's own heap";
#endif
  const PressureReader reader = heap_reader(1'000'000'000);
  const double before = *reader();
  const auto block = std::make_unique<char[]>(100'000'000);
  EXPECT_NEAR(*reader() - before, 0.1, 0.01);
  EXPECT_NE(block, nullptr);
}

TEST(Resources, APressureIsInjectedByAFile) {
  const std::string path = testing::TempDir() + "pressure";
  const PressureReader reader = injected_reader(path);
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  EXPECT_THAT(injected_reader(path + ".missing")().error(), HasSubstr("cannot be read"));
  write("0.75\n");
  EXPECT_EQ(reader(), 0.75);
  write("1");
  EXPECT_EQ(reader(), 1.0);
  for (const char* wrong : {"1.1", "-0.1", "", "half", "nan", "0.5 0.5"}) {
    write(wrong);
    EXPECT_THAT(reader().error(), HasSubstr("is not a number from 0 to 1")) << wrong;
  }
}

}  // namespace
}  // namespace millrace::agent
