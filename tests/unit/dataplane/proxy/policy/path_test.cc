#include "dataplane/proxy/policy/path.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using EscapedSlashes = config::HttpConnectionManager::EscapedSlashes;

template <typename Operation>
std::string result_of(Operation operation, std::string_view path) {
  Memory memory;
  const PathResult result = operation(path, memory.arena);
  if (result == PathResult::kInvalid) return "(invalid)";
  return std::string(path);
}

TEST(DotSegments, AreRemoved) {
  constexpr std::pair<std::string_view, std::string_view> kCases[] = {
      {"/", "/"},
      {"/a/b", "/a/b"},
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/b/../../c", "/c"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/a//../b", "/a/b"},
      {"/a/.../b", "/a/.../b"},
      {"/.a/..b", "/.a/..b"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/a\\..\\b", "/b"},
      {"/a/../b?x=/../y", "/b?x=/../y"},
      {"a/../b", "/b"},
  };
  for (const auto& [path, expected] : kCases) EXPECT_EQ(result_of(normalize_dot_segments, path), expected) << path;
}

TEST(DotSegments, NormalisationUnescapesUnreservedCharactersOnly) {
  EXPECT_EQ(result_of(normalize_dot_segments, "/%41%7e%2D%5F%30"), "/A~-_0");
  EXPECT_EQ(result_of(normalize_dot_segments, "/%2fa%3F%20"), "/%2fa%3F%20") << "the case of escapes is kept";
  EXPECT_EQ(result_of(normalize_dot_segments, "/a?%41"), "/a?%41") << "the query is left alone";
}

TEST(DotSegments, NormalisationEscapesWhatMayNotStandInAPath) {
  EXPECT_EQ(result_of(normalize_dot_segments, "/a b\"<\xc3\xa9"), "/a%20b%22%3C%C3%A9");
}

TEST(DotSegments, ABrokenEscapePassesButAnEscapedNulDoesNot) {
  EXPECT_EQ(result_of(normalize_dot_segments, "/%zz%4"), "/%zz%4");
  EXPECT_EQ(result_of(normalize_dot_segments, "/xyz/.%00../abc"), "(invalid)");
  EXPECT_EQ(result_of(normalize_dot_segments, "/xyz/AAAAA%%0000/abc"), "(invalid)");
}

TEST(DotSegments, SayWhetherAnythingChanged) {
  Memory memory;
  std::string_view path = "/a/%2F";
  EXPECT_EQ(normalize_dot_segments(path, memory.arena), PathResult::kUnchanged);
  path = "/a/%41";
  EXPECT_EQ(normalize_dot_segments(path, memory.arena), PathResult::kChanged);
}

TEST(DotSegments, SurviveAnExhaustedArena) {
  NoMemory memory;
  std::string_view path = "/a/..";
  EXPECT_EQ(normalize_dot_segments(path, memory.arena), PathResult::kOutOfMemory);
  path = "//";
  EXPECT_EQ(merge_slashes(path, memory.arena), PathResult::kOutOfMemory);
  path = "/%2f";
  EXPECT_EQ(unescape_slashes(path, memory.arena), PathResult::kOutOfMemory);
  EXPECT_EQ(path, "/%2f");
}

