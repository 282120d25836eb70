// The algorithms as Envoy's documentation tells them (intro/arch_overview/upstream/outlier), over the cells of a cluster.
#include "dataplane/proxy/outlier/detector.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace millrace::proxy {
namespace {

using config::OutlierDetection;
using report::EndpointCell;
using report::EndpointFault;

constexpr auto kSecond = Duration::seconds(1);

/// A cluster whose endpoints may all be ejected, as two workers see it.
class Detection : public testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 2;

  void start(const OutlierDetection& settings, std::size_t endpoints = 10) {
    cluster.outlier_detection = settings;
    cluster.cell = std::make_shared<report::ClusterCell>(0, "app", kWorkers);
    for (std::size_t i = 0; i < endpoints; ++i) {
      config::Endpoint endpoint;
      endpoint.cell = std::make_shared<EndpointCell>(static_cast<std::uint32_t>(i), "app|" + std::to_string(i), kWorkers);
      cluster.endpoints.push_back(std::move(endpoint));
    }
    first = std::make_unique<OutlierDetector>(cluster, 0, rng);
    second = std::make_unique<OutlierDetector>(cluster, 1, rng);
  }
  static OutlierDetection all_may_go() {
    OutlierDetection settings;
    settings.max_ejection_percent = 100;
    return settings;
  }

  EndpointCell& cell(std::size_t index = 0) { return *cluster.endpoints[index].cell; }
  bool ejected(std::size_t index = 0) { return cell(index).has(EndpointFault::kEjected); }
  std::size_t count_ejected() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) count += ejected(i) ? 1 : 0;
    EXPECT_EQ(count, cluster.cell->outlier.ejected.load());
    return count;
  }
  void answer(std::uint16_t status, int times = 1, std::size_t index = 0) {
    for (int i = 0; i < times; ++i) first->on_status(cell(index), status, now);
  }
  void fail(LocalFailure failure, int times = 1, std::size_t index = 0) {
    for (int i = 0; i < times; ++i) first->on_failure(cell(index), failure, now);
  }
  void sweep_after(Duration time) {
    now = now + time;
    ASSERT_TRUE(first->sweep(now));
  }
  /// What an interval brings to endpoint `index`: `good` of a hundred requests are answered well.
  void serve(std::size_t index, int good, int requests = 100) {
    // In an order without runs of five failures.
    int done = 0;
    for (int i = 0; i < requests; ++i) {
      const bool succeeds = done * requests < good * (i + 1);
      done += succeeds ? 1 : 0;
      (i % 2 == 0 ? first : second)->on_status(cell(index), succeeds ? 200 : 500, now);
    }
  }
  report::OutlierStats& stats(std::size_t worker = 0) { return cluster.cell->per_worker[worker].outlier; }

  Instant now = Instant::from_nanoseconds(1'000'000'000);
  Rng rng{7};
  config::Cluster cluster;
  std::unique_ptr<OutlierDetector> first;
  std::unique_ptr<OutlierDetector> second;
};

// --- active health checks

TEST_F(Detection, AGoodHealthCheckLetsReturnWhereItMay) {
  for (const bool may : {true, false}) {
    cluster.endpoints.clear();
    OutlierDetection settings = all_may_go();
    settings.return_on_health_check = may;
    start(settings);
    answer(500, 5);
    ASSERT_TRUE(ejected());
    second->on_healthy(cell(), now);
    EXPECT_EQ(ejected(), !may);
    EXPECT_EQ(count_ejected(), may ? 0u : 1u);
    answer(500, 4);
    EXPECT_EQ(ejected(), !may) << "a new run begins";
  }
}

TEST_F(Detection, AGoodHealthCheckThatFindsTheLockTakenIsHeardOfAllTheSame) {
  start(all_may_go());
  answer(500, 5);
  cluster.cell->outlier.lock.store(true);
  second->on_healthy(cell(), now);
  EXPECT_TRUE(ejected());
  cluster.cell->outlier.lock.store(false);
  sweep_after(kSecond);
  EXPECT_FALSE(ejected());
}

// --- runs of failures

using OutlierDetector_Consecutive5xx = Detection;

