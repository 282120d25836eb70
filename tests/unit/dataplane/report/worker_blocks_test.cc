#include "dataplane/report/worker_blocks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <iterator>
#include <thread>
#include <vector>

#include "dataplane/report/counter.h"

namespace millrace::report {
namespace {

struct alignas(64) Block {
  Counter events;
  Gauge level;
};

std::uint64_t events(const WorkerBlocks<Block>& blocks) {
  std::uint64_t total = 0;
  for (const Block& block : blocks) total += block.events.value();
  return total;
}

TEST(WorkerBlocks, AreZeroBeforeTheirFirstUse) {
  const WorkerBlocks<Block> blocks(3);
  EXPECT_EQ(blocks.size(), 3u);
  EXPECT_EQ(std::distance(blocks.begin(), blocks.end()), 3);
  EXPECT_EQ(events(blocks), 0u);
  EXPECT_EQ(blocks[2].level.value(), 0);
}

TEST(WorkerBlocks, ReadingMakesNone) {
  WorkerBlocks<Block> blocks(2);
  const WorkerBlocks<Block>& read = blocks;
  EXPECT_EQ(&read[0], &read[1]) << "both are the one that stands for none";
  blocks[1].events.add(5);
  EXPECT_EQ(read[0].events.value(), 0u);
  EXPECT_EQ(read[1].events.value(), 5u);
  EXPECT_NE(&read[0], &read[1]);
}

TEST(WorkerBlocks, EachWorkerHasItsOwn) {
  WorkerBlocks<Block> blocks(2);
  blocks[0].events.add(2);
  blocks[1].events.add(3);
  EXPECT_EQ(events(blocks), 5u);
  EXPECT_EQ(blocks[0].events.value(), 2u);
}

TEST(WorkerBlocks, ABlockStaysWhereItIs) {
  WorkerBlocks<Block> blocks(2);
  Block* const first = &blocks[0];
  blocks[1].events.add();
  EXPECT_EQ(&blocks[0], first);
  EXPECT_EQ(&const_cast<const WorkerBlocks<Block>&>(blocks)[0], first);
}

TEST(WorkerBlocks, OneThreadReadsWhileOthersBegin) {
  constexpr std::size_t kWorkers = 4;
  constexpr std::uint64_t kEvents = 10'000;
  WorkerBlocks<Block> blocks(kWorkers);
  std::atomic<bool> begin{false};
  std::vector<std::thread> workers;
  for (std::size_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      while (!begin.load()) {
      }
      for (std::uint64_t i = 0; i < kEvents; ++i) blocks[worker].events.add();
    });
  }
  begin.store(true);
  std::uint64_t last = 0;
  while (last < kWorkers * kEvents) {
    const std::uint64_t now = events(blocks);
    ASSERT_GE(now, last) << "what was counted stays counted";
    last = now;
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(events(blocks), kWorkers * kEvents);
}

TEST(Lazy, IsAsAtTheBeginningUntilItIsAskedFor) {
  struct Rate {
    std::atomic<double> percent{-1};
  };
  Lazy<Rate> rate;
  EXPECT_EQ(rate.peek().percent.load(), -1);
  EXPECT_FALSE(rate.is_made());
  rate.get().percent.store(50);
  EXPECT_TRUE(rate.is_made());
  EXPECT_EQ(rate.peek().percent.load(), 50);
  EXPECT_EQ(&rate.get(), &rate.peek());
}

TEST(Lazy, ThreadsThatComeAtOnceGetTheSame) {
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    Lazy<std::atomic<int>> count;
    std::atomic<int> ready{0};
    const auto add = [&] {
      ready.fetch_add(1);
      while (ready.load() < 2) {
      }
      count.get().fetch_add(1);
    };
    std::thread other(add);
    add();
    other.join();
    ASSERT_EQ(count.peek().load(), 2);
  }
}

}  // namespace
}  // namespace millrace::report
