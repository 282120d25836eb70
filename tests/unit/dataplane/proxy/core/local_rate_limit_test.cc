// The local rate limit filter: whose tokens a request takes, and what becomes of one that finds none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/filter_support.h"

namespace millrace::proxy::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kName = "envoy.filters.http.local_ratelimit";

config::RateLimitBucket bucket_of(std::uint32_t tokens, Duration per_token = Duration::seconds(10)) {
  static std::uint32_t id = 0;
  return {.limits = SharedTokenBucket::Limits::of(tokens, 1, per_token),
          .cell = std::make_shared<report::TokenBucketCell>(id++, "", 1)};
}

config::LocalRateLimit limit_of(std::uint32_t tokens, Duration per_token = Duration::seconds(10)) {
  config::LocalRateLimit limit;
  limit.bucket = bucket_of(tokens, per_token);
  limit.enabled = limit.enforced = kAlways;
  limit.cell = std::make_shared<report::LocalRateLimitCell>(0, "edge", 1);
  return limit;
}

ProxyHarness::Change with_limit(config::LocalRateLimit limit, const std::function<void(config::ForwardAction&)>& route = {}) {
  return [=](config::Listener& listener, config::Cluster&, config::Route& target) {
    add_filter(listener, kName, limit);
    if (route) route(std::get<config::ForwardAction>(target.action));
  };
}

/// A descriptor of the value of x-user.
config::RateLimit by_user(std::uint32_t stage = 0) {
  config::RateLimitAction action;
  action.kind = config::RateLimitAction::Kind::kRequestHeader;
  action.key = "user";
  action.header = "x-user";
  return {.stage = stage, .actions = {action}};
}

report::LocalRateLimitStats& stats(const config::LocalRateLimit& limit) { return limit.cell->per_worker[0]; }

TEST(LocalRateLimit, AnswersWhoFindsNoToken) {
  const config::LocalRateLimit limit = limit_of(2);
  ProxyHarness proxy(with_limit(limit));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  proxy.log();
  EXPECT_THAT(proxy.exchange(get()), AllOf(StartsWith("HTTP/1.1 429 "), EndsWith("local_rate_limited")));
  EXPECT_EQ(proxy.log(), "429 RL local_rate_limited 0/18|");
  EXPECT_EQ(stats(limit).enabled.value(), 3u);
  EXPECT_EQ(stats(limit).ok.value(), 2u);
  EXPECT_EQ(stats(limit).rate_limited.value(), 1u);
  EXPECT_EQ(stats(limit).enforced.value(), 1u);
  proxy.advance(Duration::seconds(10));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine")) << "a token has come";
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 429 "));
}

TEST(LocalRateLimit, WhatIsNotEnforcedIsOnlyTold) {
  config::LocalRateLimit limit = limit_of(1);
  limit.enforced = {0, 100};
  limit.unenforced_request_add = {write_field("x-limited", "yes")};
  limit.limited_response_add = {write_field("x-never", "1")};
  ProxyHarness proxy(with_limit(limit));
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen = connection.take_received();
    connection.send(ok("fine"));
  });
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(seen, Not(HasSubstr("x-limited")));
  EXPECT_THAT(proxy.exchange(get()), AllOf(EndsWith("fine"), Not(HasSubstr("x-never"))));
  EXPECT_THAT(seen, HasSubstr("x-limited: yes\r\n"));
  EXPECT_EQ(stats(limit).rate_limited.value(), 1u);
  EXPECT_EQ(stats(limit).enforced.value(), 0u);
}

TEST(LocalRateLimit, NothingIsLimitedUnlessItIsEnabled) {
  config::LocalRateLimit limit = limit_of(1);
  limit.enabled = {0, 100};
  ProxyHarness proxy(with_limit(limit));
  proxy.origin().answer(ok("fine"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_EQ(stats(limit).enabled.value(), 0u);
}

TEST(LocalRateLimit, TellsClientsWhereTheyStand) {
  config::LocalRateLimit limit = limit_of(2);
  limit.tells_limits = true;
  limit.status = 503;
  limit.limited_response_add = {write_field("x-limited", "yes")};
  ProxyHarness proxy(with_limit(limit));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), AllOf(HasSubstr("x-ratelimit-limit: 2\r\n"), HasSubstr("x-ratelimit-remaining: 1\r\n"),
                                           HasSubstr("x-ratelimit-reset: 0\r\n"), Not(HasSubstr("x-limited"))));
  EXPECT_THAT(proxy.exchange(get()), HasSubstr("x-ratelimit-reset: 10\r\n"));
  EXPECT_THAT(proxy.exchange(get()),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("x-ratelimit-remaining: 0\r\n"), HasSubstr("x-limited: yes\r\n")));
}

TEST(LocalRateLimit, GrpcClientsMayBeToldThatItIsTheirs) {
  constexpr std::string_view kCall =
      "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
  config::LocalRateLimit limit = limit_of(1);
  ProxyHarness plain(with_limit(limit));
  plain.origin().answer(ok(""));
  static_cast<void>(plain.exchange(get()));
  EXPECT_THAT(plain.exchange(kCall), HasSubstr("grpc-status: 14\r\n"));
  limit = limit_of(1);
  limit.resource_exhausted = true;
  ProxyHarness proxy(with_limit(limit));
  proxy.origin().answer(ok(""));
  static_cast<void>(proxy.exchange(get()));
  EXPECT_THAT(proxy.exchange(kCall), HasSubstr("grpc-status: 8\r\n"));
}

