// Pool, Arena, IntrusiveList: what owns and links objects. And Rng, Duration, Instant.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace {
namespace {

struct Counted {
  explicit Counted(int& alive_count) : alive(alive_count) { ++alive; }
  ~Counted() { --alive; }
  int& alive;
  std::uint64_t payload[5] = {};
};

TEST(Pool, MakesUpToItsLimitAndThenRefuses) {
  int alive = 0;
  Pool<Counted> pool(2, 200);
  std::vector<Counted*> objects;
  while (Counted* object = pool.make(alive)) objects.push_back(object);
  EXPECT_EQ(objects.size(), 200u);
  EXPECT_EQ(alive, 200);
  EXPECT_EQ(std::set<Counted*>(objects.begin(), objects.end()).size(), 200u);
  EXPECT_EQ(pool.in_use(), 200u);
  EXPECT_EQ(pool.capacity(), 200u);
  for (Counted* object : objects) pool.destroy(object);
  EXPECT_EQ(alive, 0);
}

TEST(Pool, ReusesWhatWasDestroyed) {
  int alive = 0;
  Pool<Counted> pool(0, 1);
  Counted* first = pool.make(alive);
  EXPECT_EQ(pool.make(alive), nullptr);
  pool.destroy(first);
  Counted* second = pool.make(alive);
  EXPECT_EQ(second, first);
  pool.destroy(second);
}

TEST(Pool, AlignsWhatNeedsIt) {
  struct alignas(64) Wide {
    char c = 0;
  };
  Pool<Wide> pool(3, 10);
  std::vector<Wide*> objects;
  for (int i = 0; i < 10; ++i) objects.push_back(pool.make());
  for (Wide* object : objects) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(object) % 64, 0u);
    pool.destroy(object);
  }
}

TEST(Arena, AllocationsAreAlignedAndDoNotOverlap) {
  ChunkPool chunks(1, 1000, 100);
  Arena arena(chunks);
  Rng rng(1);
  std::vector<std::span<unsigned char>> blocks;
  for (int i = 0; i < 2000; ++i) {
    const std::size_t size = rng.chance(1, 50) ? rng.below(20'000) : rng.below(200);
    const std::size_t alignment = std::size_t{1} << rng.below(5);
    void* memory = arena.allocate(size, alignment);
    ASSERT_NE(memory, nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0u);
    blocks.emplace_back(static_cast<unsigned char*>(memory), size);
    std::ranges::fill(blocks.back(), static_cast<unsigned char>(i));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    ASSERT_TRUE(std::ranges::all_of(blocks[i], [i](unsigned char c) { return c == static_cast<unsigned char>(i); })) << i;
  }
  arena.clear();
  EXPECT_EQ(chunks.chunks_in_use(), 0u);
}

TEST(Arena, FailsWithNullWhenThePoolIsEmptyOrTheWishTooLarge) {
  ChunkPool chunks(0, 1, 1);
  Arena arena(chunks);
  EXPECT_EQ(arena.allocate(ChunkPool::kLargeBytes + 1, 1), nullptr);
  EXPECT_NE(arena.allocate(ChunkPool::kLargeBytes, 1), nullptr);
  EXPECT_EQ(arena.allocate(ChunkPool::kSmallBytes + 1, 1), nullptr);
  EXPECT_NE(arena.allocate(ChunkPool::kSmallBytes, 1), nullptr);
  EXPECT_EQ(arena.allocate(1, 1), nullptr);
  EXPECT_EQ(arena.copy("x").data(), nullptr);
  EXPECT_NE(arena.copy("").data(), nullptr);
  EXPECT_TRUE(arena.make_array<int>(3).empty());
  arena.clear();
  EXPECT_NE(arena.allocate(1, 1), nullptr);
}

TEST(Arena, CopiesAndJoinsTexts) {
  ChunkPool chunks(1, 10, 10);
  Arena arena(chunks);
  std::string text = "hello";
  const std::string_view copy = arena.copy(text);
  text = "xxxxx";
  EXPECT_EQ(copy, "hello");
  EXPECT_EQ(arena.concat({"a", "", "bc", copy}), "abchello");
  EXPECT_EQ(arena.make_array<int>(100).size(), 100u);
}

TEST(Arena, AlignsWhatItAllocates) {
  ChunkPool chunks(1, 10, 10);
  Arena arena(chunks);
  for (const std::size_t alignment : {1u, 2u, 8u, 16u, 4u}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.allocate(3, alignment)) % alignment, 0u) << alignment;
  }
}

