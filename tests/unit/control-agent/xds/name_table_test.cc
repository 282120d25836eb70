#include "control-agent/xds/name_table.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::agent {
namespace {

std::string text_of(const NameTable<int>& table) {
  std::string out;
  for (const auto& [name, value] : table) out += name.text() + std::to_string(value) + " ";
  return out;
}

TEST(NameTable, IsInTheOrderOfNames) {
  NameTable<int> table;
  table.set_all({{"c", 3}, {"a", 1}});
  table.set_all({{"d", 4}, {"b", 2}});
  EXPECT_EQ(text_of(table), "a1 b2 c3 d4 ");
  EXPECT_EQ(table.size(), 4u);
}

TEST(NameTable, GivesANameItsLastValue) {
  NameTable<int> table;
  table.set_all({{"a", 1}, {"b", 2}, {"a", 3}});
  EXPECT_EQ(text_of(table), "a3 b2 ");
  table.set_all({{"b", 4}, {"c", 5}});
  EXPECT_EQ(text_of(table), "a3 b4 c5 ");
}

TEST(NameTable, FindsWhatItHas) {
  NameTable<int> table;
  EXPECT_FALSE(table.contains("a"));
  table.set_all({{"a", 1}, {"c", 3}});
  ASSERT_NE(table.find("c"), nullptr);
  EXPECT_EQ(table.find("c")->second, 3);
  EXPECT_EQ(table.find("b"), nullptr);
  EXPECT_EQ(table.find("d"), nullptr);
}

TEST(NameTable, ForgetsWhatIsErased) {
  NameTable<int> table;
  table.set_all({{"a", 1}, {"b", 2}, {"c", 3}});
  table.erase_if([](const auto& entry) { return entry.second == 2; });
  EXPECT_EQ(text_of(table), "a1 c3 ");
}

}  // namespace
}  // namespace millrace::agent
