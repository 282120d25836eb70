// Ejections themselves: how many, for how long, and who hears of them.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/dataplane/proxy/outlier/detector_fixture.h"

namespace millrace::proxy::test {
namespace {

// --- active health checks

using OutlierDetector_HealthChecks = Detection;

TEST_F(OutlierDetector_HealthChecks, AGoodHealthCheckLetsReturnWhereItMay) {
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

TEST_F(OutlierDetector_HealthChecks, AGoodHealthCheckThatFindsTheLockTakenIsHeardOfAllTheSame) {
  start(all_may_go());
  answer(500, 5);
  cluster.cell->outlier.get().lock.store(true);
  second->on_healthy(cell(), now);
  EXPECT_TRUE(ejected());
  cluster.cell->outlier.get().lock.store(false);
  sweep_after(kSecond);
  EXPECT_FALSE(ejected());
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
  cluster.cell->outlier.get().lock = true;  // another worker decides something
  answer(500, 5);
  EXPECT_FALSE(ejected());
  EXPECT_FALSE(first->sweep(now));
  cluster.cell->outlier.get().lock = false;  // and was not ours: it would have looked
  ASSERT_TRUE(second->sweep(now));
  EXPECT_TRUE(ejected());
  EXPECT_EQ(stats(1).ejections_enforced_consecutive_5xx.value(), 1u);
  EXPECT_FALSE(cluster.cell->outlier.get().lock.load());
}

// Under ThreadSanitizer, too.
TEST_F(OutlierDetector_Lock, NoSuspicionIsLostBetweenThreads) {
  OutlierDetection settings = all_may_go();
  settings.consecutive_5xx.count = 1;
  settings.base_ejection_time = Duration::milliseconds(1);
  settings.success_rate.enforcing_percent = 0;  // an endpoint may be worse than the others by chance
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
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(cell(i).outlier.get().suspicions.load(), 0u);
  EXPECT_FALSE(cluster.cell->outlier.get().lock.load());
  EXPECT_GT(stats(0).ejections_enforced_total.value() + stats(1).ejections_enforced_total.value(), 8u);
  sweep_after(kSecond * 600);
  EXPECT_EQ(count_ejected(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