TEST(DotSegments, AreRemovedFromTheLongestPathThatArrives) {
  const std::string longest = "/a/.." + std::string(90'000, 'x');
  EXPECT_EQ(result_of(normalize_dot_segments, longest), "/a/.." + std::string(90'000, 'x'));
  EXPECT_EQ(result_of(normalize_dot_segments, "/./" + std::string(90'000, 'x')), "/" + std::string(90'000, 'x'));
}

TEST(MergeSlashes, MakesOneOfEachRunBeforeTheQuery) {
  EXPECT_EQ(result_of(merge_slashes, "//a///b//"), "/a/b/");
  EXPECT_EQ(result_of(merge_slashes, "/a/b"), "/a/b");
  EXPECT_EQ(result_of(merge_slashes, "/a//b?c//d"), "/a/b?c//d");
  EXPECT_EQ(result_of(merge_slashes, "/a?c//d"), "/a?c//d");
}

TEST(UnescapeSlashes, TurnsBothKindsInEitherCaseBeforeTheQuery) {
  EXPECT_EQ(result_of(unescape_slashes, "/a%2Fb%2fc%5Cd%5ce"), "/a/b/c\\d\\e");
  EXPECT_EQ(result_of(unescape_slashes, "/a%2Eb?%2F"), "/a%2Eb?%2F");
  EXPECT_EQ(result_of(unescape_slashes, "/%2"), "/%2");
}

struct Normalized {
  PathAction action;
  std::string path;
  bool operator==(const Normalized&) const = default;
};
void PrintTo(const Normalized& n, std::ostream* out) { *out << static_cast<int>(n.action) << " " << n.path; }

Normalized normalized(const config::HttpConnectionManager& manager, std::string_view path) {
  Memory memory;
  const PathAction action = normalize_path(manager, path, memory.arena);
  return {action, std::string(path)};
}

TEST(NormalizePath, DoesNothingByDefaultButRefuseAFragment) {
  const config::HttpConnectionManager manager;
  EXPECT_EQ(normalized(manager, "//a/../%2f"), (Normalized{PathAction::kContinue, "//a/../%2f"}));
  EXPECT_EQ(normalized(manager, "").action, PathAction::kContinue);
  EXPECT_EQ(normalized(manager, "/a#b").action, PathAction::kReject);
}

TEST(NormalizePath, MergesSlashesAfterDotSegments) {
  config::HttpConnectionManager manager;
  manager.normalize_path = manager.merge_slashes = true;
  EXPECT_EQ(normalized(manager, "/a//..//b"), (Normalized{PathAction::kContinue, "/a/b"}));
  EXPECT_EQ(normalized(manager, "/%00").action, PathAction::kReject);
}

TEST(NormalizePath, TreatsEscapedSlashesAsConfigured) {
  config::HttpConnectionManager manager;
  manager.normalize_path = true;
  EXPECT_EQ(normalized(manager, "/a%2f../b"), (Normalized{PathAction::kContinue, "/a%2f../b"}));
  manager.escaped_slashes = EscapedSlashes::kReject;
  EXPECT_EQ(normalized(manager, "/a%2f../b").action, PathAction::kReject);
  EXPECT_EQ(normalized(manager, "/a/../b").action, PathAction::kContinue);
  manager.escaped_slashes = EscapedSlashes::kUnescapeAndRedirect;
  EXPECT_EQ(normalized(manager, "/a%2f../b?q"), (Normalized{PathAction::kRedirect, "/b?q"}));
  EXPECT_EQ(normalized(manager, "/a/../b"), (Normalized{PathAction::kContinue, "/b"}));
  manager.escaped_slashes = EscapedSlashes::kUnescapeAndForward;
  EXPECT_EQ(normalized(manager, "/a%5c..%5Cb"), (Normalized{PathAction::kContinue, "/b"}));
}

config::PathMatcher matched(config::PathMatcher::Kind kind, std::string_view text) {
  config::PathMatcher matcher;
  matcher.kind = kind;
  matcher.text = text;
  return matcher;
}

TEST(RewritePath, ReplacesTheMatchedPrefixAndKeepsTheQuery) {
  Memory memory;
  config::ForwardAction action;
  const auto rewrite = [&](const config::PathMatcher& matcher, std::string_view path) {
    return std::string(rewrite_path(matcher, action, path, 0, memory.arena));
  };
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kPrefix, "/a"), "/a/b?c"), "/a/b?c");
  action.prefix_rewrite = "/x";
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kPrefix, "/a"), "/a/b?c"), "/x/b?c");
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kPrefix, "/a"), "/A/b?c"), "/x/b?c");
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kExact, "/a/b"), "/a/b?c"), "/x?c");
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kRegex, ""), "/a/b?c"), "/x?c") << "a regex matched all of the path";
  action.prefix_rewrite = "";
  EXPECT_EQ(rewrite(matched(config::PathMatcher::Kind::kPrefix, "/a"), "/a/b"), "/a/b") << "empty means none";
}

TEST(RewritePath, AppliesARegexToThePathWithoutQuery) {
  Memory memory;
  config::ForwardAction action;
  action.regex_rewrite = config::RegexRewrite{regex("^/service/([^/]+)(/.*)$"), "\\2/instance/\\1"};
  const auto matcher = matched(config::PathMatcher::Kind::kPrefix, "/");
  EXPECT_EQ(rewrite_path(matcher, action, "/service/foo/v1/api?x=/service/a/b", 0, memory.arena),
            "/v1/api/instance/foo?x=/service/a/b");
  EXPECT_EQ(rewrite_path(matcher, action, "/other?x", 0, memory.arena), "/other?x");
}