TEST_F(OutlierDetector_Consecutive5xx, FiveInARowEject) {
  start({});
  answer(500, 4);
  EXPECT_FALSE(ejected());
  answer(599);
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats().ejections_detected_consecutive_5xx.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_consecutive_5xx.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_total.value(), 1u);
  EXPECT_EQ(stats().ejections_total.value(), 1u);
  EXPECT_EQ(stats().ejections_consecutive_5xx.value(), 1u);
  EXPECT_EQ(count_ejected(), 1u);
}

TEST_F(OutlierDetector_Consecutive5xx, AnythingElseInBetweenEndsTheRun) {
  start({});
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{200, 101, 302, 404, 429}) {
    answer(500, 4);
    answer(status);
  }
  answer(500, 4);
  EXPECT_FALSE(ejected());
}

TEST_F(OutlierDetector_Consecutive5xx, FailuresThatWorkersSeeAddUp) {
  start({});
  for (int i = 0; i < 2; ++i) {
    first->on_status(cell(), 500, now);
    second->on_status(cell(), 500, now);
  }
  EXPECT_FALSE(ejected());
  second->on_status(cell(), 500, now);
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats(1).ejections_enforced_consecutive_5xx.value(), 1u);
}

TEST_F(OutlierDetector_Consecutive5xx, EndpointsHaveRunsOfTheirOwn) {
  start({});
  answer(500, 4, 0);
  answer(500, 4, 1);
  EXPECT_EQ(count_ejected(), 0u);
}

TEST_F(OutlierDetector_Consecutive5xx, ACountOfZeroNeverEjects) {
  OutlierDetection settings = all_may_go();
  settings.consecutive_5xx.count = 0;
  start(settings);
  answer(500, 100);
  EXPECT_FALSE(ejected());
}

TEST_F(OutlierDetector_Consecutive5xx, FailuresOfOursCountAs5xxUnlessTheyAreSplit) {
  start({});
  fail(LocalFailure::kConnection, 2);
  fail(LocalFailure::kTimeout, 2);
  answer(500);
  EXPECT_TRUE(ejected());
}

TEST_F(OutlierDetector_Consecutive5xx, AConnectionIsNoSuccessYet) {
  start({});
  for (int i = 0; i < 5; ++i) {
    first->on_connected(cell(), now);
    answer(503);
  }
  EXPECT_TRUE(ejected());
}

TEST_F(OutlierDetector_Consecutive5xx, AConnectionThatIsPassedThroughIsASuccess) {
  start({});
  fail(LocalFailure::kConnection, 4);
  first->on_passed_through(cell(), now);
  fail(LocalFailure::kConnection, 4);
  EXPECT_FALSE(ejected());
  fail(LocalFailure::kTimeout);
  EXPECT_TRUE(ejected());
}

TEST_F(OutlierDetector_Consecutive5xx, ChanceMaySpareAnEndpoint) {
  OutlierDetection settings = all_may_go();
  settings.consecutive_5xx.enforcing_percent = 0;
  start(settings);
  answer(500, 15);
  EXPECT_FALSE(ejected());
  EXPECT_EQ(stats().ejections_detected_consecutive_5xx.value(), 3u) << "each run of five";
  EXPECT_EQ(stats().ejections_enforced_consecutive_5xx.value(), 0u);
  EXPECT_EQ(stats().ejections_total.value(), 3u) << "which counts those that are not enforced, too";
}

