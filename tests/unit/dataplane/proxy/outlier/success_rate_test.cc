// Endpoints that fail more often than others, or than they may: judged at each interval.
#include "tests/unit/dataplane/proxy/outlier/detector_fixture.h"

namespace millrace::proxy::test {
namespace {

using OutlierDetector_SuccessRate = Detection;

// Envoy's own example: rates of 50, 100, 100, 100, 100 have a mean of 90 and a deviation of 20, so that 52 is the threshold.
TEST_F(OutlierDetector_SuccessRate, BelowTheMeanLessTheDeviationTimesAFactorIsAnOutlier) {
  start(all_may_go(), 5);
  serve(0, 50);
  for (std::size_t i = 1; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  EXPECT_TRUE(ejected(0));
  EXPECT_EQ(count_ejected(), 1u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().external.average.load(), 90);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().external.ejection.load(), 52);
  EXPECT_DOUBLE_EQ(cell(0).outlier.get().external.percent.load(), 50);
  EXPECT_DOUBLE_EQ(cell(1).outlier.get().external.percent.load(), 100);
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
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().external.ejection.load(), 48);
}

TEST_F(OutlierDetector_SuccessRate, NeedsEnoughEndpointsWithEnoughRequests) {
  start(all_may_go(), 6);
  serve(0, 50);
  for (std::size_t i = 1; i < 4; ++i) serve(i, 100);
  serve(4, 99, 99);  // one request too few
  sweep_after(kSecond * 10);
  EXPECT_EQ(count_ejected(), 0u);
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().external.average.load(), -1);
  EXPECT_DOUBLE_EQ(cell(4).outlier.get().external.percent.load(), 100) << "it has enough for the failure percentage";
  EXPECT_DOUBLE_EQ(cell(5).outlier.get().external.percent.load(), -1);
}

TEST_F(OutlierDetector_SuccessRate, LooksAtTheLastIntervalOnly) {
  start(all_may_go(), 5);
  for (std::size_t i = 0; i < 5; ++i) serve(i, 100);
  sweep_after(kSecond * 10);
  sweep_after(kSecond * 10);
  EXPECT_DOUBLE_EQ(cell(0).outlier.get().external.percent.load(), -1);
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
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().external.average.load(), 90);
  EXPECT_DOUBLE_EQ(cell(5).outlier.get().external.percent.load(), -1);
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
  EXPECT_DOUBLE_EQ(cluster.cell->outlier.get().local.average.load(), 90);
  EXPECT_DOUBLE_EQ(cell(0).outlier.get().local.percent.load(), 50);
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

}  // namespace
}  // namespace millrace::proxy::test
