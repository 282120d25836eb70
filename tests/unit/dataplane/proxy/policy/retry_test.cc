// Conditions, counts and waits of retries, in the order of Envoy's page on the router.
#include "dataplane/proxy/policy/retry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using config::HeaderMatcher;
using config::RetryCondition;
using config::RetryPolicy;
using testing::Field;
using testing::Request;
using testing::Response;

constexpr std::int64_t kWallSeconds = 1'700'000'000;

RetryPolicy on(std::initializer_list<RetryCondition> conditions) {
  RetryPolicy policy;
  for (const RetryCondition condition : conditions) policy.conditions.add(condition);
  return policy;
}

/// Would a request under `policy`, with fields of the client's, be retried after such a response?
bool after(const RetryPolicy& policy, std::uint16_t status, std::initializer_list<Field> response_fields = {},
           std::initializer_list<Field> request_fields = {}) {
  const Request request("/", request_fields);
  const Response response(status, response_fields);
  return Retry(policy, request.head, 0).wants(response.head);
}
bool after(RetryCondition condition, std::uint16_t status, std::initializer_list<Field> fields = {}) {
  return after(on({condition}), status, fields);
}
bool after(RetryCondition condition, UpstreamFailure failure, bool started = true) {
  const RetryPolicy policy = on({condition});
  const Request request;
  return Retry(policy, request.head, 0).wants(failure, started);
}

TEST(Retry_Conditions, WithoutAnyNothingIsRetried) {
  EXPECT_FALSE(after(on({}), 503));
  const RetryPolicy policy;
  const Request request;
  const Retry retry(policy, request.head, 0);
  EXPECT_FALSE(retry.enabled());
  EXPECT_FALSE(retry.wants(UpstreamFailure::kRemoteConnectionFailure, false));
}

TEST(Retry_Conditions, FiveHundredsCoverEveryFailureToo) {
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{500, 501, 503, 599})
    EXPECT_TRUE(after(RetryCondition::k5xx, status)) << status;
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{200, 302, 404, 499})
    EXPECT_FALSE(after(RetryCondition::k5xx, status)) << status;
  for (const auto failure : {UpstreamFailure::kRemoteConnectionFailure, UpstreamFailure::kConnectionTermination,
                             UpstreamFailure::kLocalReset, UpstreamFailure::kProtocolError}) {
    EXPECT_TRUE(after(RetryCondition::k5xx, failure));
    EXPECT_TRUE(after(RetryCondition::kGatewayError, failure));
  }
}

TEST(Retry_Conditions, GatewayErrorsAreThree) {
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{502, 503, 504})
    EXPECT_TRUE(after(RetryCondition::kGatewayError, status)) << status;
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{500, 501, 505})
    EXPECT_FALSE(after(RetryCondition::kGatewayError, status)) << status;
}

TEST(Retry_Conditions, AResetIsEveryEndWithoutAResponse) {
  EXPECT_TRUE(after(RetryCondition::kReset, UpstreamFailure::kConnectionTermination));
  EXPECT_TRUE(after(RetryCondition::kReset, UpstreamFailure::kConnectionTimeout));
  EXPECT_TRUE(after(RetryCondition::kReset, UpstreamFailure::kLocalReset));  // a per-try timeout
  EXPECT_FALSE(after(RetryCondition::kReset, 503));
}

TEST(Retry_Conditions, ResetBeforeRequestAsksWhetherSomethingWasSent) {
  EXPECT_TRUE(after(RetryCondition::kResetBeforeRequest, UpstreamFailure::kRemoteConnectionFailure, false));
  EXPECT_FALSE(after(RetryCondition::kResetBeforeRequest, UpstreamFailure::kConnectionTermination, true));
}

TEST(Retry_Conditions, ConnectFailureIsThatOfTheConnection) {
  for (const auto failure : {UpstreamFailure::kLocalConnectionFailure, UpstreamFailure::kRemoteConnectionFailure,
                             UpstreamFailure::kConnectionTimeout}) {
    EXPECT_TRUE(after(RetryCondition::kConnectFailure, failure));
  }
  EXPECT_FALSE(after(RetryCondition::kConnectFailure, UpstreamFailure::kConnectionTermination));
}

TEST(Retry_Conditions, RefusedStreamIsThatOnly) {
  EXPECT_TRUE(after(RetryCondition::kRefusedStream, UpstreamFailure::kRefusedStream));
  EXPECT_FALSE(after(RetryCondition::kRefusedStream, UpstreamFailure::kRemoteReset));
}