TEST_F(OutlierDetector_Consecutive5xx, APercentageOfDetectionsIsEnforced) {
  OutlierDetection settings = all_may_go();
  settings.consecutive_5xx.enforcing_percent = 30;
  start(settings, 1'000);
  for (std::size_t i = 0; i < 1'000; ++i) answer(500, 5, i);
  EXPECT_NEAR(static_cast<double>(count_ejected()), 300, 50);
}

using OutlierDetector_ConsecutiveGatewayFailure = Detection;

TEST_F(OutlierDetector_ConsecutiveGatewayFailure, AreDetectedButNotEnforcedByDefault) {
  OutlierDetection settings;
  settings.consecutive_5xx.count = 0;
  start(settings);
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{502, 503, 504, 502, 503}) answer(status);
  EXPECT_FALSE(ejected());
  EXPECT_EQ(stats().ejections_detected_consecutive_gateway_failure.value(), 1u);
}

TEST_F(OutlierDetector_ConsecutiveGatewayFailure, EjectWhereEnforced) {
  OutlierDetection settings;
  settings.consecutive_gateway_failure = {.count = 3, .enforcing_percent = 100};
  start(settings);
  answer(502);
  answer(503);
  answer(500);  // is 5xx, but no gateway's
  answer(503);
  EXPECT_FALSE(ejected());
  answer(504);
  EXPECT_TRUE(ejected()) << "five of 5xx";
  EXPECT_EQ(stats().ejections_enforced_consecutive_5xx.value(), 1u);
  answer(502, 3, 1);
  EXPECT_FALSE(ejected(1)) << "one of ten is as many as may be";
  EXPECT_EQ(stats().ejections_overflow.value(), 1u);
}

TEST_F(OutlierDetector_ConsecutiveGatewayFailure, CountConnectionsAndTimeoutsUnlessTheyAreSplit) {
  OutlierDetection settings;
  settings.consecutive_gateway_failure = {.count = 2, .enforcing_percent = 100};
  start(settings);
  fail(LocalFailure::kConnection);
  fail(LocalFailure::kTimeout);
  EXPECT_EQ(stats().ejections_enforced_consecutive_gateway_failure.value(), 1u);
  EXPECT_EQ(stats().ejections_total.value(), 0u) << "the old counter knows nothing of them";
}

using OutlierDetector_ConsecutiveLocalOriginFailure = Detection;

OutlierDetection split() {
  OutlierDetection settings;
  settings.max_ejection_percent = 100;
  settings.split_external_local_origin_errors = true;
  return settings;
}

TEST_F(OutlierDetector_ConsecutiveLocalOriginFailure, EjectWhereTheyAreSplit) {
  start(split());
  fail(LocalFailure::kConnection, 3);
  fail(LocalFailure::kTimeout);
  answer(500);  // of no interest to this
  EXPECT_FALSE(ejected());
  fail(LocalFailure::kConnection);
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats().ejections_detected_consecutive_local_origin_failure.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_consecutive_local_origin_failure.value(), 1u);
}

TEST_F(OutlierDetector_ConsecutiveLocalOriginFailure, AConnectionEndsTheRun) {
  start(split());
  fail(LocalFailure::kConnection, 4);
  first->on_connected(cell(), now);
  fail(LocalFailure::kConnection, 4);
  first->on_passed_through(cell(), now);
  fail(LocalFailure::kConnection, 4);
  EXPECT_FALSE(ejected());
}

TEST_F(OutlierDetector_ConsecutiveLocalOriginFailure, AndAnswersHaveRunsOfTheirOwn) {
  start(split());
  answer(500, 4);
  fail(LocalFailure::kConnection, 4);
  EXPECT_FALSE(ejected());
  answer(500);
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats().ejections_enforced_consecutive_5xx.value(), 1u);
}

// --- how many

using OutlierDetector_HowMany = Detection;

TEST_F(OutlierDetector_HowMany, ATenthOfTheEndpointsByDefault) {
  start({}, 20);
  for (std::size_t i = 0; i < 5; ++i) answer(500, 5, i);
  EXPECT_EQ(count_ejected(), 2u);
  EXPECT_EQ(stats().ejections_overflow.value(), 3u);
  EXPECT_EQ(stats().ejections_detected_consecutive_5xx.value(), 5u);
}

TEST_F(OutlierDetector_HowMany, NoneWhereOneIsMoreThanThat) {
  start({}, 9);
  answer(500, 5);
  EXPECT_FALSE(ejected());
  EXPECT_EQ(stats().ejections_overflow.value(), 1u);
}

TEST_F(OutlierDetector_HowMany, OneInAnyCaseWhereConfigured) {
  OutlierDetection settings;
  settings.max_ejection_percent = 0;
  settings.always_eject_one_host = true;
  start(settings, 3);
  answer(500, 5, 0);
  answer(500, 5, 1);
  EXPECT_TRUE(ejected(0));
  EXPECT_FALSE(ejected(1));
}

TEST_F(OutlierDetector_HowMany, AllWhereConfigured) {
  start(all_may_go(), 3);
  for (std::size_t i = 0; i < 3; ++i) answer(500, 5, i);
  EXPECT_EQ(count_ejected(), 3u);
}

// --- for how long

using OutlierDetector_HowLong = Detection;

