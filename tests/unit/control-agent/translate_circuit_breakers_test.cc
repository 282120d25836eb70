#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::kUnlimited;
using config::RoutingPriority;
using testing::Contains;
using testing::HasSubstr;

BootstrapText with_breakers(const std::string& fields) {
  BootstrapText text;
  text.cluster = ", circuit_breakers: {" + fields + "}";
  return text;
}

config::CircuitBreakers breakers(const std::string& fields) {
  const auto snapshot = snapshot_of(with_breakers(fields));
  return snapshot == nullptr ? config::CircuitBreakers{} : snapshot->find_cluster("origin")->breakers;
}

void expect_defaults(const config::BreakerThresholds& thresholds) {
  EXPECT_EQ(thresholds.max_connections, 1'024u);
  EXPECT_EQ(thresholds.max_pending_requests, 1'024u);
  EXPECT_EQ(thresholds.max_requests, 1'024u);
  EXPECT_EQ(thresholds.max_retries, 3u);
  EXPECT_EQ(thresholds.max_connection_pools, kUnlimited);
  EXPECT_FALSE(thresholds.retry_budget.has_value());
  EXPECT_FALSE(thresholds.track_remaining);
}

TEST(TranslateCircuitBreakers, HaveEnvoysDefaultsForBothPriorities) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  for (const config::CircuitBreakers& given :
       {snapshot->find_cluster("origin")->breakers, breakers("thresholds: [{}, {priority: HIGH}], per_host_thresholds: [{}]")}) {
    expect_defaults(given.of(RoutingPriority::kDefault));
    expect_defaults(given.of(RoutingPriority::kHigh));
    EXPECT_EQ(given.connections_per_endpoint(RoutingPriority::kDefault), kUnlimited);
    EXPECT_EQ(given.connections_per_endpoint(RoutingPriority::kHigh), kUnlimited);
  }
}

TEST(TranslateCircuitBreakers, TakeEveryField) {
  const config::CircuitBreakers given = breakers(
      "thresholds: [{priority: HIGH, max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4, "
      "max_connection_pools: 5, track_remaining: true, retry_budget: {budget_percent: {value: 12.5}, "
      "min_retry_concurrency: 7}}], per_host_thresholds: [{max_connections: 8}, {priority: HIGH, max_connections: 9}]");
  const config::BreakerThresholds& high = given.of(RoutingPriority::kHigh);
  EXPECT_EQ(high.max_connections, 1u);
  EXPECT_EQ(high.max_pending_requests, 2u);
  EXPECT_EQ(high.max_requests, 3u);
  EXPECT_EQ(high.max_retries, 4u);
  EXPECT_EQ(high.max_connection_pools, 5u);
  EXPECT_TRUE(high.track_remaining);
  ASSERT_TRUE(high.retry_budget.has_value());
  EXPECT_DOUBLE_EQ(high.retry_budget->percent, 12.5);
  EXPECT_EQ(high.retry_budget->min_concurrency, 7u);
  expect_defaults(given.of(RoutingPriority::kDefault));
  EXPECT_EQ(given.connections_per_endpoint(RoutingPriority::kDefault), 8u);
  EXPECT_EQ(given.connections_per_endpoint(RoutingPriority::kHigh), 9u);
}

TEST(TranslateCircuitBreakers, HaveTheOtherHalfOfABudgetByDefault) {
  const auto half = breakers(
      "thresholds: [{retry_budget: {min_retry_concurrency: 1}}, {priority: HIGH, retry_budget: "
      "{budget_percent: {value: 1}}}]");
  EXPECT_DOUBLE_EQ(half.of(RoutingPriority::kDefault).retry_budget->percent, 20);
  EXPECT_EQ(half.of(RoutingPriority::kHigh).retry_budget->min_concurrency, 3u);
  EXPECT_FALSE(breakers("thresholds: [{retry_budget: {}}]").of(RoutingPriority::kDefault).retry_budget.has_value());
}

TEST(TranslateCircuitBreakers, OfAPriorityTheFirstCount) {
  const auto given = breakers(
      "thresholds: [{max_connections: 1}, {max_connections: 2}], per_host_thresholds: [{max_connections: "
      "3}, {max_connections: 4}]");
  EXPECT_EQ(given.of(RoutingPriority::kDefault).max_connections, 1u);
  EXPECT_EQ(given.connections_per_endpoint(RoutingPriority::kDefault), 3u);
}

TEST(TranslateCircuitBreakers, TakeWhatIstioSendsInEveryPush) {
  const auto given = breakers(
      "thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, "
      "max_retries: 4294967295, track_remaining: true}]");
  EXPECT_EQ(given.of(RoutingPriority::kDefault).max_requests, kUnlimited);
}

TEST(TranslateCircuitBreakers, RefuseOtherLimitsOfSingleEndpoints) {
  for (const char* field : {"max_pending_requests: 1", "max_requests: 1", "max_retries: 1", "max_connection_pools: 1",
                            "track_remaining: true", "retry_budget: {}"}) {
    EXPECT_THAT(errors_of(with_breakers("per_host_thresholds: [{" + std::string(field) + "}]")),
                Contains(HasSubstr("only max_connections is")))
        << field;
  }
}

TEST(TranslateCircuitBreakers, RefuseAPercentageBeyondAHundred) {
  EXPECT_THAT(errors_of(with_breakers("thresholds: [{retry_budget: {budget_percent: {value: 101}}}]")),
              Contains(HasSubstr("budget_percent")));
}

TEST(TranslateCircuitBreakers, ARouteChoosesThePriority) {
  const auto priority = [](const std::string& fields) {
    BootstrapText text;
    text.action = "route: {cluster: origin" + fields + "}";
    return std::get<config::ForwardAction>(route_of(snapshot_of(text)).action).priority;
  };
  EXPECT_EQ(priority(""), RoutingPriority::kDefault);
  EXPECT_EQ(priority(", priority: DEFAULT"), RoutingPriority::kDefault);
  EXPECT_EQ(priority(", priority: HIGH"), RoutingPriority::kHigh);
}

}  // namespace
}  // namespace millrace::agent::test
