#include "dataplane/proxy/policy/metadata.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using config::MetadataMatcher;
using config::ValueMatcher;
using Kind = MetadataValue::Kind;

/// {"claims": {"iss": "me", "age": 42, "admin": true, "nothing": null, "groups": ["a", "b"]}} of the filter "jwt".
struct Claims {
  Claims() {
    groups[0] = {.kind = Kind::kString, .text = "a", .next = &groups[1]};
    groups[1] = {.kind = Kind::kString, .text = "b"};
    members[0] = {.kind = Kind::kString, .text = "me", .key = "iss", .next = &members[1]};
    members[1] = {.kind = Kind::kNumber, .number = 42, .key = "age", .next = &members[2]};
    members[2] = {.kind = Kind::kBool, .boolean = true, .key = "admin", .next = &members[3]};
    members[3] = {.kind = Kind::kNull, .key = "nothing", .next = &members[4]};
    members[4] = {.kind = Kind::kList, .key = "groups", .first = &groups[0]};
    claims = {.kind = Kind::kStruct, .key = "claims", .first = &members[0]};
    root = {.kind = Kind::kStruct, .first = &claims};
    EXPECT_TRUE(metadata.set("jwt", root, arena));
  }

  bool match(const std::string& key, const ValueMatcher& value, bool invert = false, const std::string& filter = "jwt") const {
    return matches(MetadataMatcher{filter, {"claims", key}, value, invert}, metadata, 0);
  }

  ChunkPool chunks{1, 4, 0};
  Arena arena{chunks};
  MetadataValue groups[2];
  MetadataValue members[5];
  MetadataValue claims;
  MetadataValue root;
  Metadata metadata;
};

ValueMatcher text(std::string_view exact) {
  ValueMatcher matcher{.kind = ValueMatcher::Kind::kString};
  matcher.string.text = exact;
  return matcher;
}

TEST(Metadata, MatchesValuesByTheirKind) {
  const Claims claims;
  EXPECT_TRUE(claims.match("iss", text("me")));
  EXPECT_FALSE(claims.match("iss", text("you")));
  EXPECT_FALSE(claims.match("age", text("42"))) << "a number is no text";
  EXPECT_TRUE(claims.match("age", {.kind = ValueMatcher::Kind::kNumber, .start = 42}));
  EXPECT_TRUE(claims.match("age", {.kind = ValueMatcher::Kind::kRange, .start = 42, .end = 43}));
  EXPECT_FALSE(claims.match("age", {.kind = ValueMatcher::Kind::kRange, .start = 41, .end = 42})) << "the end is not in it";
  EXPECT_TRUE(claims.match("admin", {.kind = ValueMatcher::Kind::kBool, .boolean = true}));
  EXPECT_FALSE(claims.match("admin", {.kind = ValueMatcher::Kind::kBool, .boolean = false}));
  EXPECT_TRUE(claims.match("nothing", {.kind = ValueMatcher::Kind::kNull}));
}

TEST(Metadata, FindsElementsOfLists) {
  const Claims claims;
  EXPECT_TRUE(claims.match("groups", {.kind = ValueMatcher::Kind::kListOneOf, .others = {text("b")}}));
  EXPECT_FALSE(claims.match("groups", {.kind = ValueMatcher::Kind::kListOneOf, .others = {text("c")}}));
  EXPECT_FALSE(claims.match("iss", {.kind = ValueMatcher::Kind::kListOneOf, .others = {text("me")}})) << "it is no list";
  EXPECT_TRUE(claims.match("iss", {.kind = ValueMatcher::Kind::kOr, .others = {text("you"), text("me")}}));
}

TEST(Metadata, WhatIsNotThere) {
  const Claims claims;
  EXPECT_FALSE(claims.match("sub", text("")));
  EXPECT_FALSE(claims.match("sub", {.kind = ValueMatcher::Kind::kPresent, .boolean = true}));
  EXPECT_TRUE(claims.match("sub", {.kind = ValueMatcher::Kind::kPresent, .boolean = false}));
  EXPECT_TRUE(claims.match("sub", text("x"), true)) << "inverted";
  EXPECT_FALSE(claims.match("iss", text("me"), false, "other")) << "of another filter";
}

TEST(Metadata, TheLastWordOfAFilterCounts) {
  Claims claims;
  const MetadataValue other{.kind = Kind::kStruct};
  ASSERT_TRUE(claims.metadata.set("jwt", other, claims.arena));
  EXPECT_FALSE(claims.match("iss", text("me")));
}

}  // namespace
}  // namespace millrace::proxy
