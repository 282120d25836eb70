#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::ForwardAction;
using config::ResetHeader;
using config::RetryCondition;
using config::RetryPolicy;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

BootstrapText with_policy(const std::string& fields) {
  BootstrapText text;
  text.action = "route: {cluster: origin, retry_policy: {" + fields + "}}";
  return text;
}

const ForwardAction& forward_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return std::get<ForwardAction>(route_of(snapshot).action);
}

RetryPolicy policy(const std::string& fields) {
  const auto snapshot = snapshot_of(with_policy(fields));
  return snapshot == nullptr ? RetryPolicy{} : *forward_of(snapshot).retry;
}

std::vector<std::string> refusals(const std::string& fields) { return errors_of(with_policy(fields)); }

/// An Any of a host predicate.
std::string predicate(const std::string& type) {
  return "{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.host." + type + "}}";
}

TEST(TranslateRetry, HasEnvoysDefaults) {
  const RetryPolicy bare = policy("");
  EXPECT_FALSE(bare.conditions.any());
  EXPECT_EQ(bare.num_retries, 1u);
  EXPECT_EQ(bare.per_try_timeout, Duration());
  EXPECT_EQ(bare.per_try_idle_timeout, Duration());
  EXPECT_EQ(bare.base_interval, Duration::milliseconds(25));
  EXPECT_EQ(bare.max_interval, Duration::milliseconds(250));
  EXPECT_EQ(bare.host_selection_retries, 1u);
  EXPECT_FALSE(bare.avoid_previous_hosts || bare.avoid_canary_hosts);
}

TEST(TranslateRetry, TakesEveryCondition) {
  const auto conditions = [](const std::string& words) { return policy("retry_on: \"" + words + "\"").conditions; };
#define MR_RETRY_CONDITION(name, word) EXPECT_TRUE(conditions(word).has(RetryCondition::name)) << word;
#define MR_GRPC_RETRY_CONDITION(name, word, code) EXPECT_TRUE(conditions(word).has(RetryCondition::name)) << word;
#include "config/model/retry_condition.def"
#undef MR_GRPC_RETRY_CONDITION
#undef MR_RETRY_CONDITION
  const auto istios = conditions("connect-failure,refused-stream, unavailable ,cancelled,retriable-status-codes");
  EXPECT_TRUE(istios.has(RetryCondition::kConnectFailure));
  EXPECT_TRUE(istios.has(RetryCondition::kUnavailable));
  EXPECT_FALSE(istios.has(RetryCondition::k5xx));
}

TEST(TranslateRetry, WarnsOfWordsThatNobodyKnows) {
  const auto loaded = load_text(with_policy("retry_on: \"5xx,,no-such-thing,http3-post-connect-failure\""));
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("retry_policy.retry_on: \"no-such-thing\" is no condition for a retry")));
  EXPECT_THAT(loaded->harmless, Contains(testing::Field(&ConfigError::reason, HasSubstr("HTTP/3"))));
}

TEST(TranslateRetry, TakesCountsAndTimes) {
  const RetryPolicy all =
      policy("num_retries: 0, per_try_timeout: 2s, per_try_idle_timeout: 0.5s, retry_back_off: {base_interval: 0.1s}");
  EXPECT_EQ(all.num_retries, 0u);
  EXPECT_EQ(all.per_try_timeout, Duration::seconds(2));
  EXPECT_EQ(all.per_try_idle_timeout, Duration::milliseconds(500));
  EXPECT_EQ(all.base_interval, Duration::milliseconds(100));
  EXPECT_EQ(all.max_interval, Duration::seconds(1)) << "ten times the base";
  const RetryPolicy tiny = policy("retry_back_off: {base_interval: 0.0001s, max_interval: 0.0002s}");
  EXPECT_EQ(tiny.base_interval, Duration::milliseconds(1));
  EXPECT_EQ(tiny.max_interval, Duration::milliseconds(1));
}

TEST(TranslateRetry, TakesWhatResponsesSayOfWhen) {
  const RetryPolicy limited = policy(
      "rate_limited_retry_back_off: {reset_headers: [{name: Retry-After}, {name: X-RateLimit-Reset, format: UNIX_TIMESTAMP}], "
      "max_interval: 10s}");
  ASSERT_EQ(limited.reset_headers.size(), 2u);
  EXPECT_EQ(limited.reset_headers[0].name, "retry-after");
  EXPECT_EQ(limited.reset_headers[0].format, ResetHeader::Format::kSeconds);
  EXPECT_EQ(limited.reset_headers[1].name, "x-ratelimit-reset");
  EXPECT_EQ(limited.reset_headers[1].format, ResetHeader::Format::kUnixTimestamp);
  EXPECT_EQ(limited.max_reset_interval, Duration::seconds(10));
  EXPECT_EQ(policy("rate_limited_retry_back_off: {reset_headers: [{name: a}]}").max_reset_interval, Duration::seconds(300));
}

TEST(TranslateRetry, TakesCodesAndHeaders) {
  const RetryPolicy lists = policy(
      "retriable_status_codes: [418, 503], retriable_headers: [{name: X-A, present_match: true}], "
      "retriable_request_headers: [{name: \":method\", exact_match: GET}]");
  EXPECT_THAT(lists.status_codes, ElementsAre(418u, 503u));
  EXPECT_EQ(lists.response_headers.at(0).name, "x-a");
  EXPECT_EQ(lists.request_headers.at(0).string.text, "GET");
}