TEST(Retry_Conditions, OurOwnLimitsAreNeverRetried) {
  for (const auto condition : {RetryCondition::k5xx, RetryCondition::kReset, RetryCondition::kResetBeforeRequest})
    EXPECT_FALSE(after(condition, UpstreamFailure::kOverflow, false));
}

TEST(Retry_Conditions, ARateLimitedResponseIsRetriedForThatReasonOnly) {
  const std::initializer_list<Field> limited = {{"x-envoy-ratelimited", "true"}};
  EXPECT_FALSE(after(RetryCondition::k5xx, 503, limited));
  EXPECT_TRUE(after(RetryCondition::kEnvoyRateLimited, 429, limited));
  EXPECT_FALSE(after(RetryCondition::kEnvoyRateLimited, 429));
}

TEST(Retry_Conditions, Retriable4xxIsConflict) {
  EXPECT_TRUE(after(RetryCondition::kRetriable4xx, 409));
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{400, 404, 429})
    EXPECT_FALSE(after(RetryCondition::kRetriable4xx, status)) << status;
}

TEST(Retry_Conditions, RetriableStatusCodesAreThePolicysAndTheClients) {
  RetryPolicy policy = on({RetryCondition::kRetriableStatusCodes});
  policy.status_codes = {418};
  EXPECT_TRUE(after(policy, 418));
  EXPECT_FALSE(after(policy, 503));
  const std::initializer_list<Field> more = {{"x-envoy-retriable-status-codes", "500, 503,nonsense"}};
  EXPECT_TRUE(after(policy, 503, {}, more));
  EXPECT_TRUE(after(policy, 418, {}, more));
  EXPECT_FALSE(after(policy, 502, {}, more));
  policy.conditions = {};
  EXPECT_FALSE(after(policy, 418));
}

TEST(Retry_Conditions, RetriableHeadersAreThePolicysAndTheClients) {
  RetryPolicy policy = on({RetryCondition::kRetriableHeaders});
  HeaderMatcher matcher;
  matcher.name = "x-again";
  matcher.kind = HeaderMatcher::Kind::kString;
  matcher.string = testing::text_matcher(config::StringMatcher::Kind::kExact, "yes");
  policy.response_headers = {matcher};
  EXPECT_TRUE(after(policy, 200, {{"x-again", "yes"}}));
  EXPECT_FALSE(after(policy, 200, {{"x-again", "no"}}));
  EXPECT_FALSE(after(policy, 503));
  const std::initializer_list<Field> more = {{"x-envoy-retriable-header-names", "X-Upstream-Retry, x-other"}};
  EXPECT_TRUE(after(policy, 200, {{"x-upstream-retry", ""}}, more));
  EXPECT_FALSE(after(policy, 200, {{"x-third", ""}}, more));
  policy.response_headers[0].name = ":status";
  policy.response_headers[0].string.text = "503";
  EXPECT_TRUE(after(policy, 503));
}

TEST(Retry_Conditions, GrpcConditionsReadTheStatusInTheHead) {
  const auto grpc = [](RetryCondition condition, std::string_view status) {
    return after(condition, 200, {{"grpc-status", status}});
  };
  EXPECT_TRUE(grpc(RetryCondition::kCancelled, "1"));
  EXPECT_TRUE(grpc(RetryCondition::kDeadlineExceeded, "4"));
  EXPECT_TRUE(grpc(RetryCondition::kResourceExhausted, "8"));
  EXPECT_TRUE(grpc(RetryCondition::kInternal, "13"));
  EXPECT_TRUE(grpc(RetryCondition::kUnavailable, "14"));
  EXPECT_FALSE(grpc(RetryCondition::kUnavailable, "13"));
  EXPECT_FALSE(grpc(RetryCondition::kUnavailable, "0"));
  EXPECT_FALSE(grpc(RetryCondition::kUnavailable, "x"));
}

TEST(Retry_Client, AsksByFields) {
  EXPECT_TRUE(after(default_retry_policy(), 503, {}, {{"x-envoy-retry-on", "connect-failure, 5xx,unknown"}}));
  EXPECT_TRUE(after(default_retry_policy(), 200, {{"grpc-status", "14"}}, {{"x-envoy-retry-grpc-on", "unavailable"}}));
  EXPECT_FALSE(after(default_retry_policy(), 200, {{"grpc-status", "14"}}, {{"x-envoy-retry-on", "unavailable"}}));
  EXPECT_TRUE(after(on({RetryCondition::kRetriable4xx}), 503, {}, {{"x-envoy-retry-on", "5xx"}})) << "adds to the policy";
}

