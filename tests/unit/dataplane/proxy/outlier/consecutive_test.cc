// Endpoints that fail several times in a row.
#include "tests/unit/dataplane/proxy/outlier/detector_fixture.h"

namespace millrace::proxy::test {
namespace {

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

}  // namespace
}  // namespace millrace::proxy::test
