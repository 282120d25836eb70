// Memory for libraries: bounded, aligned, and used again.
#include "dataplane/base/block_heap.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace millrace::test {
namespace {

constexpr std::size_t kMegabyte = 1024 * 1024;

TEST(BlockHeap, GivesWhatIsAskedForAndHardlyMore) {
  BlockHeap heap(256 * kMegabyte);
  for (std::size_t bytes = 1; bytes < 64 * kMegabyte; bytes = bytes * 9 / 8 + 1) {
    auto* memory = static_cast<std::uint8_t*>(heap.allocate(bytes));
    ASSERT_NE(memory, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 16, 0u);
    memory[0] = memory[bytes - 1] = 0xff;
    EXPECT_GE(heap.in_use(), bytes);
    EXPECT_LE(heap.in_use(), std::max<std::size_t>(256, (bytes + 16) * 5 / 4 + 1)) << bytes;
    heap.release(memory);
    EXPECT_EQ(heap.in_use(), 0u);
  }
}

TEST(BlockHeap, BlocksDoNotOverlap) {
  BlockHeap heap(4 * kMegabyte);
  std::vector<std::uint8_t*> blocks;
  const auto size_of = [](std::size_t i) { return 1 + i * 97 % 5'000; };
  for (std::size_t i = 0; i < 200; ++i) {
    blocks.push_back(static_cast<std::uint8_t*>(heap.allocate(size_of(i))));
    ASSERT_NE(blocks[i], nullptr);
    std::memset(blocks[i], static_cast<int>(i), size_of(i));
  }
  for (std::size_t i = 0; i < 200; ++i) {
    for (std::size_t at = 0; at < size_of(i); ++at) ASSERT_EQ(blocks[i][at], i);
    heap.release(blocks[i]);
  }
}

TEST(BlockHeap, WhatWasGivenBackServesAgain) {
  BlockHeap heap(kMegabyte);
  void* first = heap.allocate(100'000);
  heap.release(first);
  EXPECT_EQ(heap.allocate(99'000), first);
  heap.release(first);
  heap.release(nullptr);
}

TEST(BlockHeap, TheLimitHolds) {
  BlockHeap heap(kMegabyte);
  EXPECT_EQ(heap.allocate(kMegabyte), nullptr) << "with what stands in front it is too much";
  EXPECT_EQ(heap.allocate(SIZE_MAX), nullptr);
  void* most = heap.allocate(800'000);
  ASSERT_NE(most, nullptr);
  EXPECT_TRUE(heap.is_scarce());
  EXPECT_EQ(heap.allocate(300'000), nullptr);
  heap.release(most);
  EXPECT_FALSE(heap.is_scarce());
  void* other = heap.allocate(300'000);
  EXPECT_NE(other, nullptr) << "what lies idle makes room";
  heap.release(other);
}

TEST(BlockHeap, WhatIsReservedIsThereAndNobodyElseReservesIt) {
  BlockHeap heap(kMegabyte);
  ASSERT_TRUE(heap.reserve(500'000));
  EXPECT_FALSE(heap.reserve(500'000));
  EXPECT_FALSE(heap.reserve(SIZE_MAX));
  void* other = heap.allocate(800'000);
  ASSERT_NE(other, nullptr) << "who has reserved nothing takes what is left";
  EXPECT_FALSE(heap.reserve(1));
  void* reserved = heap.allocate_reserved(500'000);
  EXPECT_NE(reserved, nullptr) << "beyond the limit";
  EXPECT_EQ(heap.allocate(1), nullptr);
  heap.release(reserved);
  heap.release(other);
  heap.cancel(500'000);
  EXPECT_TRUE(heap.reserve(700'000));
  heap.cancel(700'000);
}

}  // namespace
}  // namespace millrace::test
