// A map whose copies share what stays the same, beside std::map.
#include "config/model/shared_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::config {
namespace {

using Map = SharedMap<std::string, int>;
using Plain = std::map<std::string, int>;

Plain plain(const Map& map) { return {map.begin(), map.end()}; }

Plain changes(const Map& before, const Map& after) {
  Plain out;
  Map::for_each_change(before, after, [&](const std::string& key, const int* was, const int* is) {
    EXPECT_TRUE(out.emplace(key, (was == nullptr ? 0 : *was) * 1'000 + (is == nullptr ? 0 : *is)).second) << "each key once";
  });
  return out;
}

TEST(SharedMap, FindsWhatWasSet) {
  Map map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find("a"), nullptr);
  map.set("a", 1);
  map.set("a", 2);
  map.add("a", 3);
  map.add("b", 4);
  EXPECT_EQ(map.size(), 2u);
  ASSERT_NE(map.find("a"), nullptr);
  EXPECT_EQ(*map.find("a"), 2);
  map.erase("a");
  map.erase("none");
  EXPECT_EQ(plain(map), (Plain{{"b", 4}}));
}

TEST(SharedMap, ACopyIsOnItsOwn) {
  Map first;
  first.set("a", 1);
  Map second = first;
  first.set("a", 2);
  first.set("b", 3);
  second.set("c", 4);
  EXPECT_EQ(plain(first), (Plain{{"a", 2}, {"b", 3}}));
  EXPECT_EQ(plain(second), (Plain{{"a", 1}, {"c", 4}}));
  const Map third = std::move(second);
  EXPECT_EQ(plain(third), (Plain{{"a", 1}, {"c", 4}}));
  EXPECT_TRUE(second.empty());  // NOLINT: moved from
}

TEST(SharedMap, SaysWhatDiffers) {
  Map before;
  before.set("same", 1);
  before.set("changed", 2);
  before.set("gone", 3);
  Map after = before;
  EXPECT_EQ(changes(before, after), (Plain{}));
  after.set("changed", 4);
  after.erase("gone");
  after.set("new", 5);
  EXPECT_EQ(changes(before, after), (Plain{{"changed", 2'004}, {"gone", 3'000}, {"new", 5}}));
  EXPECT_EQ(changes(Map(), before), (Plain{{"same", 1}, {"changed", 2}, {"gone", 3}}));
}

TEST(SharedMap, IsAMapThroughAllItsCopies) {
  Rng rng(1);
  struct Both {
    Map map;
    Plain plain;
  };
  std::vector<Both> all(1);
  for (int step = 0; step < 20'000; ++step) {
    Both& one = all[rng.below(static_cast<std::uint32_t>(all.size()))];
    const std::string key = "key-" + std::to_string(rng.below(3'000));
    switch (rng.below(8)) {
      case 0:
        if (all.size() < 12) {
          Both copy = one;
          all.push_back(std::move(copy));
        } else {
          const Both copy = one;
          all[rng.below(12)] = copy;
        }
        break;
      case 1:
      case 2:
        one.map.erase(key);
        one.plain.erase(key);
        break;
      default: one.map.set(key, step); one.plain[key] = step;
    }
  }
  for (const Both& one : all) {
    ASSERT_EQ(plain(one.map), one.plain);
    ASSERT_EQ(one.map.size(), one.plain.size());
    for (const Both& other : all) {
      Plain expected;
      for (const auto& [key, value] : one.plain) {
        const auto at = other.plain.find(key);
        const int is = at == other.plain.end() ? 0 : at->second;
        if (is != value) expected[key] = value * 1'000 + is;
      }
      for (const auto& [key, value] : other.plain) {
        if (!one.plain.contains(key)) expected[key] = value;
      }
      ASSERT_EQ(changes(one.map, other.map), expected);
    }
  }
}

}  // namespace
}  // namespace millrace::config
