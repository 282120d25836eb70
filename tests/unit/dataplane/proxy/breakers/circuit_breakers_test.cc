#include "dataplane/proxy/breakers/circuit_breakers.h"

#include <gtest/gtest.h>

namespace millrace::proxy {
namespace {

using config::RoutingPriority;
using enum BreakerResource;

constexpr BreakerResource kAll[] = {kConnections, kPendingRequests, kRequests, kRetries, kConnectionPools};

/// The breakers of two workers.
struct Breakers {
  explicit Breakers(const config::BreakerThresholds& thresholds) {
    for (CircuitBreakers* worker : {&first, &second}) worker->set_thresholds(thresholds);
    other_priority.set_thresholds(thresholds);
  }
  report::ClusterCell cell{0, "app", 2};
  CircuitBreakers first{cell, RoutingPriority::kDefault, 0};
  CircuitBreakers second{cell, RoutingPriority::kDefault, 1};
  CircuitBreakers other_priority{cell, RoutingPriority::kHigh, 0};
};

constexpr config::BreakerThresholds kOneOfEach{.max_connections = 1,
                                               .max_pending_requests = 1,
                                               .max_requests = 1,
                                               .max_retries = 1,
                                               .max_connection_pools = 1,
                                               .retry_budget = {}};

TEST(CircuitBreakers, LimitEachResourceForAllWorkersTogether) {
  Breakers breakers(kOneOfEach);
  for (const BreakerResource resource : kAll) {
    ASSERT_TRUE(breakers.first.take(resource));
    EXPECT_FALSE(breakers.second.take(resource));
    EXPECT_TRUE(breakers.other_priority.take(resource)) << "each priority has limits of its own";
    breakers.first.release(resource);
    EXPECT_TRUE(breakers.second.take(resource));
    breakers.second.release(resource);
    breakers.other_priority.release(resource);
  }
}

TEST(CircuitBreakers, EachWorkerSaysWhatItUses) {
  Breakers breakers({.retry_budget = {}});
  ASSERT_TRUE(breakers.first.take(kRequests));
  ASSERT_TRUE(breakers.first.take(kRequests));
  ASSERT_TRUE(breakers.second.take(kRequests));
  breakers.second.force(kConnections);
  EXPECT_EQ(breakers.cell.per_worker[0].breakers[0].of(kRequests).value(), 2);
  EXPECT_EQ(breakers.cell.per_worker[1].breakers[0].of(kRequests).value(), 1);
  EXPECT_EQ(breakers.cell.per_worker[1].breakers[0].of(kConnections).value(), 1);
  EXPECT_EQ(breakers.cell.per_worker[0].breakers[1].of(kRequests).value(), 0);
  breakers.first.release(kRequests);
  breakers.first.release(kRequests);
  breakers.second.release(kRequests);
  breakers.second.release(kConnections);
  EXPECT_EQ(breakers.cell.per_worker[0].breakers[0].of(kRequests).value(), 0);
}

TEST(CircuitBreakers, ARetryBudgetIsAPartOfWhatAllWorkersHaveInProgress) {
  Breakers breakers({.retry_budget = config::RetryBudget{.percent = 20, .min_concurrency = 1}});
  for (int i = 0; i < 14; ++i) ASSERT_TRUE(breakers.first.take(kRequests));
  ASSERT_TRUE(breakers.second.take(kPendingRequests));
  // A fifth of fifteen.
  EXPECT_TRUE(breakers.first.take_retry());
  EXPECT_TRUE(breakers.second.take_retry());
  EXPECT_TRUE(breakers.first.take_retry());
  EXPECT_FALSE(breakers.second.take_retry());
  breakers.first.release(kRetries);
  EXPECT_TRUE(breakers.second.take_retry());
  for (int i = 0; i < 14; ++i) breakers.first.release(kRequests);
  breakers.second.release(kPendingRequests);
  EXPECT_FALSE(breakers.second.take_retry()) << "the budget shrinks with what is in progress";
  breakers.first.release(kRetries);
  breakers.second.release(kRetries);
  breakers.second.release(kRetries);
}

TEST(CircuitBreakers, ARetryBudgetAllowsItsMinimumWithoutAnyRequest) {
  Breakers breakers({.max_retries = 0, .retry_budget = config::RetryBudget{.percent = 20, .min_concurrency = 2}});
  EXPECT_TRUE(breakers.first.take_retry());
  EXPECT_TRUE(breakers.second.take_retry());
  EXPECT_FALSE(breakers.first.take_retry());
  breakers.first.release(kRetries);
  breakers.second.release(kRetries);
}

TEST(CircuitBreakers, WithoutABudgetRetriesHaveALimit) {
  Breakers breakers({.max_retries = 2, .retry_budget = {}});
  EXPECT_TRUE(breakers.first.take_retry());
  EXPECT_TRUE(breakers.second.take_retry());
  EXPECT_FALSE(breakers.first.take_retry());
  breakers.first.release(kRetries);
  breakers.second.release(kRetries);
}

}  // namespace
}  // namespace millrace::proxy