TEST(CopyShort, CopiesEveryLengthAndNothingElse) {
  for (std::size_t size = 0; size <= 70; ++size) {
    std::vector<char> from(size);  // exact: a sanitizer sees what is read or written beyond
    for (std::size_t i = 0; i < size; ++i) from[i] = static_cast<char>(i + 1);
    std::vector<char> to(size + 2, 'x');
    copy_short(to.data() + 1, from.data(), size);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin() + 1)) << size;
    EXPECT_EQ(to.front(), 'x');
    EXPECT_EQ(to.back(), 'x');
  }
}

struct Item : ListNode<>, ListNode<struct Other> {
  explicit Item(int v) : value(v) {}
  int value;
};
using Items = IntrusiveList<Item>;

TEST(IntrusiveList, AgreesWithStdListUnderRandomOperations) {
  Rng rng(4);
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 50; ++i) items.push_back(std::make_unique<Item>(i));
  Items list;
  std::list<int> model;
  for (int step = 0; step < 20'000; ++step) {
    Item& item = *items[rng.below(50)];
    ListNode<>& node = item;
    const bool in = node.is_linked();
    ASSERT_EQ(in, std::ranges::count(model, item.value) == 1);
    switch (rng.below(5)) {
      case 0:
        if (!in) list.push_back(item), model.push_back(item.value);
        break;
      case 1:
        if (!in) list.push_front(item), model.push_front(item.value);
        break;
      case 2: list.remove(item), model.remove(item.value); break;
      case 3:
        if (const Item* first = list.pop_front()) {
          ASSERT_EQ(first->value, model.front());
          model.pop_front();
        } else {
          ASSERT_TRUE(model.empty());
        }
        break;
      default: {
        Items other;
        other.splice_back(list);
        ASSERT_TRUE(list.empty());
        list.splice_back(other);
      }
    }
    std::vector<int> values;
    for (const Item& i : list) values.push_back(i.value);
    ASSERT_TRUE(std::ranges::equal(values, model));
    ASSERT_EQ(list.empty(), model.empty());
    if (!model.empty()) {
      ASSERT_EQ(list.front().value, model.front());
      ASSERT_EQ(list.back().value, model.back());
    }
  }
}

TEST(IntrusiveList, ElementsLeaveWhenTheyDieAndStandInSeveralLists) {
  Items list;
  IntrusiveList<Item, struct Other> other;
  Item stays(1);
  {
    Item dies(2);
    list.push_back(dies);
    other.push_back(dies);
    list.push_back(stays);
  }
  EXPECT_EQ(list.front().value, 1);
  EXPECT_TRUE(other.empty());
}

TEST(IntrusiveList, ADyingListFreesItsElements) {
  Item item(1);
  {
    Items list;
    list.push_back(item);
  }
  EXPECT_FALSE(static_cast<ListNode<>&>(item).is_linked());
}

TEST(Rng, RepeatsFromItsSeedAndDiffersBetweenSeeds) {
  Rng a(5), b(5), c(6);
  int same = 0;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t value = a.next();
    EXPECT_EQ(value, b.next());
    same += value == c.next() ? 1 : 0;
  }
  EXPECT_EQ(same, 0);
  EXPECT_NE(Rng(0).next(), 0u);
}

TEST(Rng, BelowIsInRangeAndEven) {
  Rng rng(7);
  std::vector<int> counts(10);
  for (int i = 0; i < 100'000; ++i) ++counts.at(rng.below(10));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(rng.below(1), 0u);
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += rng.chance(1, 4) ? 1 : 0;
  EXPECT_NEAR(hits, 25'000, 700);
}

TEST(Time, NeverAndInfiniteAbsorb) {
  EXPECT_TRUE((Instant::from_nanoseconds(5) + Duration::infinite()).is_never());
  EXPECT_TRUE((Instant::never() + Duration::seconds(-1)).is_never());
  EXPECT_TRUE((Instant::never() - Duration::seconds(1)).is_never());
  EXPECT_LT(Instant::from_nanoseconds(1) + Duration::seconds(1'000'000'000), Instant::never());
  EXPECT_EQ(Duration::milliseconds(1500) / 3, Duration::microseconds(500'000));
  EXPECT_EQ((Instant::from_nanoseconds(7) - Instant::from_nanoseconds(9)).to_nanoseconds(), -2);
}

}  // namespace
}  // namespace millrace