TEST(LocalRateLimit, DescriptorsHaveBucketsOfTheirOwn) {
  config::LocalRateLimit limit = limit_of(100);
  limit.descriptors = {{.entries = {{"user", "ann"}}, .bucket = bucket_of(1)}};
  limit.tells_limits = true;
  ProxyHarness proxy(with_limit(limit, [](config::ForwardAction& route) { route.rate_limits = {by_user()}; }));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), HasSubstr("x-ratelimit-limit: 1\r\n"));
  EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(proxy.exchange(get("/", "x-user: bob\r\n")), HasSubstr("x-ratelimit-limit: 100\r\n"));
  EXPECT_THAT(proxy.exchange(get()), HasSubstr("x-ratelimit-remaining: 97\r\n")) << "ann's one that passed took one here, too";
}

TEST(LocalRateLimit, TheDefaultBucketMayBeLeftToThoseWithoutADescriptor) {
  config::LocalRateLimit limit = limit_of(1);
  limit.always_takes_default = false;
  limit.descriptors = {{.entries = {{"user", "ann"}}, .bucket = bucket_of(3)}};
  ProxyHarness proxy(with_limit(limit, [](config::ForwardAction& route) { route.rate_limits = {by_user()}; }));
  proxy.origin().answer(ok("fine"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 429 "));
}

TEST(LocalRateLimit, OnlyDescriptorsOfItsStageCount) {
  config::LocalRateLimit limit = limit_of(100);
  limit.descriptors = {{.entries = {{"user", "ann"}}, .bucket = bucket_of(1)}};
  ProxyHarness proxy(with_limit(limit, [](config::ForwardAction& route) { route.rate_limits = {by_user(1)}; }));
  proxy.origin().answer(ok("fine"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), EndsWith("fine"));
}

TEST(LocalRateLimit, TheSlowestBucketDecidesFirst) {
  config::LocalRateLimit limit = limit_of(100);
  const auto fast = bucket_of(5, Duration::milliseconds(50));
  limit.descriptors = {{.entries = {{"all", "1"}}, .bucket = fast},
                       {.entries = {{"user", "ann"}}, .bucket = bucket_of(1, Duration::seconds(100))}};
  config::RateLimitAction all;
  all.key = "all";
  all.value = "1";
  ProxyHarness proxy(
      with_limit(limit, [&](config::ForwardAction& route) { route.rate_limits = {{.actions = {all}}, by_user()}; }));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), EndsWith("fine"));
  EXPECT_EQ(fast.cell->bucket.left(fast.limits, proxy.now), 4u);
  EXPECT_THAT(proxy.exchange(get("/", "x-user: ann\r\n")), StartsWith("HTTP/1.1 429 "));
  EXPECT_EQ(fast.cell->bucket.left(fast.limits, proxy.now), 4u) << "nothing was taken from it";
}

TEST(LocalRateLimit, EachConnectionMayHaveItsOwn) {
  config::LocalRateLimit limit = limit_of(1);
  limit.per_connection = true;
  ProxyHarness proxy(with_limit(limit));
  proxy.origin().answer(ok("fine"));
  for (int i = 0; i < 2; ++i) {
    Client& client = proxy.connect();
    client.send(get());
    proxy.run();
    EXPECT_THAT(client.take_received(), EndsWith("fine"));
    client.send(get());
    proxy.run();
    EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 429 "));
  }
}

TEST(LocalRateLimit, TheRouteReplacesTheListenersAsAWhole) {
  config::LocalRateLimit idle = limit_of(1);
  idle.enabled = {0, 100};
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kName, idle);
    add_route_config(route, kName, limit_of(1));
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 429 "));
}

TEST(LocalRateLimit, ALimitedRequestAllocatesNothing) {
  config::LocalRateLimit limit = limit_of(1);
  limit.descriptors = {{.entries = {{"user", "ann"}}, .bucket = bucket_of(1)}};
  limit.limited_response_add = {write_field("x-limited", "yes")};
  limit.tells_limits = limit.per_connection = true;
  ProxyHarness proxy(with_limit(limit, [](config::ForwardAction& route) { route.rate_limits = {by_user()}; }));
  proxy.origin().answer(ok("fine"));
  Client& client = proxy.connect();
  const auto round = [&] {
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-user: ann\r\n\r\n");
    proxy.run();
    client.clear_received();
    proxy.log();
  };
  for (int i = 0; i < 10; ++i) round();
  AllocationTrap::count = 0;
  for (int i = 0; i < 50; ++i) round();
  EXPECT_EQ(AllocationTrap::count, 0u);
  EXPECT_EQ(stats(limit).rate_limited.value(), 59u);
}

TEST(LocalRateLimit, ABucketGoesOnInTheNextSnapshot) {
  ProxyHarness proxy(with_limit(limit_of(1)));
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get()), EndsWith("fine"));
  proxy.reconfigure([](auto&, auto&, auto&) {});
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 429 "));
}

}  // namespace
}  // namespace millrace::proxy::test
