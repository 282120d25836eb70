#include "dataplane/base/shared_byte_rate.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace::test {
namespace {

constexpr Instant kStart = Instant::from_nanoseconds(5'000'000'000);
constexpr std::size_t kAll = 1'000'000'000;

TEST(SharedByteRate, BeginsWithNothingAndLetsPassWhatTimeBrings) {
  SharedByteRate rate;
  EXPECT_EQ(rate.take(1000, kAll, kStart), 0u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::milliseconds(100)), 100u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::milliseconds(100)), 0u);
  EXPECT_EQ(rate.take(1000, 30, kStart + Duration::milliseconds(200)), 30u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::milliseconds(200)), 70u) << "what nobody wanted is still there";
}

TEST(SharedByteRate, ASecondIsSavedAndNoMore) {
  SharedByteRate rate;
  EXPECT_EQ(rate.take(1000, kAll, kStart), 0u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::seconds(60)), 1000u);
}

TEST(SharedByteRate, KeepsToTheRateInSmallSteps) {
  for (const std::uint64_t per_second : {std::uint64_t{1024}, std::uint64_t{300'000'000}, std::uint64_t{12'500'000'000}}) {
    SharedByteRate rate;
    std::size_t total = 0;
    for (int i = 0; i <= 10'000; ++i) total += rate.take(per_second, kAll, kStart + Duration::microseconds(100) * i);
    EXPECT_LE(total, per_second);
    EXPECT_GE(total, per_second - per_second / 100);
  }
}

TEST(SharedByteRate, AClockThatIsBehindTakesNothing) {
  SharedByteRate rate;
  EXPECT_EQ(rate.take(1000, kAll, kStart), 0u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::seconds(1)), 1000u);
  EXPECT_EQ(rate.take(1000, kAll, kStart + Duration::milliseconds(500)), 0u);
}

TEST(SharedByteRate, ThreadsTakeTogetherWhatOneWould) {
  SharedByteRate rate;
  EXPECT_EQ(rate.take(10'000, kAll, kStart), 0u);
  std::vector<std::size_t> taken(4);
  std::vector<std::thread> threads;
  for (std::size_t& count : taken) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) count += rate.take(10'000, 1, kStart + Duration::seconds(1));
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken[0] + taken[1] + taken[2] + taken[3], 10'000u);
}

}  // namespace
}  // namespace millrace::test