TEST_F(OutlierDetector_HowLong, TheBaseTimeForTheFirstEjection) {
  start({});
  answer(500, 5);
  sweep_after(kSecond * 10);
  sweep_after(kSecond * 10);
  sweep_after(Duration::milliseconds(9'999));
  EXPECT_TRUE(ejected());
  sweep_after(Duration::milliseconds(1));
  EXPECT_FALSE(ejected());
  EXPECT_EQ(count_ejected(), 0u);
}

TEST_F(OutlierDetector_HowLong, LongerEachTimeUpToTheMaximum) {
  OutlierDetection settings;
  settings.base_ejection_time = kSecond * 30;
  settings.max_ejection_time = kSecond * 100;
  start(settings);
  for (const int seconds : {30, 60, 90, 100, 100}) {
    answer(500, 5);
    ASSERT_TRUE(ejected());
    sweep_after(kSecond * seconds - Duration::milliseconds(1));
    EXPECT_TRUE(ejected()) << seconds;
    sweep_after(Duration::milliseconds(1));
    EXPECT_FALSE(ejected()) << seconds;
  }
}

TEST_F(OutlierDetector_HowLong, ShorterAgainForEachIntervalWithoutTrouble) {
  start({});
  for (int i = 0; i < 3; ++i) {
    answer(500, 5);
    sweep_after(kSecond * 90);
  }
  ASSERT_FALSE(ejected());
  sweep_after(kSecond * 10);
  sweep_after(kSecond * 10);
  answer(500, 5);  // as if it were the second time
  sweep_after(kSecond * 59);
  EXPECT_TRUE(ejected());
  sweep_after(kSecond);
  EXPECT_FALSE(ejected());
}

TEST_F(OutlierDetector_HowLong, UpToTheJitterLonger) {
  OutlierDetection settings = all_may_go();
  settings.max_ejection_time_jitter = kSecond * 10;
  start(settings, 200);
  for (std::size_t i = 0; i < 200; ++i) answer(500, 5, i);
  sweep_after(kSecond * 30 - Duration::milliseconds(1));
  EXPECT_EQ(count_ejected(), 200u);
  sweep_after(kSecond * 5);
  EXPECT_NEAR(static_cast<double>(count_ejected()), 100, 30);
  sweep_after(kSecond * 5 + Duration::milliseconds(1));
  EXPECT_EQ(count_ejected(), 0u);
}

TEST_F(OutlierDetector_HowLong, WhatFailsMeanwhileIsForgottenAtTheReturn) {
  OutlierDetection settings;
  settings.consecutive_gateway_failure = {.count = 10, .enforcing_percent = 100};
  start(settings);
  answer(503, 9);  // four of them while it is out
  sweep_after(kSecond * 30);
  ASSERT_FALSE(ejected());
  answer(503, 4);
  EXPECT_FALSE(ejected());
  answer(503);
  EXPECT_TRUE(ejected());
}

TEST_F(OutlierDetector_HowLong, AllWorkersHearOfEjectionAndReturn) {
  start({});
  const std::uint32_t before = cluster.cell->health_version.load();
  answer(500, 5);
  EXPECT_EQ(cluster.cell->health_version.load(), before + 1);
  sweep_after(kSecond * 30);
  EXPECT_EQ(cluster.cell->health_version.load(), before + 2);
}

// --- success rates

using OutlierDetector_SuccessRate = Detection;

// Envoy's own example: rates of 50, 100, 100, 100, 100 have a mean of 90 and a deviation of 20, so that 52 is the threshold.
TEST_F(OutlierDetector_SuccessRate, BelowTheMeanLessTheDeviationTimesAFactorIsAnOutlier) {
  start(all_may_go(), 5);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
  EXPECT_EQ(count_ejected(), 1u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.external.average.load(), 90);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.external.ejection.load(), 52);
  EXPECT_DOUBLE_EQ(cell(0).outlier.external.percent.load(), 50);
  EXPECT_DOUBLE_EQ(cell(1).outlier.external.percent.load(), 100);
  EXPECT_EQ(stats().ejections_detected_success_rate.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_success_rate.value(), 1u);
  EXPECT_EQ(stats().ejections_success_rate.value(), 1u);
  EXPECT_EQ(stats().ejections_total.value(), 1u);
}

TEST_F(OutlierDetector_SuccessRate, AWiderFactorSparesIt) {
  OutlierDetection settings = all_may_go();
  settings.success_rate.stdev_factor = 2'100;
  start(settings, 5);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 0u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.external.ejection.load(), 48);
}

