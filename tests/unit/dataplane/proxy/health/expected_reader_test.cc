#include "dataplane/proxy/health/expected_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "config/compile/expected_bytes.h"

namespace millrace::proxy {
namespace {

std::vector<config::ExpectedBytes> blocks(std::initializer_list<std::string> texts) {
  std::vector<config::ExpectedBytes> out;
  for (const std::string& text : texts) out.push_back(config::expect_bytes(text));
  return out;
}

// Read in parts of every size.
bool holds(const std::vector<config::ExpectedBytes>& expected, std::string_view answer) {
  std::optional<bool> found;
  for (std::size_t size = 1; size <= answer.size() + 1; ++size) {
    ExpectedReader reader;
    reader.start(expected);
    for (std::size_t at = 0; at < answer.size(); at += size) {
      const std::string_view part = answer.substr(at, size);
      reader.read({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
    }
    if (found) {
      EXPECT_EQ(reader.has_all(), *found) << answer << " in parts of " << size;
    }
    found = reader.has_all();
  }
  return *found;
}

TEST(ExpectedReader, FindsBlocksInTheirOrderWithAnythingBetween) {
  EXPECT_TRUE(holds(blocks({"ab", "cd"}), "abcd"));
  EXPECT_TRUE(holds(blocks({"ab", "cd"}), "xxabyyycdz"));
  EXPECT_FALSE(holds(blocks({"ab", "cd"}), "cdab"));
  EXPECT_FALSE(holds(blocks({"ab", "cd"}), "abxc"));
  EXPECT_FALSE(holds(blocks({"aba", "aba"}), "ababa")) << "they do not overlap";
  EXPECT_TRUE(holds(blocks({"aba", "aba"}), "abaaba"));
}

TEST(ExpectedReader, FindsWhatBeginsWithinAFalseStart) {
  EXPECT_TRUE(holds(blocks({"aab"}), "aaab"));
  EXPECT_TRUE(holds(blocks({"abac"}), "abababac"));
  EXPECT_TRUE(holds(blocks({"aabaaac"}), "aabaabaaac"));
  EXPECT_FALSE(holds(blocks({"aabaaac"}), "aabaabaac"));
}

TEST(ExpectedReader, ExpectingNothingIsToHaveIt) {
  EXPECT_TRUE(holds(blocks({}), "abc"));
  EXPECT_TRUE(holds(blocks({"", "b", ""}), "abc"));
  EXPECT_FALSE(holds(blocks({"b"}), ""));
}

TEST(ExpectedReader, TakesBytesOfAnyValue) {
  EXPECT_TRUE(holds(blocks({std::string("\0\xff\0\xff", 4)}), std::string_view("\0\xff\0\0\xff\0\xff", 7)));
}

}  // namespace
}  // namespace millrace::proxy
