// Thresholds, intervals and flags as Envoy's documentation tells them (config.core.v3.HealthCheck), over the cells of a cluster.
#include "dataplane/proxy/health/checker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace millrace::proxy {
namespace {

using report::EndpointCell;
using report::EndpointFault;

constexpr auto kFirst = Duration::seconds(1);
constexpr Duration seconds(std::int64_t count) { return Duration::seconds(count); }

class Checking : public testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 2;

  Checking() {
    settings->unhealthy_threshold = 3;
    settings->healthy_threshold = 2;
    settings->interval = seconds(1);
    settings->unhealthy_interval = seconds(2);
    settings->unhealthy_edge_interval = seconds(3);
    settings->healthy_edge_interval = seconds(4);
    settings->no_traffic_interval = seconds(5);
    settings->no_traffic_healthy_interval = seconds(6);
    cluster.cell = std::make_shared<report::ClusterCell>(0, "app", kWorkers);
    cluster.endpoints.resize(1);
    cluster.endpoints[0].cell = std::make_shared<EndpointCell>(0, kWorkers);
    cluster.endpoints[0].own_extras().health_target = std::make_shared<config::HealthTarget>();
    cluster.health_check = settings;
    HealthChecker::begin(cluster);
  }

  EndpointCell& cell() { return *cluster.endpoints[0].cell; }
  bool failed() { return cell().has(EndpointFault::kFailedHealthCheck); }
  config::EndpointHealth health() { return config::health_of(cluster.endpoints[0]); }
  CheckOutcome succeed(bool degraded = false) { return checker().on_success(cell(), degraded, now); }
  CheckOutcome fail(CheckFailure failure, bool retriable = false) { return checker().on_failure(cell(), failure, retriable); }
  void begin_traffic() { cluster.cell->per_worker[1].upstream_cx_total.add(); }
  Duration wait(const CheckOutcome& outcome, bool success) { return checker().wait_after(outcome, success); }
  HealthChecker& checker() {
    if (!checker_) checker_.emplace(cluster, 0, rng);
    return *checker_;
  }
  report::HealthCheckStats& stats() { return cluster.cell->per_worker[0].health_check; }
  void forget_all() { HealthChecker::forget(cluster, nullptr); }

  Rng rng{7};
  Instant now;
  std::shared_ptr<config::HealthCheck> settings = std::make_shared<config::HealthCheck>();
  config::Cluster cluster;

 private:
  std::optional<HealthChecker> checker_;
};

// --- thresholds

TEST_F(Checking, NewEndpointsAreFailedUntilTheFirstCheckWhichDecidesAtOnce) {
  EXPECT_TRUE(failed());
  EXPECT_EQ(health(), config::EndpointHealth::kUnhealthy);
  const CheckOutcome outcome = succeed();
  EXPECT_FALSE(failed());
  EXPECT_TRUE(outcome.first);
  EXPECT_TRUE(outcome.has(CheckEvent::kAdd));
  EXPECT_FALSE(outcome.has(CheckEvent::kSuccess));
  EXPECT_EQ(stats().success.value(), 1u);
}

TEST_F(Checking, AFirstCheckThatFailsMakesSuccessesCount) {
  const CheckOutcome first = fail(CheckFailure::kNetwork);
  EXPECT_TRUE(first.first);
  EXPECT_FALSE(first.has(CheckEvent::kEject)) << "it was not in service";
  EXPECT_TRUE(first.has(CheckEvent::kFailure));
  EXPECT_TRUE(succeed().edge);
  EXPECT_TRUE(failed());
  const CheckOutcome second = succeed();
  EXPECT_FALSE(failed());
  EXPECT_TRUE(second.has(CheckEvent::kAdd));
  EXPECT_FALSE(second.first);
}

TEST_F(Checking, TheRecordSaysSinceWhenAnEndpointIsHealthy) {
  const auto healthy_since = [&] { return Instant::from_nanoseconds(cell().health.get().healthy_since.load()); };
  now = Instant() + seconds(100);
  (void)fail(CheckFailure::kNetwork);
  (void)succeed();
  EXPECT_EQ(healthy_since(), Instant()) << "it takes two";
  now = Instant() + seconds(101);
  (void)succeed();
  now = Instant() + seconds(102);
  (void)succeed();
  EXPECT_EQ(healthy_since(), Instant() + seconds(101)) << "a further success changes nothing";
}

TEST_F(Checking, AFailureBetweenSuccessesBeginsAnew) {
  (void)fail(CheckFailure::kNetwork);
  (void)succeed();
  (void)fail(CheckFailure::kNetwork);
  (void)succeed();
  EXPECT_TRUE(failed());
}

