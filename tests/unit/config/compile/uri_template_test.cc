#include "config/compile/uri_template.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

namespace millrace::config {
namespace {

bool matches(std::string_view text, const std::string& path) {
  const auto compiled = compile_uri_template(text);
  EXPECT_TRUE(compiled) << text << ": " << (compiled ? "" : compiled.error());
  return compiled && re2::RE2::FullMatch(path, compiled->pattern);
}

TEST(UriTemplateMatch, AStarStandsForOneSegment) {
  EXPECT_TRUE(matches("/api/*/users", "/api/v1/users"));
  EXPECT_FALSE(matches("/api/*/users", "/api/v1/v2/users"));
  EXPECT_FALSE(matches("/api/*", "/api/"));
}

TEST(UriTemplateMatch, TwoStarsStandForAnyNumber) {
  EXPECT_TRUE(matches("/api/**", "/api/"));
  EXPECT_TRUE(matches("/api/**", "/api/a/b/c"));
  EXPECT_TRUE(matches("/**.m3u8", "/a/b.m3u8"));
  EXPECT_FALSE(matches("/**.m3u8", "/a/b.mp4"));
  EXPECT_FALSE(matches("/api/**", "/api"));
}

TEST(UriTemplateMatch, VariablesStandForASegmentOrForTheirOwnPattern) {
  EXPECT_TRUE(matches("/users/{id}", "/users/7"));
  EXPECT_FALSE(matches("/users/{id}", "/users/7/8"));
  EXPECT_TRUE(matches("/{country=us/*}/x", "/us/ny/x"));
  EXPECT_FALSE(matches("/{country=us/*}/x", "/uk/ny/x"));
  EXPECT_TRUE(matches("/{all=**}", "/a/b"));
}

TEST(UriTemplateMatch, LiteralsAreNoExpressions) {
  EXPECT_TRUE(matches("/a.b+(c)", "/a.b+(c)"));
  EXPECT_FALSE(matches("/a.b", "/axb"));
  EXPECT_TRUE(matches("/", "/"));
  EXPECT_TRUE(matches("/a/", "/a/"));
}

TEST(UriTemplateMatch, SaysWhatIsWrong) {
  for (const std::string_view text : {"", "a", "/a//b", "/{a", "/{1}", "/{a}/{a}", "/**/*", "/**/{a}", "/a?b", "/{a=}", "/*a/b",
                                      "/{a}{b}", "/{abcdefghijklmnopq}", "/{a}/{b}/{c}/{d}/{e}/{f}", "/a*"}) {
    const auto compiled = compile_uri_template(text);
    EXPECT_FALSE(compiled) << text;
    EXPECT_TRUE(compiled || !compiled.error().empty()) << text;
  }
}

TEST(UriTemplateRewrite, PutsVariablesIntoANewPath) {
  const auto from = compile_uri_template("/{lang}/{rest=**}");
  ASSERT_TRUE(from);
  const auto to = compile_uri_rewrite("/site/{rest}-{lang}.html", *from);
  ASSERT_TRUE(to);
  std::string path = "/en/a/b";
  ASSERT_TRUE(re2::RE2::Replace(&path, "^(?:" + from->pattern + ")$", *to));
  EXPECT_EQ(path, "/site/a/b-en.html");
}

TEST(UriTemplateRewrite, SaysWhatIsWrong) {
  const auto from = compile_uri_template("/{lang}");
  ASSERT_TRUE(from);
  for (const std::string_view text : {"", "a", "/{other}", "/{lang", "/a?b", "/*", "/\\1"})
    EXPECT_FALSE(compile_uri_rewrite(text, *from)) << text;
}

}  // namespace
}  // namespace millrace::config
