#include "dataplane/proxy/policy/local_reply.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;

TEST(LocalReply, SaysWhatEnvoySays) {
  struct Case {
    LocalReplyReason reason;
    std::uint16_t status;
    std::string_view body, details, flag;
  };
  constexpr Case kCases[] = {
      {LocalReplyReason::kNoRoute, 404, "", "route_not_found", "NR"},
      {LocalReplyReason::kNoCluster, 503, "", "cluster_not_found", "NC"},
      {LocalReplyReason::kNoHealthyUpstream, 503, "no healthy upstream", "no_healthy_upstream", "UH"},
      {LocalReplyReason::kUpstreamTimeout, 504, "upstream request timeout", "response_timeout", "UT"},
      {LocalReplyReason::kStreamIdleTimeout, 408, "stream timeout", "stream_idle_timeout", "SI"},
      {LocalReplyReason::kStreamIdleTimeoutAfterRequest, 504, "stream timeout", "stream_idle_timeout", "SI"},
      {LocalReplyReason::kRequestTimeout, 408, "request timeout", "request_overall_timeout", "-"},
      {LocalReplyReason::kRequestHeadersTimeout, 408, "request header timeout", "request_header_timeout", "-"},
      {LocalReplyReason::kMaxStreamDuration, 408, "downstream duration timeout", "max_duration_timeout", "DT"},
      {LocalReplyReason::kUpgradeRefused, 403, "", "upgrade_failed", "-"},
      {LocalReplyReason::kOverloaded, 503, "envoy overloaded", "overload", "OM"},
  };
  for (const Case& c : kCases) {
    const LocalReply reply = reply_of(c.reason);
    EXPECT_EQ(reply.status, c.status) << c.details;
    EXPECT_EQ(reply.body, c.body);
    EXPECT_EQ(reply.details, c.details);
    EXPECT_EQ(reply.flag ? short_name(*reply.flag) : "-", c.flag);
  }
}

TEST(LocalReply, ForBrokenProtocol) {
  const LocalReply bad = reply_of(http::ProtocolError::kBadHeaderName);
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, "Bad Request");
  EXPECT_EQ(bad.details, "http1.bad_header_name");
  EXPECT_EQ(bad.flag, ResponseFlag::kDownstreamProtocolError);
  EXPECT_EQ(reply_of(http::ProtocolError::kHeadersTooLarge).status, 431);
  EXPECT_EQ(reply_of(http::ProtocolError::kTruncated).status, 0);
}

TEST(LocalReply, ForDirectResponsesAndRedirects) {
  const config::DirectResponse direct{.status = 418, .body = "teapot"};
  EXPECT_EQ(reply_of(direct).status, 418);
  EXPECT_EQ(reply_of(direct).body, "teapot");
  EXPECT_EQ(reply_of(direct).details, "direct_response");

  config::Route route;
  config::RedirectAction action;
  action.status = 308;
  action.path = "/new";
  route.action = action;
  Request request("/old", {{"x-forwarded-proto", "http"}});
  request.head.scheme = "http";
  const LocalReply redirect = redirect_reply(route, request.head, 0, request.arena);
  EXPECT_EQ(redirect.status, 308);
  EXPECT_EQ(redirect.location, "http://example.com/new");
  NoMemory none;
  EXPECT_EQ(redirect_reply(route, request.head, 0, none.arena).details, "overload");
}

TEST(LocalReply, BodyOfAnUpstreamReset) {
  Memory memory;
  EXPECT_EQ(upstream_reset_body("remote connection failure", "", false, memory.arena),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure");
  EXPECT_EQ(upstream_reset_body("remote connection failure", "delayed connect error: 111", false, memory.arena),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, "
            "transport failure reason: delayed connect error: 111");
  NoMemory none;
  EXPECT_EQ(upstream_reset_body("x", "", false, none.arena), "upstream connect error or disconnect/reset before headers");
}

TEST(LocalReply, HeadHasBodyFieldsOnlyWithABody) {
  Response empty;
  ASSERT_TRUE(write_local_reply(reply_of(LocalReplyReason::kNoRoute), empty.head));
  EXPECT_EQ(empty.head.status, 404);
  EXPECT_EQ(empty.head.headers.size(), 0u);
  Response full;
  ASSERT_TRUE(write_local_reply(reply_of(LocalReplyReason::kNoHealthyUpstream), full.head));
  EXPECT_EQ(full.head.headers.value("content-length"), "19");
  EXPECT_EQ(full.head.headers.value("content-type"), "text/plain");
  Response moved;
  LocalReply redirect = reply_of(LocalReplyReason::kPathRedirect);
  redirect.location = "/a";
  ASSERT_TRUE(write_local_reply(redirect, moved.head));
  EXPECT_EQ(moved.head.status, 307);
  EXPECT_EQ(moved.head.headers.value("location"), "/a");
}

TEST(ResponseFlagText, ListsAllThatAreSet) {
  const auto text = [](std::initializer_list<ResponseFlag> set, bool long_names, std::size_t limit) {
    ResponseFlags flags;
    for (const ResponseFlag flag : set) flags.set(flag);
    std::array<char, 100> out;
    return std::string(out.data(), format_flags(flags, long_names, std::span(out).first(limit)));
  };
  EXPECT_EQ(text({}, false, 100), "-");
  EXPECT_EQ(text({ResponseFlag::kUpstreamConnectionFailure, ResponseFlag::kUpstreamRetryLimitExceeded}, false, 100), "UF,URX");
  EXPECT_EQ(text({ResponseFlag::kNoRouteFound}, true, 100), "NoRouteFound");
  EXPECT_EQ(text({ResponseFlag::kNoRouteFound}, true, 3), "NoR");
}

}  // namespace
}  // namespace millrace::proxy