TEST_F(Checking, NetworkFailuresCountTowardsTheThreshold) {
  (void)succeed();
  EXPECT_TRUE(fail(CheckFailure::kNetwork).edge);
  EXPECT_TRUE(fail(CheckFailure::kNetworkTimeout).edge);
  EXPECT_FALSE(failed());
  const CheckOutcome third = fail(CheckFailure::kNetwork);
  EXPECT_TRUE(failed());
  EXPECT_TRUE(third.has(CheckEvent::kEject));
  EXPECT_FALSE(third.has(CheckEvent::kFailure)) << "not the first, and always_log is off";
  EXPECT_EQ(stats().failure.value(), 3u);
  EXPECT_EQ(stats().network_failure.value(), 3u);
}

TEST_F(Checking, ASuccessBetweenFailuresBeginsAnew) {
  (void)succeed();
  for (int i = 0; i < 4; ++i) {
    (void)fail(CheckFailure::kNetwork);
    (void)fail(CheckFailure::kNetwork);
    (void)succeed();
  }
  EXPECT_FALSE(failed());
}

TEST_F(Checking, AnAnswerThatIsNoSuccessFailsAtOnceUnlessItIsRetriable) {
  (void)succeed();
  (void)fail(CheckFailure::kActive, true);
  (void)fail(CheckFailure::kActive, true);
  EXPECT_FALSE(failed());
  (void)fail(CheckFailure::kActive, true);
  EXPECT_TRUE(failed());
  (void)succeed();
  (void)succeed();
  ASSERT_FALSE(failed());
  (void)fail(CheckFailure::kActive);
  EXPECT_TRUE(failed());
  EXPECT_EQ(stats().network_failure.value(), 0u);
}

TEST_F(Checking, APassiveFailureFailsAtOnceAndExcludesUntilChecksSucceed) {
  (void)succeed();
  checker().exclude(cell());
  const CheckOutcome outcome = fail(CheckFailure::kPassive);
  EXPECT_TRUE(outcome.has(CheckEvent::kEject));
  EXPECT_EQ(health(), config::EndpointHealth::kExcluded);
  EXPECT_EQ(stats().passive_failure.value(), 1u);
  (void)succeed();
  EXPECT_EQ(health(), config::EndpointHealth::kExcluded);
  (void)succeed();
  EXPECT_EQ(health(), config::EndpointHealth::kHealthy);
}

TEST_F(Checking, ATimeoutIsShownWhileItIsWhatAnEndpointFailsBy) {
  const auto timed_out = [this] { return cell().has(EndpointFault::kHealthCheckTimedOut); };
  (void)succeed();
  (void)fail(CheckFailure::kNetworkTimeout);
  EXPECT_FALSE(timed_out()) << "it does not fail yet";
  (void)fail(CheckFailure::kNetwork);
  (void)fail(CheckFailure::kNetworkTimeout);
  EXPECT_TRUE(timed_out());
  (void)fail(CheckFailure::kNetwork);
  EXPECT_FALSE(timed_out());
  (void)fail(CheckFailure::kNetworkTimeout);
  (void)succeed();
  EXPECT_TRUE(timed_out());
  (void)succeed();
  EXPECT_FALSE(timed_out());
}

TEST_F(Checking, DegradedEndpointsSayWhenTheyNoLongerAre) {
  EXPECT_TRUE(succeed(true).has(CheckEvent::kDegraded));
  EXPECT_EQ(health(), config::EndpointHealth::kDegraded);
  EXPECT_FALSE(succeed(true).has(CheckEvent::kDegraded));
  EXPECT_TRUE(succeed().has(CheckEvent::kNoLongerDegraded));
  EXPECT_EQ(health(), config::EndpointHealth::kHealthy);
}

TEST_F(Checking, LogsEverythingWhereItIsAskedFor) {
  settings->log_all_failures = settings->log_all_successes = true;
  EXPECT_FALSE(succeed().has(CheckEvent::kSuccess)) << "the addition tells of it";
  EXPECT_TRUE(succeed().has(CheckEvent::kSuccess));
  EXPECT_TRUE(fail(CheckFailure::kNetwork).has(CheckEvent::kFailure));
  const CheckOutcome ejection = fail(CheckFailure::kActive);
  EXPECT_TRUE(ejection.has(CheckEvent::kEject));
  EXPECT_TRUE(ejection.has(CheckEvent::kFailure));
}

// --- intervals

