#include "dataplane/tcp/flow_table.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::tcp {
namespace {

FlowKey flow(std::uint32_t number) {
  return {IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 1, static_cast<std::uint8_t>(number >> 24), 1),
          static_cast<std::uint16_t>(number >> 16), static_cast<std::uint16_t>(number)};
}

struct Entries {
  FlowEntry& add(FlowTable& table, std::uint32_t number) {
    FlowEntry& entry = all.emplace_back(FlowEntry::Kind::kEndpoint, flow(number));
    table.insert(entry);
    return entry;
  }
  std::deque<FlowEntry> all;
};

TEST(FlowTable, FindsWhatWasInsertedAndNothingElse) {
  FlowTable table(100, KeyedHash({}));
  Entries entries;
  FlowEntry& one = entries.add(table, 1);
  FlowEntry& two = entries.add(table, 2);
  EXPECT_EQ(table.find(flow(1)), &one);
  EXPECT_EQ(table.find(flow(2)), &two);
  EXPECT_EQ(table.find(flow(3)), nullptr);
  table.remove(one);
  EXPECT_EQ(table.find(flow(1)), nullptr);
  EXPECT_EQ(table.find(flow(2)), &two);
  EXPECT_EQ(table.size(), 1u);
}

TEST(FlowTable, RemovesOnce) {
  FlowTable table(100, KeyedHash({}));
  Entries entries;
  FlowEntry& one = entries.add(table, 1);
  table.remove(one);
  table.remove(one);
  EXPECT_EQ(table.size(), 0u);
  table.insert(one);
  EXPECT_EQ(table.find(flow(1)), &one);
}

TEST(FlowTable, HoldsAsManyAsItWasMadeFor) {
  constexpr std::uint32_t kEntries = 50'000;
  FlowTable table(kEntries, KeyedHash({}));
  Entries entries;
  for (std::uint32_t i = 0; i < kEntries; ++i) entries.add(table, i);
  for (std::uint32_t i = 0; i < kEntries; ++i) ASSERT_EQ(table.find(flow(i)), &entries.all[i]);
  EXPECT_EQ(table.find(flow(kEntries)), nullptr);
}

TEST(FlowTable, AVisitOfAllBucketsSeesEachEntryOnce) {
  constexpr std::uint32_t kEntries = 1'000;
  FlowTable table(kEntries, KeyedHash({}));
  Entries entries;
  for (std::uint32_t i = 0; i < kEntries; ++i) entries.add(table, i);
  for (std::uint32_t i = 0; i < kEntries; i += 2) table.remove(entries.all[i]);
  std::multiset<const FlowEntry*> seen;
  for (std::size_t i = 0; i < table.buckets(); ++i) table.visit_bucket(i, [&](const FlowEntry& entry) { seen.insert(&entry); });
  EXPECT_EQ(seen.size(), kEntries / 2);
  for (std::uint32_t i = 0; i < kEntries; ++i) EXPECT_EQ(seen.count(&entries.all[i]), i % 2);
}

// A table so small that buckets overflow all the time, against a plain list of what must be in it.
TEST(FlowTable, StaysRightWhenBucketsOverflow) {
  constexpr std::uint32_t kMost = 75;  // in 112 slots
  FlowTable table(kMost, KeyedHash({1, 2, 3}));
  std::deque<FlowEntry> pool;
  for (std::uint32_t i = 0; i < 2 * kMost; ++i) pool.emplace_back(FlowEntry::Kind::kEndpoint, flow(i));
  Rng rng(7);
  for (int step = 0; step < 200'000; ++step) {
    FlowEntry& entry = pool[rng.below(2 * kMost)];
    if (entry.in_table) {
      table.remove(entry);
    } else if (table.size() < kMost) {
      table.insert(entry);
    }
    FlowEntry& other = pool[rng.below(2 * kMost)];
    ASSERT_EQ(table.find(other.key), other.in_table ? &other : nullptr) << "step " << step;
  }
}

}  // namespace
}  // namespace millrace::tcp