TEST_F(OutlierDetector_SuccessRate, NeedsEnoughEndpointsWithEnoughRequests) {
  start(all_may_go(), 6);
  serve(0, 50);
  for (std::size_t i = 1; i < 4; ++i) serve(i, 100);
  serve(4, 99, 99);  // one request too few
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 0u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.external.average.load(), -1);
  EXPECT_DOUBLE_EQ(cell(4).outlier.external.percent.load(), 100) << "it has enough for the failure percentage";
  EXPECT_DOUBLE_EQ(cell(5).outlier.external.percent.load(), -1);
}

TEST_F(OutlierDetector_SuccessRate, LooksAtTheLastIntervalOnly) {
  start(all_may_go(), 5);
  for (std::size_t i = 0; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  sweep_after(kSecond * 10);
  EXPECT_DOUBLE_EQ(cell(0).outlier.external.percent.load(), -1);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
}

TEST_F(OutlierDetector_SuccessRate, OfEjectedEndpointsIsNotCompared) {
  start(all_may_go(), 6);
  answer(500, 5, 5);
  serve(5, 0);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.external.average.load(), 90);
  EXPECT_DOUBLE_EQ(cell(5).outlier.external.percent.load(), -1);
}

TEST_F(OutlierDetector_SuccessRate, OfLocalOriginIsComparedByItselfWhereSplit) {
  start(split(), 5);
  for (std::size_t i = 0; i < 5; ++i) {
    for (int k = 0; k < 100; ++k) {
      if (i == 0 && k % 2 == 0)
        first->on_failure(cell(i), LocalFailure::kTimeout, now);
      else
        second->on_connected(cell(i), now);
    }
    serve(i, 100);
  }
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
  EXPECT_EQ(stats().ejections_detected_local_origin_success_rate.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_local_origin_success_rate.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_success_rate.value(), 0u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.local.average.load(), 90);
  EXPECT_DOUBLE_EQ(cell(0).outlier.local.percent.load(), 50);
}

TEST_F(OutlierDetector_SuccessRate, IsEnforcedAsOftenAsConfigured) {
  OutlierDetection settings = all_may_go();
  settings.success_rate.enforcing_percent = 0;
  start(settings, 5);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_FALSE(ejected(0));
  EXPECT_EQ(stats().ejections_detected_success_rate.value(), 1u);
}

// --- failure percentages

using OutlierDetector_FailurePercentage = Detection;

OutlierDetection by_percentage() {
  OutlierDetection settings;
  settings.max_ejection_percent = 100;
  settings.success_rate.enforcing_percent = 0;
  settings.success_rate.enforcing_local_origin_percent = 0;
  settings.consecutive_5xx.count = settings.consecutive_local_origin_failure.count = 0;
  settings.failure_percentage.enforcing_percent = 100;
  return settings;
}

TEST_F(OutlierDetector_FailurePercentage, AtTheThresholdIsAnOutlierWhateverTheOthersDo) {
  start(by_percentage(), 5);
  serve(0, 15);
  serve(1, 16);
  for (std::size_t i = 2; i < 5; ++i) serve(i, 20);
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
  EXPECT_EQ(count_ejected(), 1u);
  EXPECT_EQ(stats().ejections_detected_failure_percentage.value(), 1u);
  EXPECT_EQ(stats().ejections_enforced_failure_percentage.value(), 1u);
  EXPECT_EQ(stats().ejections_total.value(), 0u);
}

TEST_F(OutlierDetector_FailurePercentage, IsDetectedButNotEnforcedByDefault) {
  OutlierDetection settings = by_percentage();
  settings.failure_percentage.enforcing_percent = OutlierDetection().failure_percentage.enforcing_percent;
  start(settings, 5);
  for (std::size_t i = 0; i < 5; ++i) serve(i, 0);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 0u);
  EXPECT_EQ(stats().ejections_detected_failure_percentage.value(), 5u);
}

TEST_F(OutlierDetector_FailurePercentage, NeedsEnoughEndpointsWithEnoughRequests) {
  start(by_percentage(), 5);
  for (std::size_t i = 0; i < 4; ++i) serve(i, 0, 50);
  serve(4, 0, 49);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 0u);
  for (std::size_t i = 0; i < 5; ++i) serve(i, 0, 50);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 5u);
}