TEST(ReplaceAll, AgreesWithRe2OnEveryKindOfMatch) {
  struct Case {
    std::string pattern, substitution, text;
  };
  const Case cases[] = {
      {"one", "two", "/xxx/one/yyy/one/zzz"},
      {"(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb"},
      {"b*", "-", "abcbbd"},
      {"", "-", "abc"},
      {"$", "!", "abc"},
      {"a|(b)", "[\\1]", "ab"},
      {"x", "", "xxx"},
      {"(a)(b)", "\\2\\1\\\\", "abab"},
      {"^/", "//", "/"},
      {"z", "y", ""},
      {"z*", "y", ""},
  };
  for (const Case& c : cases) {
    Memory memory;
    std::string expected = c.text;
    re2::RE2::GlobalReplace(&expected, re2::RE2(c.pattern), c.substitution);
    EXPECT_EQ(replace_all({regex(c.pattern), c.substitution}, c.text, 0, memory.arena), expected)
        << c.pattern << " in " << c.text;
  }
}

TEST(ReplaceAll, FailsWithoutMemory) {
  NoMemory memory;
  EXPECT_EQ(replace_all({regex("a"), "bb"}, "aaa", 0, memory.arena).data(), nullptr);
}

TEST(ReplaceAll, IsBoundedByTheArena) {
  Memory memory;
  const std::string text(1'000, 'a');
  EXPECT_EQ(replace_all({regex("a"), std::string(1'000, 'b')}, text, 0, memory.arena).data(), nullptr);
}

struct Redirect {
  config::RedirectAction action;
  config::PathMatcher matcher = matched(config::PathMatcher::Kind::kPrefix, "/a");
  std::string authority = "example.com";
  std::string path = "/a/b?q=1";
  std::string proto = "http";

  std::string location() const {
    Request request(path, {{"x-forwarded-proto", proto}});
    request.head.scheme = proto;
    request.head.authority = authority;
    return std::string(redirect_location(matcher, action, request.head, 0, request.arena));
  }
};

TEST(RedirectLocation, KeepsWhatIsNotReplaced) {
  Redirect redirect;
  EXPECT_EQ(redirect.location(), "http://example.com/a/b?q=1");
  redirect.action.host = "other.org";
  EXPECT_EQ(redirect.location(), "http://other.org/a/b?q=1");
  redirect.action.scheme = "https";
  redirect.action.port = 8443;
  EXPECT_EQ(redirect.location(), "https://other.org:8443/a/b?q=1");
}

TEST(RedirectLocation, DropsTheDefaultPortOfASchemeThatChanges) {
  Redirect redirect;
  redirect.authority = "example.com:80";
  EXPECT_EQ(redirect.location(), "http://example.com:80/a/b?q=1") << "the scheme stays, so does the port";
  redirect.action.scheme = "https";
  EXPECT_EQ(redirect.location(), "https://example.com/a/b?q=1");
  redirect.authority = "example.com:8080";
  EXPECT_EQ(redirect.location(), "https://example.com:8080/a/b?q=1");
  redirect.proto = "https";
  redirect.authority = "[::1]:443";
  redirect.action.scheme = "http";
  EXPECT_EQ(redirect.location(), "http://[::1]/a/b?q=1");
}

TEST(RedirectLocation, ANewPortReplacesTheOld) {
  Redirect redirect;
  redirect.authority = "example.com:8080";
  redirect.action.port = 81;
  EXPECT_EQ(redirect.location(), "http://example.com:81/a/b?q=1");
}

TEST(RedirectLocation, ANewPathTakesTheQueryAlongUnlessItHasItsOwn) {
  Redirect redirect;
  redirect.action.path = "/new";
  EXPECT_EQ(redirect.location(), "http://example.com/new?q=1");
  redirect.action.strip_query = true;
  EXPECT_EQ(redirect.location(), "http://example.com/new");
  redirect.action.path = "/new?own=1";
  EXPECT_EQ(redirect.location(), "http://example.com/new?own=1") << "never stripped";
}

TEST(RedirectLocation, RewritesPrefixAndRegex) {
  Redirect redirect;
  redirect.action.prefix_rewrite = "/z";
  EXPECT_EQ(redirect.location(), "http://example.com/z/b?q=1");
  redirect.action.strip_query = true;
  EXPECT_EQ(redirect.location(), "http://example.com/z/b");
  redirect.action.prefix_rewrite.reset();
  redirect.action.regex_rewrite = config::RegexRewrite{regex("/b$"), "/c"};
  redirect.action.strip_query = false;
  EXPECT_EQ(redirect.location(), "http://example.com/a/c?q=1");
}

TEST(TlsRedirectLocation, DropsPort80) {
  Request request("/a?b", {{"x-forwarded-proto", "http"}});
  request.head.authority = "example.com:80";
  EXPECT_EQ(tls_redirect_location(request.head, request.arena), "https://example.com/a?b");
}

}  // namespace
}  // namespace millrace::proxy
