#include "dataplane/http/header_map.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::http {
namespace {

struct Memory {
  ChunkPool chunks{1, 64, 8};
  Arena arena{chunks};
};

TEST(HeaderId, FindsEveryKnownNameAndNothingElse) {
#define MR_HEADER(id, name)                                        \
  EXPECT_EQ(header_id(name), HeaderId::k##id);                     \
  EXPECT_EQ(header_name(HeaderId::k##id), name);                   \
  EXPECT_EQ(header_id(std::string(name) + "x"), HeaderId::kOther); \
  EXPECT_EQ(header_id(std::string(name).substr(1)), HeaderId::kOther) << name;
#include "dataplane/http/headers.def"
#undef MR_HEADER
  EXPECT_EQ(header_id(""), HeaderId::kOther);
  EXPECT_EQ(header_id(std::string(1000, 'a')), HeaderId::kOther);
  EXPECT_EQ(header_id("HOST"), HeaderId::kOther) << "names are in lower case";
}

TEST(HeaderMap, KeepsOrderAndFindsTheFirst) {
  Memory memory;
  HeaderMap map(memory.arena, 10);
  ASSERT_TRUE(map.add_copy("X-One", "1"));
  ASSERT_TRUE(map.add_copy(HeaderId::kVia, "a"));
  ASSERT_TRUE(map.add_copy("x-one", "2"));
  EXPECT_EQ(map.value("x-one"), "1");
  EXPECT_EQ(map.value(HeaderId::kVia), "a");
  EXPECT_EQ(map.value("via"), "a");
  EXPECT_EQ(map.find("x-two"), nullptr);
  EXPECT_EQ(map.fields()[2].value, "2");
  EXPECT_EQ(map.joined_value("x-one"), "1,2");
  EXPECT_EQ(map.joined_value("x-two").data(), nullptr);
}

TEST(HeaderMap, SetReplacesAllOfThatNameInTheFirstPlace) {
  Memory memory;
  HeaderMap map(memory.arena, 3);
  ASSERT_TRUE(map.add_copy("a", "1"));
  ASSERT_TRUE(map.add_copy("b", "2"));
  ASSERT_TRUE(map.add_copy("a", "3"));
  ASSERT_TRUE(map.set_copy("A", "4")) << "although the map is full";
  ASSERT_EQ(map.size(), 2U);
  EXPECT_EQ(map.fields()[0].value, "4");
  EXPECT_EQ(map.fields()[1].value, "2");
  ASSERT_TRUE(map.set_copy(HeaderId::kHost, "h"));
  EXPECT_EQ(map.value(HeaderId::kHost), "h");
}

TEST(HeaderMap, RemovesByNameAndById) {
  Memory memory;
  HeaderMap map(memory.arena, 10);
  for (const char* name : {"te", "x", "te", "y"}) ASSERT_TRUE(map.add_copy(name, name));
  EXPECT_EQ(map.remove(HeaderId::kTe), 2U);
  EXPECT_EQ(map.remove("x"), 1U);
  EXPECT_EQ(map.remove("x"), 0U);
  ASSERT_EQ(map.size(), 1U);
  EXPECT_EQ(map.fields()[0].name, "y");
}

TEST(HeaderMap, RefusesBeyondItsLimitAndKeepsWhatItHas) {
  Memory memory;
  HeaderMap map(memory.arena, 200);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(map.add_copy("n" + std::to_string(i), "v"));
  EXPECT_FALSE(map.add_copy("more", "v"));
  EXPECT_EQ(map.size(), 200U);
  EXPECT_EQ(map.value("n0"), "v");
  EXPECT_EQ(map.value("n199"), "v");
}

TEST(HeaderMap, ReportsAnExhaustedArena) {
  ChunkPool chunks(0, 1, 0);
  Arena arena(chunks);
  HeaderMap map(arena, 1000);
  int added = 0;
  while (added < 1000 && map.add_copy("name" + std::to_string(added), std::string(100, 'v'))) ++added;
  EXPECT_LT(added, 1000);
  EXPECT_EQ(map.size(), static_cast<std::size_t>(added));
  EXPECT_EQ(map.value("name0"), std::string(100, 'v'));
}

TEST(ListContains, ComparesElementsIgnoringCase_Rfc9110_5_6_1) {
  EXPECT_TRUE(list_contains("close", "close"));
  EXPECT_TRUE(list_contains("keep-alive, \t Close ,x", "close"));
  EXPECT_FALSE(list_contains("closed", "close"));
  EXPECT_FALSE(list_contains("", "close"));
  EXPECT_FALSE(list_contains(",,", ""));
}

}  // namespace
}  // namespace millrace::http
