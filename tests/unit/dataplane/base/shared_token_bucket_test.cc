#include "dataplane/base/shared_token_bucket.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace::test {
namespace {

using Limits = SharedTokenBucket::Limits;
constexpr Instant kStart = Instant::from_nanoseconds(5'000'000'000);

TEST(SharedTokenBucket, IsFullAtFirstAndFillsAtItsRate) {
  const Limits limits = Limits::of(3, 2, Duration::seconds(1));
  SharedTokenBucket bucket;
  EXPECT_EQ(bucket.left(limits, kStart), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(limits, kStart)) << i;
  EXPECT_FALSE(bucket.take(limits, kStart));
  EXPECT_EQ(bucket.left(limits, kStart), 0u);
  EXPECT_EQ(bucket.until_next(limits, kStart), Duration::milliseconds(500));
  EXPECT_FALSE(bucket.take(limits, kStart + Duration::milliseconds(499)));
  EXPECT_TRUE(bucket.take(limits, kStart + Duration::milliseconds(500)));
  EXPECT_FALSE(bucket.take(limits, kStart + Duration::milliseconds(999)));
}

TEST(SharedTokenBucket, HoldsNoMoreThanItsDepth) {
  const Limits limits = Limits::of(2, 1, Duration::milliseconds(50));
  SharedTokenBucket bucket;
  EXPECT_TRUE(bucket.take(limits, kStart));
  const Instant later = kStart + Duration::seconds(3600);
  EXPECT_EQ(bucket.left(limits, later), 2u);
  EXPECT_EQ(bucket.until_next(limits, later), Duration());
  EXPECT_TRUE(bucket.take(limits, later) && bucket.take(limits, later));
  EXPECT_FALSE(bucket.take(limits, later));
}

TEST(SharedTokenBucket, StaysInRangeAtTheExtremes) {
  const Limits slow = Limits::of(4'294'967'295u, 1, Duration::infinite());
  SharedTokenBucket bucket;
  EXPECT_TRUE(bucket.take(slow, kStart));
  EXPECT_EQ(bucket.left(slow, kStart), 4'294'967'294u);
  const Limits fast = Limits::of(1, 4'294'967'295u, Duration::milliseconds(50));
  EXPECT_EQ(fast.per_token, Duration::nanoseconds(1));
}

TEST(SharedTokenBucket, ThreadsTakeExactlyWhatThereIs) {
  const Limits limits = Limits::of(10'000, 1, Duration::seconds(3600));
  SharedTokenBucket bucket;
  std::vector<int> taken(4);
  std::vector<std::thread> threads;
  for (int& count : taken) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) count += bucket.take(limits, kStart) ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken[0] + taken[1] + taken[2] + taken[3], 10'000);
}

}  // namespace
}  // namespace millrace::test