std::string previous_priorities(int frequency) {
  return "{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3."
         "PreviousPrioritiesConfig, update_frequency: " +
         std::to_string(frequency) + "}}";
}

TEST(TranslateRetry, TakesPreviousPriorities) {
  EXPECT_EQ(policy("retry_priority: " + previous_priorities(2)).priority_update_frequency, 2u);
  EXPECT_EQ(policy("num_retries: 1").priority_update_frequency, 0u);
}

TEST(TranslateRetry, TakesHostPredicates) {
  const std::string previous = predicate("previous_hosts.v3.PreviousHostsPredicate");
  const RetryPolicy avoids = policy("host_selection_retry_max_attempts: 5, retry_host_predicate: [" + previous + "]");
  EXPECT_TRUE(avoids.avoid_previous_hosts);
  EXPECT_FALSE(avoids.avoid_canary_hosts);
  EXPECT_EQ(avoids.host_selection_retries, 5u);
  EXPECT_TRUE(
      policy("retry_host_predicate: [" + predicate("omit_canary_hosts.v3.OmitCanaryHostsPredicate") + "]").avoid_canary_hosts);
}

TEST(TranslateRetry, RefusesWhatItCannotDo) {
  EXPECT_THAT(refusals("retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}]"),
              ElementsAre(HasSubstr("retry_host_predicate[0].typed_config: must be set")));
  EXPECT_THAT(refusals("retry_host_predicate: [" + predicate("omit_host_metadata.v3.OmitHostMetadataConfig") + "]"),
              ElementsAre(HasSubstr("is not supported")));
  EXPECT_THAT(refusals("retry_priority: {name: x}"), ElementsAre(HasSubstr("retry_priority.typed_config: must be set")));
  EXPECT_THAT(refusals("retry_priority: " + previous_priorities(0)), ElementsAre(HasSubstr("update_frequency")));
  EXPECT_THAT(refusals("retry_options_predicates: [{name: x}]"), Contains(HasSubstr("retry_options_predicates: is not")));
  EXPECT_THAT(refusals("host_selection_retry_max_attempts: 1001"), ElementsAre(HasSubstr("must be at most 1000")));
  EXPECT_THAT(refusals("host_selection_retry_max_attempts: -1"), ElementsAre(HasSubstr("not negative")));
  EXPECT_THAT(refusals("retry_back_off: {base_interval: 1s, max_interval: 0.5s}"),
              ElementsAre(HasSubstr("max_interval: must not be less than base_interval")));
  EXPECT_THAT(refusals("retry_back_off: {base_interval: 90000s}"), ElementsAre(HasSubstr("must be at most a day")));
  EXPECT_THAT(refusals("retry_back_off: {}"), ElementsAre(HasSubstr("base_interval")));
  EXPECT_THAT(refusals("per_try_timeout: -1s"), ElementsAre(HasSubstr("per_try_timeout: must not be negative")));
  BootstrapText typed;
  typed.action =
      "route: {cluster: origin, retry_policy_typed_config: {\"@type\": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}";
  EXPECT_THAT(errors_of(typed), ElementsAre(HasSubstr("retry_policy_typed_config: is not supported yet: use retry_policy")));
}

TEST(TranslateRetry, AVirtualHostsPolicyHoldsForRoutesWithoutOne) {
  BootstrapText text;
  text.host = ", retry_policy: {retry_on: 5xx, num_retries: 4}";
  const auto inherited = snapshot_of(text);
  ASSERT_NE(inherited, nullptr);
  EXPECT_EQ(forward_of(inherited).retry->num_retries, 4u);
  text.action = "route: {cluster: origin, retry_policy: {retry_on: reset}}";
  const auto own = snapshot_of(text);
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(forward_of(own).retry->num_retries, 1u) << "as a whole: nothing is merged";
  EXPECT_FALSE(forward_of(own).retry->conditions.has(RetryCondition::k5xx));
  EXPECT_EQ(forward_of(snapshot_of(BootstrapText{})).retry, nullptr);
}

TEST(TranslateRetry, BuffersOfRoutesAndVirtualHosts) {
  BootstrapText text;
  EXPECT_EQ(forward_of(snapshot_of(text)).retry_buffer_limit_bytes, ~0u);
  text.host = ", per_request_buffer_limit_bytes: 1000";
  EXPECT_EQ(forward_of(snapshot_of(text)).retry_buffer_limit_bytes, 1'000u);
  text.route = ", per_request_buffer_limit_bytes: 2000";
  EXPECT_EQ(forward_of(snapshot_of(text)).retry_buffer_limit_bytes, 2'000u);
}

TEST(TranslateRetry, EndpointsMayBeCanaries) {
  const auto canary = [](const std::string& metadata) {
    BootstrapText text;
    text.endpoints =
        "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 8080}}}" + metadata + "}]}]";
    return snapshot_of(text)->find_cluster("origin")->endpoints.at(0).canary;
  };
  EXPECT_FALSE(canary(""));
  EXPECT_TRUE(canary(", metadata: {filter_metadata: {envoy.lb: {canary: true}}}"));
  EXPECT_FALSE(canary(", metadata: {filter_metadata: {envoy.lb: {canary: false}}}"));
}

}  // namespace
}  // namespace millrace::agent::test