TEST_F(OutlierDetector_FailurePercentage, OfLocalOriginHasAnEnforcementOfItsOwn) {
  OutlierDetection settings = by_percentage();
  settings.split_external_local_origin_errors = true;
  settings.failure_percentage.enforcing_local_origin_percent = 100;
  start(settings, 5);
  for (std::size_t i = 0; i < 5; ++i) fail(LocalFailure::kConnection, 50, i);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 5u);
  EXPECT_EQ(stats().ejections_enforced_local_origin_failure_percentage.value(), 5u);
  EXPECT_EQ(stats().ejections_detected_local_origin_failure_percentage.value(), 5u);
}

TEST_F(OutlierDetector_FailurePercentage, OneThatItsSuccessRateHasEjectedIsNotEjectedTwice) {
  OutlierDetection settings = by_percentage();
  settings.success_rate.enforcing_percent = 100;
  start(settings, 5);
  serve(0, 0);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 1u);
  EXPECT_EQ(stats().ejections_enforced_total.value(), 1u);
}

// --- configurations come and go

using OutlierDetector_Forgets = Detection;

TEST_F(OutlierDetector_Forgets, EndpointsThatAreGone) {
  start(all_may_go());
  answer(500, 5, 0);
  answer(500, 5, 1);
  config::Cluster next = cluster;
  next.endpoints.erase(next.endpoints.begin());
  OutlierDetector::forget(cluster, &next);
  EXPECT_FALSE(ejected(0));
  EXPECT_TRUE(ejected(1));
  EXPECT_EQ(count_ejected(), 1u);
}

TEST_F(OutlierDetector_Forgets, AllOfThemWithoutOutlierDetection) {
  start(all_may_go());
  answer(500, 5);
  config::Cluster next = cluster;
  next.outlier_detection.reset();
  OutlierDetector::forget(cluster, &next);
  EXPECT_EQ(count_ejected(), 0u);
}

TEST_F(OutlierDetector_Forgets, AllOfThemWithTheCluster) {
  start(all_may_go());
  answer(500, 5);
  answer(500, 4, 1);
  OutlierDetector::forget(cluster, nullptr);
  EXPECT_EQ(count_ejected(), 0u);
  answer(500, 1, 1);
  EXPECT_FALSE(ejected(1)) << "its run begins anew";
}

// --- several workers

using OutlierDetector_Lock = Detection;

TEST_F(OutlierDetector_Lock, WhoeverHoldsItJudgesForTheOthers) {
  start(all_may_go());
  cluster.cell->outlier.lock = true;  // another worker decides something
  answer(500, 5);
  EXPECT_FALSE(ejected());
  EXPECT_FALSE(first->sweep(now));
  cluster.cell->outlier.lock = false;  // and was not ours: it would have looked
  ASSERT_TRUE(second->sweep(now));
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats(1).ejections_enforced_consecutive_5xx.value(), 1u);
  EXPECT_FALSE(cluster.cell->outlier.lock.load());
}

// Under ThreadSanitizer, too.
TEST_F(OutlierDetector_Lock, NoSuspicionIsLostBetweenThreads) {
  OutlierDetection settings = all_may_go();
  settings.consecutive_5xx.count = 1;
  settings.base_ejection_time = Duration::milliseconds(1);
  start(settings, 8);
  std::atomic<int> running{2};
  std::vector<std::thread> threads;
  for (const auto& detector : {first.get(), second.get()}) {
    threads.emplace_back([&, detector, random = Rng(detector == first.get() ? 1 : 2)]() mutable {
      for (int i = 0; i < 20'000; ++i) {
        const Instant then = now + Duration::microseconds(i);
        detector->on_status(cell(random.below(8)), random.below(2) == 0 ? 500 : 200, then);
        if (i % 64 == 0 && detector == first.get()) (void)detector->sweep(then);
      }
      --running;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(running.load(), 0);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(cell(i).outlier.suspicions.load(), 0u);
  EXPECT_FALSE(cluster.cell->outlier.lock.load());
  EXPECT_GT(stats(0).ejections_enforced_total.value() + stats(1).ejections_enforced_total.value(), 8u);
  sweep_after(kSecond * 600);
  EXPECT_EQ(count_ejected(), 0u);
}

}  // namespace
}  // namespace millrace::proxy
