// The rings between workers: order, bounds, and that nobody sleeps while something waits for him.
#include "dataplane/worker/exchange.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "nic/heap_pool.h"

namespace millrace::worker {
namespace {

class ExchangeTest : public ::testing::Test {
 protected:
  [[nodiscard]] Parcel parcel(std::uint8_t mark) {
    nic::Packet packet = packets_.allocate();
    *packet.append(1) = mark;
    return Overheard{std::move(packet)};
  }
  [[nodiscard]] static std::uint8_t mark_of(const Parcel& parcel) { return std::get<Overheard>(parcel).frame.data()[0]; }
  std::vector<std::uint8_t> take(Exchange& exchange, std::size_t to, std::size_t most = 1'000) {
    std::vector<std::uint8_t> marks;
    exchange.take(to, most, [&](Parcel&& got) { marks.push_back(mark_of(got)); });
    return marks;
  }

  nic::HeapPool packets_{10'000};
};

TEST_F(ExchangeTest, BringsWhatWasPublishedInOrder) {
  Exchange exchange(3);
  for (const std::uint8_t mark : std::initializer_list<std::uint8_t>{1, 2, 3}) ASSERT_TRUE(exchange.put(0, 2, parcel(mark)));
  EXPECT_TRUE(take(exchange, 2).empty()) << "not published yet";
  exchange.publish(0);
  EXPECT_TRUE(take(exchange, 1).empty());
  EXPECT_EQ(take(exchange, 2), (std::vector<std::uint8_t>{1, 2, 3}));
  EXPECT_TRUE(take(exchange, 2).empty());
  EXPECT_EQ(packets_.in_use(), 0u) << "the ring keeps nothing of what was taken";
}

TEST_F(ExchangeTest, RefusesWhatARingCannotHoldAndTakesMoreWhenThereIsRoom) {
  Exchange exchange(2);
  for (std::size_t i = 0; i < limits::kExchangeParcels; ++i) ASSERT_TRUE(exchange.put(0, 1, parcel(1)));
  Parcel one_more = parcel(2);
  EXPECT_FALSE(exchange.put(0, 1, std::move(one_more)));
  EXPECT_EQ(mark_of(one_more), 2) << "untouched";
  exchange.publish(0);
  EXPECT_FALSE(take(exchange, 1, 2).empty());
  EXPECT_TRUE(exchange.put(0, 1, std::move(one_more)));
}

TEST_F(ExchangeTest, OneTurnTakesABoundedPartFromEach) {
  Exchange exchange(3);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(exchange.put(0, 2, parcel(0)));
    ASSERT_TRUE(exchange.put(1, 2, parcel(1)));
  }
  exchange.publish(0);
  exchange.publish(1);
  const std::vector<std::uint8_t> marks = take(exchange, 2, 30);
  EXPECT_EQ(std::ranges::count(marks, 0), 10);
  EXPECT_EQ(std::ranges::count(marks, 1), 10);
}

TEST_F(ExchangeTest, WhatWasNotTakenGoesWithIt) {
  {
    Exchange exchange(2);
    ASSERT_TRUE(exchange.put(0, 1, parcel(1)));
    exchange.publish(0);
    ASSERT_TRUE(exchange.put(0, 1, parcel(2)));
  }
  EXPECT_EQ(packets_.in_use(), 0u);
}

TEST_F(ExchangeTest, WakesASleeperOnceAndLetsNobodySleepOverSomething) {
  Exchange exchange(2);
  int rings = 0;
  exchange.set_waker(1, [&] { ++rings; });
  ASSERT_TRUE(exchange.put(0, 1, parcel(1)));
  exchange.publish(0);
  EXPECT_EQ(rings, 0) << "awake";
  EXPECT_FALSE(exchange.may_sleep(1));
  take(exchange, 1);
  EXPECT_TRUE(exchange.may_sleep(1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(exchange.put(0, 1, parcel(1)));
    exchange.publish(0);
  }
  EXPECT_EQ(rings, 1);
  exchange.publish(0);
  EXPECT_EQ(rings, 1) << "nothing new";
}

// Under ThreadSanitizer this shows that the rings are all that threads share.
TEST_F(ExchangeTest, TwoThreadsLoseNothingAndNeverOversleep) {
  constexpr int kParcels = 100'000;
  Exchange exchange(2);
  std::atomic<bool> rung{false};
  exchange.set_waker(1, [&] {
    rung.store(true);
    rung.notify_one();
  });
  std::thread producer([&] {
    for (int i = 0; i < kParcels;) {
      Parcel next = parcel(static_cast<std::uint8_t>(i));
      while (!exchange.put(0, 1, std::move(next))) {
        exchange.publish(0);
        std::this_thread::yield();
      }
      if (++i % 7 == 0 || i == kParcels) exchange.publish(0);
    }
  });
  int taken = 0;
  while (taken < kParcels) {
    const std::size_t got = exchange.take(1, 64, [&](Parcel&& parcel) {
      ASSERT_EQ(mark_of(parcel), static_cast<std::uint8_t>(taken));
      ++taken;
    });
    if (got > 0 || !exchange.may_sleep(1)) continue;
    rung.wait(false);
    rung.store(false);
    exchange.wake_up(1);
  }
  producer.join();
  EXPECT_EQ(packets_.in_use(), 0u);
}

}  // namespace
}  // namespace millrace::worker
