#include "config/compile/regex_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

namespace millrace::config {
namespace {

using testing::HasSubstr;

TEST(RegexCompiler, MakesOneProgramPerWorker) {
  const auto regex = compile_regex("/v[0-9]+/.*", 3);
  ASSERT_TRUE(regex);
  EXPECT_EQ(regex->pattern, "/v[0-9]+/.*");
  ASSERT_EQ(regex->programs.size(), 3U);
  EXPECT_NE(regex->programs[0], regex->programs[1]);
  EXPECT_TRUE(RE2::FullMatch("/v12/x", *regex->programs[2]));
  EXPECT_EQ(compile_regex("a", 0)->programs.size(), 1U);
}

TEST(RegexCompiler, RefusesWhatIsNotRe2) {
  const auto look_ahead = compile_regex("^listener(?=\\.)", 1);
  ASSERT_FALSE(look_ahead);
  EXPECT_THAT(look_ahead.error(), HasSubstr("not a valid regular expression"));
  EXPECT_THAT(look_ahead.error(), HasSubstr("(?="));
}

TEST(RegexCompiler, RefusesProgramsBeyondTheMemoryBound) {
  const auto huge = compile_regex("(" + std::string(40'000, '.') + ")", 1);
  ASSERT_FALSE(huge);
  EXPECT_THAT(huge.error(), HasSubstr("too large"));
}

TEST(RegexCompiler, ChecksSubstitutionsAgainstThePatternsGroups) {
  const auto good = compile_rewrite("^/service/([^/]+)(/.*)$", "\\2/instance/\\1", 2);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->substitution, "\\2/instance/\\1");
  EXPECT_EQ(good->regex.programs.size(), 2U);
  const auto bad = compile_rewrite("^/(a)", "\\2", 1);
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error(), HasSubstr("does not fit the pattern"));
}

}  // namespace
}  // namespace millrace::config