TEST(Retry_Client, FieldsAreNotPassedOn) {
  Request request("/", {{"x-envoy-retry-on", "5xx"},
                        {"x-envoy-retry-grpc-on", "internal"},
                        {"x-envoy-max-retries", "2"},
                        {"x-envoy-retriable-status-codes", "500"},
                        {"x-envoy-retriable-header-names", "a"},
                        {"x-envoy-hedge-on-per-try-timeout", "true"},
                        {"x-envoy-upstream-rq-per-try-timeout-ms", "5"},
                        {"x-other", "stays"}});
  EXPECT_TRUE(asks_for_retries(request.head.headers));
  request.head.headers.remove_all(kRetryFields);
  EXPECT_FALSE(asks_for_retries(request.head.headers));
  EXPECT_EQ(request.head.headers.size(), 1u);
}

TEST(Retry_Client, ARequestThatLacksTheRequiredFieldIsNotRetried) {
  RetryPolicy policy = on({RetryCondition::k5xx});
  HeaderMatcher matcher;
  matcher.name = ":method";
  matcher.kind = HeaderMatcher::Kind::kString;
  matcher.string = testing::text_matcher(config::StringMatcher::Kind::kExact, "PUT");
  policy.request_headers = {matcher};
  EXPECT_FALSE(after(policy, 503));
  EXPECT_FALSE(after(policy, 503, {}, {{"x-envoy-retry-on", "5xx"}}));
  policy.request_headers[0].string.text = "GET";
  EXPECT_TRUE(after(policy, 503));
}

std::uint32_t allowed(std::uint32_t of_policy, std::initializer_list<Field> fields) {
  RetryPolicy policy = on({RetryCondition::k5xx});
  policy.num_retries = of_policy;
  const Request request("/", fields);
  Retry retry(policy, request.head, 0);
  std::uint32_t taken = 0;
  while (retry.take()) ++taken;
  return taken;
}

TEST(Retry_Count, IsThePolicysOrTheClients) {
  EXPECT_EQ(allowed(RetryPolicy().num_retries, {}), 1u) << "by default once";
  EXPECT_EQ(allowed(3, {}), 3u);
  EXPECT_EQ(allowed(0, {}), 0u);
  EXPECT_EQ(allowed(3, {{"x-envoy-max-retries", "7"}}), 7u) << "the field has the last word";
  EXPECT_EQ(allowed(3, {{"x-envoy-max-retries", "0"}}), 0u);
  EXPECT_EQ(allowed(3, {{"x-envoy-max-retries", "many"}}), 3u);
}

