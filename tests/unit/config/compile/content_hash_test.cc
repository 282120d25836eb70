#include "config/compile/content_hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace millrace::config {
namespace {

TEST(ContentHash, IsEqualForEqualContentAndSeed) {
  EXPECT_EQ(content_hash("listener"), content_hash(std::string("listener")));
  EXPECT_EQ(content_hash("listener", 7), content_hash("listener", 7));
}

TEST(ContentHash, DiffersForEverySingleByteChangeAndForTheSeed) {
  const std::string text(64, 'a');
  std::set<std::uint64_t> seen{content_hash(text), content_hash(text, 1)};
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = 'b';
    seen.insert(content_hash(changed));
  }
  EXPECT_EQ(seen.size(), text.size() + 2);
}

TEST(ContentHash, IsTheSameInEveryBuild) {
  EXPECT_EQ(content_hash(""), content_hash(std::string_view()));
  EXPECT_NE(content_hash(""), content_hash(std::string_view("\0", 1)));
}

}  // namespace
}  // namespace millrace::config
