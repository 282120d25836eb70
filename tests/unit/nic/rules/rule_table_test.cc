#include "nic/rules/rule_table.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "nic/rules/token_bucket.h"
#include "tests/support/frames.h"

namespace millrace::nic {
namespace {

constexpr Instant kStart = Instant::from_nanoseconds(5'000'000'000);

FlowRule drop_port(const char* name, std::uint16_t port) {
  return {.name = name, .match = {.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{port, port}}};
}

TEST(TokenBucket, GivesABurstAndThenTheRate) {
  TokenBucket bucket(100, 5);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bucket.take(kStart)) << i;
  EXPECT_FALSE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart + Duration::milliseconds(9)));
  EXPECT_TRUE(bucket.take(kStart + Duration::milliseconds(10)));
  EXPECT_FALSE(bucket.take(kStart + Duration::milliseconds(10)));
  int passed = 0;
  for (int ms = 11; ms <= 1'010; ++ms) passed += bucket.take(kStart + Duration::milliseconds(ms)) ? 1 : 0;
  EXPECT_EQ(passed, 100);
}

TEST(TokenBucket, FillsUpToItsBurstAndNotBeyond) {
  TokenBucket bucket(1'000, 3);
  while (bucket.take(kStart)) {
  }
  int passed = 0;
  while (bucket.take(kStart + Duration::seconds(3'600))) ++passed;
  EXPECT_EQ(passed, 3);
}

TEST(TokenBucket, SeveralThreadsShareTheBurst) {
  TokenBucket bucket(1, 1'000);
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) passed += bucket.take(kStart) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed, 1'000);
}

TEST(RuleTable, DropsWhatMatchesAndCounts) {
  const std::vector<FlowRule> rules{drop_port("telnet", 23)};
  RuleTable table(rules);
  EXPECT_TRUE(table.passes(test::frame({}), kStart));
  EXPECT_FALSE(table.passes(test::frame({.to = "198.18.0.2:23"}), kStart));
  EXPECT_FALSE(table.needs_time());
  EXPECT_EQ(table.counts(0).hits, 1u);
  EXPECT_EQ(table.counts(0).dropped, 1u);
}

TEST(RuleTable, PolicesInItsMatchOnly) {
  FlowRule rule = drop_port("slow", 80);
  rule.action = FlowRule::Police{.packets_per_second = 10, .burst = 2};
  RuleTable table({&rule, 1});
  EXPECT_TRUE(table.needs_time());
  EXPECT_TRUE(table.passes(test::frame({}), kStart));
  EXPECT_TRUE(table.passes(test::frame({}), kStart));
  EXPECT_FALSE(table.passes(test::frame({}), kStart));
  EXPECT_TRUE(table.passes(test::frame({.to = "198.18.0.2:81"}), kStart));
  EXPECT_TRUE(table.passes(test::frame({}), kStart + Duration::milliseconds(100)));
  EXPECT_EQ(table.counts(0).hits, 4u);
  EXPECT_EQ(table.counts(0).dropped, 1u);
}

TEST(RuleTable, TheFirstThatMatchesDecidesAndSteeringIsNoneOfItsBusiness) {
  FlowRule steer{.name = "steer", .match = {}, .action = FlowRule::Steer{1}};
  FlowRule police = drop_port("police", 80);
  police.action = FlowRule::Police{.packets_per_second = 1'000, .burst = 1'000};
  const std::vector<FlowRule> rules{steer, police, drop_port("never", 80), drop_port("other", 81)};
  RuleTable table(rules);
  EXPECT_TRUE(table.passes(test::frame({}), kStart));
  EXPECT_FALSE(table.passes(test::frame({.to = "198.18.0.2:81"}), kStart));
  EXPECT_EQ(table.counts(0).hits, 0u);
  EXPECT_EQ(table.counts(1).hits, 1u);
  EXPECT_EQ(table.counts(2).hits, 0u);
  EXPECT_EQ(table.counts(3).hits, 1u);
}

TEST(RuleTable, WhatIsNotIpPassesEvenARuleForEverything) {
  const FlowRule all{.name = "all"};
  RuleTable table({&all, 1});
  auto arp = test::frame({});
  wire::store_be16(arp.data() + 12, wire::kEtherTypeArp);
  EXPECT_TRUE(table.passes(arp, kStart));
  EXPECT_FALSE(table.passes(test::frame({}), kStart));
}

}  // namespace
}  // namespace millrace::nic