Duration longest_back_off(const RetryPolicy& policy, int retry_number) {
  const Request request;
  Retry retry(policy, request.head, 0);
  for (int i = 0; i < retry_number; ++i) EXPECT_TRUE(retry.take());
  Rng rng(1);
  Duration longest;
  for (int i = 0; i < 20'000; ++i) longest = std::max(longest, retry.back_off(nullptr, kWallSeconds, rng).time);
  return longest;
}

TEST(Retry_BackOff, GrowsExponentiallyFromZeroOn) {
  RetryPolicy policy = on({RetryCondition::k5xx});
  policy.num_retries = 100;
  const int bound[] = {0, 25, 75, 175, 250, 250};  // milliseconds, by the number of the retry
  for (int n = 1; n <= 5; ++n) {
    EXPECT_LT(longest_back_off(policy, n), Duration::milliseconds(bound[n])) << n;
    EXPECT_GT(longest_back_off(policy, n), Duration::milliseconds(bound[n] - 1)) << n;
  }
  EXPECT_LE(longest_back_off(policy, 90), Duration::milliseconds(250));
}

TEST(Retry_BackOff, FollowsTheConfiguredIntervals) {
  RetryPolicy policy = on({RetryCondition::k5xx});
  policy.num_retries = 9;
  policy.base_interval = Duration::milliseconds(100);
  policy.max_interval = Duration::milliseconds(150);
  EXPECT_GT(longest_back_off(policy, 1), Duration::milliseconds(99));
  EXPECT_LT(longest_back_off(policy, 1), Duration::milliseconds(100));
  EXPECT_GT(longest_back_off(policy, 2), Duration::milliseconds(149));
  EXPECT_LT(longest_back_off(policy, 9), Duration::milliseconds(150));
}

struct RateLimited : ::testing::Test {
  RateLimited() {
    policy.reset_headers = {{"retry-after", config::ResetHeader::Format::kSeconds},
                            {"x-ratelimit-reset", config::ResetHeader::Format::kUnixTimestamp}};
  }
  Retry::BackOff wait(std::initializer_list<Field> fields) {
    const Request request;
    Retry retry(policy, request.head, 0);
    EXPECT_TRUE(retry.take());
    const Response response(503, fields);
    return retry.back_off(&response.head, kWallSeconds, rng);
  }
  RetryPolicy policy = on({RetryCondition::k5xx});
  Rng rng{7};
};

TEST_F(RateLimited, WaitsAsLongAsTheResponseSaysAndUpToHalfAsLongAgain) {
  for (int i = 0; i < 100; ++i) {
    const Retry::BackOff back_off = wait({{"retry-after", "120"}});
    EXPECT_TRUE(back_off.rate_limited);
    EXPECT_GE(back_off.time, Duration::seconds(120));
    EXPECT_LT(back_off.time, Duration::seconds(180));
  }
}

TEST_F(RateLimited, ATimestampIsComparedWithTheClock) {
  const Retry::BackOff back_off = wait({{"x-ratelimit-reset", std::to_string(kWallSeconds + 10)}});
  EXPECT_TRUE(back_off.rate_limited);
  EXPECT_GE(back_off.time, Duration::seconds(10));
  EXPECT_LT(back_off.time, Duration::seconds(15));
}

TEST_F(RateLimited, WhatSaysNothingLeavesTheNextOneOrTheExponentialBackOff) {
  EXPECT_TRUE(wait({{"retry-after", "Fri, 31 Dec 1999"}, {"x-ratelimit-reset", "1700000001"}}).rate_limited);
  EXPECT_TRUE(wait({{"retry-after", "301"}, {"x-ratelimit-reset", "1700000001"}}).rate_limited) << "more than max_interval";
  EXPECT_FALSE(wait({{"retry-after", "301"}}).rate_limited);
  EXPECT_FALSE(wait({{"retry-after", "0"}}).rate_limited);
  EXPECT_FALSE(wait({{"retry-after", "9223372036854775807"}}).rate_limited);
  EXPECT_FALSE(wait({{"x-ratelimit-reset", "1699999999"}}).rate_limited) << "in the past";
  EXPECT_FALSE(wait({{"x-ratelimit-reset", "-9223372036854775808"}}).rate_limited);
  EXPECT_LT(wait({}).time, Duration::milliseconds(25));
}

TEST(Retry_TryTimeout, IsTheClientsOrThePolicysBelowThatOfTheRoute) {
  RetryPolicy policy;
  policy.per_try_timeout = Duration::milliseconds(300);
  const auto take = [](const RetryPolicy* of_route, Duration response_timeout, std::initializer_list<Field> fields) {
    Request request("/", fields);
    const Duration timeout = take_try_timeout(of_route, response_timeout, request.head);
    EXPECT_EQ(request.head.headers.size(), 0u);
    return timeout;
  };
  EXPECT_EQ(take(nullptr, Duration::seconds(1), {}), Duration());
  EXPECT_EQ(take(&policy, Duration::seconds(1), {}), Duration::milliseconds(300));
  EXPECT_EQ(take(&policy, Duration::seconds(1), {{"x-envoy-upstream-rq-per-try-timeout-ms", "200"}}),
            Duration::milliseconds(200));
  EXPECT_EQ(take(nullptr, Duration::seconds(1), {{"x-envoy-upstream-rq-per-try-timeout-ms", "200"}}),
            Duration::milliseconds(200));
  EXPECT_EQ(take(&policy, Duration::seconds(1), {{"x-envoy-upstream-rq-per-try-timeout-ms", "x"}}), Duration::milliseconds(300));
  EXPECT_EQ(take(&policy, Duration::milliseconds(300), {}), Duration()) << "the route's is over first";
  EXPECT_EQ(take(&policy, Duration(), {}), Duration::milliseconds(300)) << "the route has none";
}

}  // namespace
}  // namespace millrace::proxy
