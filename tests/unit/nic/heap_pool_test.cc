#include "nic/heap_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>

namespace millrace::nic {
namespace {

TEST(HeapPool, RefusesBeyondItsCapacityAndCountsIt) {
  HeapPool pool(2);
  Packet first = pool.allocate();
  const Packet second = pool.allocate();
  EXPECT_FALSE(static_cast<bool>(pool.allocate()));
  EXPECT_EQ(pool.exhausted(), 1u);
  EXPECT_EQ(pool.in_use(), pool.capacity());
  first = Packet();
  EXPECT_TRUE(static_cast<bool>(pool.allocate()));
}

TEST(HeapPool, CopiesIntoABufferOfExactlyThatSize) {
  HeapPool pool(1);
  constexpr std::array<std::uint8_t, 3> kBytes{1, 2, 3};
  const Packet copy = pool.copy_of(kBytes, 8);
  EXPECT_EQ(copy.headroom(), 8u);
  EXPECT_EQ(copy.tailroom(), 0u);
  EXPECT_TRUE(std::equal(kBytes.begin(), kBytes.end(), copy.data()));
}

TEST(HeapPool, ReturnsToItsUsualSizeAfterACopy) {
  HeapPool pool(2, 512);
  constexpr std::array<std::uint8_t, 1> kBytes{1};
  const Packet copy = pool.copy_of(kBytes);
  EXPECT_EQ(pool.allocate(0).tailroom(), 512u);
}

TEST(HeapPool, AssertsThatItOutlivesItsPackets) {
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<HeapPool>(1);
        const Packet packet = pool->allocate();
        pool.reset();
      },
      "assertion failed");
}

#if defined(__SANITIZE_ADDRESS__)
TEST(HeapPool_UnderAddressSanitizer, ShowsReadsOutsideTheBytes) {
  HeapPool pool(1);
  constexpr std::array<std::uint8_t, 3> kBytes{1, 2, 3};
  const Packet copy = pool.copy_of(kBytes);
  const volatile std::uint8_t* data = copy.data();
  EXPECT_DEATH((void)data[3], "heap-buffer-overflow");
  EXPECT_DEATH((void)data[-1], "use-after-poison");
}
#endif

}  // namespace
}  // namespace millrace::nic
