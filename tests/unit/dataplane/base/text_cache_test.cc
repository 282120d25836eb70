#include "dataplane/base/text_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

TEST(TextCache, HoldsTextsUntilTheirTime) {
  TextCache cache(8);
  EXPECT_FALSE(cache.contains("a", 1));
  cache.insert("a", 10);
  EXPECT_TRUE(cache.contains("a", 10));
  EXPECT_FALSE(cache.contains("b", 10));
  EXPECT_FALSE(cache.contains("a", 11));
  EXPECT_FALSE(cache.contains("a", 5)) << "what has ended is forgotten";
}

TEST(TextCache, WhatIsUsedLeastGoesFirst) {
  TextCache cache(1);
  for (const char* text : {"a", "b", "c", "d"}) cache.insert(text, 10);
  EXPECT_TRUE(cache.contains("a", 1));
  cache.insert("e", 10);
  EXPECT_TRUE(cache.contains("a", 1));
  EXPECT_FALSE(cache.contains("b", 1));
  EXPECT_TRUE(cache.contains("e", 1));
}

TEST(TextCache, TakesNoLongTextsAndNoEmptyOnes) {
  TextCache cache(4);
  const std::string most(TextCache::kMostTextBytes, 'x');
  cache.insert(most, 10);
  EXPECT_TRUE(cache.contains(most, 1));
  cache.insert(most + "x", 10);
  EXPECT_FALSE(cache.contains(most + "x", 1));
  cache.insert("", 10);
  EXPECT_FALSE(cache.contains("", 1));
}

}  // namespace
}  // namespace millrace
