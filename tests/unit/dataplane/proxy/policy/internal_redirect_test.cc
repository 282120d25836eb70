// Which redirects of upstreams are followed, and where they lead.
#include "dataplane/proxy/policy/internal_redirect.h"

#include <gtest/gtest.h>

#include "dataplane/base/arena.h"

namespace millrace::proxy {
namespace {

using config::InternalRedirectPolicy;

TEST(InternalRedirect_Target, AWholeUrl) {
  const auto target = parse_redirect_target("https://example.com:8443/a/b?c=d#e");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->scheme, "https");
  EXPECT_EQ(target->authority, "example.com:8443");
  EXPECT_EQ(target->path, "/a/b?c=d");
  EXPECT_FALSE(target->needs_slash);
}

TEST(InternalRedirect_Target, WithoutAPathItIsTheRoot) {
  for (const std::string_view location : {"HTTP://[::1]", "http://[::1]#top", "http://[::1]?a"}) {
    const auto target = parse_redirect_target(location);
    ASSERT_TRUE(target) << location;
    EXPECT_EQ(target->scheme, "http");
    EXPECT_EQ(target->authority, "[::1]");
    EXPECT_TRUE(target->needs_slash);
  }
  EXPECT_EQ(parse_redirect_target("http://a?b=c")->path, "?b=c");
}

TEST(InternalRedirect_Target, WhatNoRequestCanBeMadeOf) {
  for (const std::string_view location :
       {"", "/relative", "relative", "//host/path", "ftp://host/", "http:///path", "http://", "http://user@host/",
        "http://ho st/", "http://host/a b", "http://host/a\tb", "http://host/\x01", "http://host/\xc3\xa4", "http://host/\x7f",
        "http//host/", "://host/"}) {
    EXPECT_FALSE(parse_redirect_target(location)) << location;
  }
}

TEST(InternalRedirect_Policy, ItSpeaksOfItsStatuses) {
  const InternalRedirectPolicy usual;
  EXPECT_TRUE(is_internal_redirect(usual, 302));
  EXPECT_FALSE(is_internal_redirect(usual, 301));
  const InternalRedirectPolicy others{.statuses = {301, 307}};
  EXPECT_TRUE(is_internal_redirect(others, 307));
  EXPECT_FALSE(is_internal_redirect(others, 302));
}

TEST(InternalRedirect_Policy, SoManyAndNoMore) {
  const auto target = *parse_redirect_target("http://a/");
  const FollowedRedirect first{.from = "a", .to = "b", .before = nullptr};
  const FollowedRedirect second{.from = "b", .to = "c", .before = &first};
  EXPECT_TRUE(may_follow({}, nullptr, "http", target));
  EXPECT_FALSE(may_follow({}, &first, "http", target));
  EXPECT_TRUE(may_follow({.most = 2}, &first, "http", target));
  EXPECT_FALSE(may_follow({.most = 2}, &second, "http", target));
  EXPECT_FALSE(may_follow({.most = 0}, nullptr, "http", target));
}

TEST(InternalRedirect_Policy, AnotherSchemeOnlyWhereThatIsAllowed) {
  const auto plain = *parse_redirect_target("http://a/");
  const auto tls = *parse_redirect_target("https://a/");
  EXPECT_TRUE(may_follow({}, nullptr, "https", tls));
  EXPECT_FALSE(may_follow({}, nullptr, "http", tls));
  EXPECT_FALSE(may_follow({}, nullptr, "https", plain));
  const InternalRedirectPolicy across{.allow_cross_scheme = true};
  EXPECT_TRUE(may_follow(across, nullptr, "http", tls));
  EXPECT_TRUE(may_follow(across, nullptr, "https", plain));
  const InternalRedirectPolicy safe{.allow_cross_scheme = true, .forbid_http_to_https = true};
  EXPECT_FALSE(may_follow(safe, nullptr, "http", tls));
  EXPECT_TRUE(may_follow(safe, nullptr, "https", plain));
  EXPECT_TRUE(may_follow(safe, nullptr, "https", tls));
}

TEST(InternalRedirect_Policy, OnlyListedRoutes) {
  const InternalRedirectPolicy policy{.only_allowed_routes = true, .allowed_routes = {"b"}};
  config::Route a, b;
  a.name = "a";
  b.name = "b";
  EXPECT_TRUE(may_enter(policy, nullptr, a, b));
  EXPECT_FALSE(may_enter(policy, nullptr, b, a));
  EXPECT_TRUE(may_enter({}, nullptr, b, a));
}

TEST(InternalRedirect_Policy, NotTwiceFromARouteToTheSameOne) {
  const InternalRedirectPolicy policy{.forbid_previous_routes = true};
  config::Route a, b;
  a.name = "a";
  b.name = "b";
  const FollowedRedirect first{.from = "a", .to = "b", .before = nullptr};
  const FollowedRedirect second{.from = "b", .to = "a", .before = &first};
  EXPECT_TRUE(may_enter(policy, nullptr, a, b));
  EXPECT_FALSE(may_enter(policy, &first, a, b));
  EXPECT_TRUE(may_enter(policy, &first, b, a));
  EXPECT_FALSE(may_enter(policy, &second, a, b)) << "not only the last one";
  EXPECT_TRUE(may_enter({}, &first, a, b));
}

TEST(InternalRedirect_Fields, AreCopiedOrRemoved) {
  ChunkPool chunks(1, 8, 8);
  Arena arena(chunks);
  http::ResponseHead redirect(arena, 8);
  http::RequestHead head(arena, 8);
  ASSERT_TRUE(redirect.headers.add_copy("x-token", "new") && redirect.headers.add_copy("x-token", "newer") &&
              redirect.headers.add_copy("x-other", "unasked"));
  ASSERT_TRUE(head.headers.add_copy("x-token", "old") && head.headers.add_copy("x-gone", "old") &&
              head.headers.add_copy("x-kept", "old"));
  ASSERT_TRUE(copy_redirect_fields({.copied_headers = {"x-token", "x-gone"}}, redirect, head));
  EXPECT_EQ(head.headers.joined_value("x-token"), "new,newer");
  EXPECT_EQ(head.headers.find("x-gone"), nullptr);
  EXPECT_EQ(head.headers.find("x-other"), nullptr);
  EXPECT_EQ(head.headers.value("x-kept"), "old");
}

}  // namespace
}  // namespace millrace::proxy
