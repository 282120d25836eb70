#include "dataplane/proxy/breakers/lease.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::proxy {
namespace {

using config::kUnlimited;

/// The workers of a gateway, each with its share of one count.
struct Gateway {
  Gateway(std::uint32_t limit, std::size_t workers) {
    for (std::size_t i = 0; i < workers; ++i) leases.push_back(std::make_unique<Lease>(total));
    set_limit(limit);
  }
  ~Gateway() {
    for (const auto& lease : leases) give(*lease, lease->used());
  }
  void set_limit(std::uint32_t limit) {
    for (const auto& lease : leases) lease->set_limit(limit, leases.size());
  }
  /// How many of `units` a worker gets.
  static std::uint32_t take(Lease& lease, std::uint32_t units) {
    std::uint32_t got = 0;
    while (got < units && lease.take()) ++got;
    return got;
  }
  static void give(Lease& lease, std::uint32_t units) {
    for (std::uint32_t i = 0; i < units; ++i) lease.release();
  }
  Lease& operator[](std::size_t worker) { return *leases[worker]; }
  [[nodiscard]] std::uint32_t taken() const { return total.taken.load(); }

  report::SharedCount total;
  std::vector<std::unique_ptr<Lease>> leases;
};

TEST(Lease, OfASmallLimitIsExactForAllWorkersTogether) {
  Gateway gateway(3, 2);
  EXPECT_EQ(gateway[0].slack(), 0u);
  EXPECT_TRUE(gateway[0].take());
  EXPECT_TRUE(gateway[1].take());
  EXPECT_TRUE(gateway[0].take());
  EXPECT_FALSE(gateway[0].take());
  EXPECT_FALSE(gateway[1].take());
  gateway[0].release();
  EXPECT_TRUE(gateway[1].take()) << "what one gives back another may have at once";
  EXPECT_FALSE(gateway[0].take());
}

TEST(Lease, OfZeroGivesNothing) {
  Gateway gateway(0, 2);
  EXPECT_FALSE(gateway[0].take());
  EXPECT_EQ(gateway.taken(), 0u);
}

TEST(Lease, IsExactUpToSixteenUnitsForEachWorker) {
  for (const std::size_t workers : {1u, 2u, 5u, 16u}) {
    const auto limit = static_cast<std::uint32_t>(workers * Lease::kExactBelow - 1);
    Gateway gateway(limit, workers);
    std::uint32_t got = 0;
    for (std::size_t i = 0; i < workers; ++i) got += Gateway::take(gateway[i], 10);
    EXPECT_LE(got, limit);
    for (std::size_t i = 0; i < workers; ++i) got += Gateway::take(gateway[i], limit);
    EXPECT_EQ(got, limit);
  }
}

TEST(Lease, OfALargeLimitIsReachedEarlyByAnEighthAtMost) {
  for (const std::size_t workers : {2u, 3u, 16u, 64u}) {
    for (const std::uint32_t limit : {256u, 1'024u, 5'000u, 1'000'000u}) {
      Gateway gateway(limit, workers);
      // All others have had work, and keep as much of it as they may.
      for (std::size_t i = 1; i < workers; ++i) {
        const std::uint32_t got = Gateway::take(gateway[i], limit / static_cast<std::uint32_t>(2 * workers));
        Gateway::give(gateway[i], got);
        EXPECT_LE(gateway[i].slack() * workers, limit / 8);
      }
      const std::uint32_t got = Gateway::take(gateway[0], limit);
      EXPECT_GE(got, limit - limit / 8) << workers << " workers, limit " << limit;
      EXPECT_EQ(gateway.taken(), limit);
    }
  }
}

TEST(Lease, WhatComesAndGoesDoesNotTouchTheTotal) {
  Gateway gateway(1'024, 2);
  ASSERT_TRUE(gateway[0].take());
  const std::uint32_t taken = gateway.taken();
  EXPECT_GT(taken, 1u);
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(gateway[0].take());
    gateway[0].release();
    ASSERT_EQ(gateway.taken(), taken);
  }
}

TEST(Lease, AtTheEdgeOfALotTheTotalIsNotWrittenEachTime) {
  Gateway gateway(1'024, 2);
  const std::uint32_t lot = gateway[0].slack() / 2 + 1;
  ASSERT_EQ(Gateway::take(gateway[0], lot), lot);
  ASSERT_TRUE(gateway[0].take());  // the next lot
  const std::uint32_t taken = gateway.taken();
  for (int i = 0; i < 10; ++i) {
    gateway[0].release();
    EXPECT_EQ(gateway.taken(), taken);
    ASSERT_TRUE(gateway[0].take());
  }
}

TEST(Lease, WithoutALimitNothingIsShared) {
  Gateway gateway(kUnlimited, 2);
  EXPECT_EQ(Gateway::take(gateway[0], 100'000), 100'000u);
  EXPECT_EQ(gateway.taken(), 0u);
  EXPECT_EQ(gateway[0].used(), 100'000u);
}

TEST(Lease, ForcesWhatTheLimitForbids) {
  Gateway gateway(1, 2);
  ASSERT_TRUE(gateway[0].take());
  gateway[1].force();
  EXPECT_EQ(gateway.taken(), 2u);
  gateway[0].release();
  EXPECT_FALSE(gateway[0].take()) << "the forced one is the one that there may be";
  gateway[1].release();
  EXPECT_TRUE(gateway[0].take());
}

TEST(Lease, ALimitMayChangeWhileUnitsAreInUse) {
  Gateway gateway(kUnlimited, 2);
  ASSERT_EQ(Gateway::take(gateway[0], 5), 5u);
  ASSERT_EQ(Gateway::take(gateway[1], 4), 4u);
  gateway.set_limit(3);
  EXPECT_EQ(gateway.taken(), 9u);
  EXPECT_FALSE(gateway[0].take());
  Gateway::give(gateway[0], 5);
  EXPECT_FALSE(gateway[0].take()) << "the other has more than three";
  Gateway::give(gateway[1], 2);
  EXPECT_TRUE(gateway[0].take());
  gateway.set_limit(1'024);
  EXPECT_EQ(gateway.taken(), 3u) << "what is kept is given back";
  gateway.set_limit(kUnlimited);
  EXPECT_EQ(gateway.taken(), 0u);
}

TEST(Lease, GivesEverythingBackAtItsEnd) {
  report::SharedCount total;
  {
    Lease lease(total);
    lease.set_limit(1'024, 2);
    ASSERT_TRUE(lease.take());
    lease.release();
    EXPECT_GT(total.taken.load(), 0u);
  }
  EXPECT_EQ(total.taken.load(), 0u);
}

// Under ThreadSanitizer, too.
TEST(Lease, ThreadsNeverHaveMoreThanTheLimit) {
  for (const std::uint32_t limit : {1u, 7u, 200u}) {
    constexpr std::size_t kThreads = 4;
    report::SharedCount total;
    std::atomic<std::uint32_t> in_use{0};
    std::atomic<std::uint32_t> most{0};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Rng rng(i);
        Lease lease(total);
        lease.set_limit(limit, kThreads);
        for (int turn = 0; turn < 20'000; ++turn) {
          if (rng.below(2) == 0) {
            if (!lease.take()) continue;
            const std::uint32_t now = in_use.fetch_add(1) + 1;
            std::uint32_t seen = most.load();
            while (seen < now && !most.compare_exchange_weak(seen, now)) {
            }
          } else if (lease.used() > 0) {
            in_use.fetch_sub(1);
            lease.release();
          }
        }
        in_use.fetch_sub(lease.used());
        while (lease.used() > 0) lease.release();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(most.load(), limit);
    EXPECT_GT(most.load(), 0u);
    EXPECT_EQ(total.taken.load(), 0u);
  }
}

}  // namespace
}  // namespace millrace::proxy