TEST_F(Checking, WaitsByResultAndEdgeWhereThereIsTraffic) {
  begin_traffic();
  EXPECT_EQ(wait(succeed(), true), seconds(1)) << "healthy by the first check";
  EXPECT_EQ(wait(fail(CheckFailure::kNetwork), false), seconds(3)) << "not enough yet";
  EXPECT_EQ(wait(fail(CheckFailure::kActive), false), seconds(2)) << "failed";
  EXPECT_EQ(wait(fail(CheckFailure::kNetwork), false), seconds(2)) << "still failed";
  EXPECT_EQ(wait(succeed(), true), seconds(4)) << "not enough yet";
  EXPECT_EQ(wait(succeed(), true), seconds(1)) << "healthy again";
}

TEST_F(Checking, WaitsLongerWhileThereHasNeverBeenTraffic) {
  EXPECT_EQ(wait(succeed(), true), seconds(6));
  EXPECT_EQ(wait(fail(CheckFailure::kActive), false), seconds(5));
  EXPECT_EQ(wait(succeed(), true), seconds(5)) << "not healthy yet";
  EXPECT_EQ(wait(succeed(), true), seconds(6));
}

TEST_F(Checking, JitterIsAddedWithinItsBounds) {
  begin_traffic();
  settings->interval_jitter = Duration::milliseconds(100);
  settings->interval_jitter_percent = 50;
  Duration least = Duration::infinite();
  Duration most;
  for (int i = 0; i < 1'000; ++i) {
    const Duration waited = wait(succeed(), true);
    least = std::min(least, waited);
    most = std::max(most, waited);
  }
  EXPECT_GE(least, kFirst);
  EXPECT_LT(least, kFirst + Duration::milliseconds(60));
  EXPECT_GT(most, kFirst + Duration::milliseconds(540));
  EXPECT_LT(most, kFirst + Duration::milliseconds(600));
}

TEST_F(Checking, TheFirstCheckWaitsForItsJitterOnly) {
  EXPECT_EQ(checker().first_wait(), Duration());
  settings->initial_jitter = seconds(2);
  bool late = false;
  for (int i = 0; i < 100; ++i) {
    const Duration waited = checker().first_wait();
    EXPECT_LT(waited, seconds(2));
    late |= waited > seconds(1);
  }
  EXPECT_TRUE(late);
}

TEST_F(Checking, NeverWaitsForNothing) {
  begin_traffic();
  settings->interval = Duration::nanoseconds(1);
  EXPECT_EQ(wait(succeed(), true), Duration::milliseconds(1));
}

// --- configurations

TEST_F(Checking, NewEndpointsMayBeLeftOutOfTheCount) {
  forget_all();
  settings->exclude_new_endpoints = true;
  HealthChecker::begin(cluster);
  EXPECT_EQ(health(), config::EndpointHealth::kExcluded);
  (void)fail(CheckFailure::kNetwork);
  EXPECT_EQ(health(), config::EndpointHealth::kUnhealthy);
}

TEST_F(Checking, WhatIsKnownOutlivesConfigurations) {
  (void)succeed();
  config::Cluster next = cluster;
  HealthChecker::forget(cluster, &next);
  HealthChecker::begin(next);
  EXPECT_FALSE(failed());
}

TEST_F(Checking, EndpointsThatServeAlreadyStayInServiceUntilACheckFails) {
  forget_all();
  const config::Cluster serving = cluster;
  HealthChecker::begin(cluster, &serving);
  EXPECT_FALSE(failed());
  (void)fail(CheckFailure::kActive);
  EXPECT_TRUE(failed());
}

TEST_F(Checking, EndpointsThatAreCheckedNoMoreAreForgotten) {
  (void)fail(CheckFailure::kNetworkTimeout);
  config::Cluster next = cluster;
  next.endpoints[0].own_extras().health_target = nullptr;
  HealthChecker::forget(cluster, &next);
  EXPECT_EQ(cell().faults.load(), 0u);
  HealthChecker::begin(cluster);
  EXPECT_TRUE(failed());
  EXPECT_TRUE(succeed().first);
}

TEST_F(Checking, EveryChangeIsToldToLoadBalancing) {
  const std::uint32_t before = cluster.cell->health_version.load();
  (void)succeed();
  EXPECT_NE(cluster.cell->health_version.load(), before);
  const std::uint32_t steady = cluster.cell->health_version.load();
  (void)succeed();
  EXPECT_EQ(cluster.cell->health_version.load(), steady);
}

}  // namespace
}  // namespace millrace::proxy
