#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::OutlierDetection;
using testing::Contains;
using testing::HasSubstr;

BootstrapText with_detection(const std::string& fields) {
  BootstrapText text;
  text.cluster = ", outlier_detection: {" + fields + "}";
  return text;
}

OutlierDetection detection(const std::string& fields) {
  const auto snapshot = snapshot_of(with_detection(fields));
  return snapshot == nullptr ? OutlierDetection{} : *snapshot->find_cluster("origin")->outlier_detection;
}

TEST(TranslateOutlierDetection, IsOffUnlessConfigured) {
  EXPECT_FALSE(snapshot_of({})->find_cluster("origin")->outlier_detection.has_value());
}

TEST(TranslateOutlierDetection, HasEnvoysDefaults) {
  const OutlierDetection bare = detection("");
  EXPECT_EQ(bare.interval, Duration::seconds(10));
  EXPECT_EQ(bare.base_ejection_time, Duration::seconds(30));
  EXPECT_EQ(bare.max_ejection_time, Duration::seconds(300));
  EXPECT_EQ(bare.max_ejection_time_jitter, Duration());
  EXPECT_EQ(bare.max_ejection_percent, 10u);
  EXPECT_FALSE(bare.always_eject_one_host);
  EXPECT_FALSE(bare.split_external_local_origin_errors);
  EXPECT_TRUE(bare.return_on_health_check);
  EXPECT_EQ(bare.consecutive_5xx.count, 5u);
  EXPECT_EQ(bare.consecutive_5xx.enforcing_percent, 100u);
  EXPECT_EQ(bare.consecutive_gateway_failure.count, 5u);
  EXPECT_EQ(bare.consecutive_gateway_failure.enforcing_percent, 0u);
  EXPECT_EQ(bare.consecutive_local_origin_failure.count, 5u);
  EXPECT_EQ(bare.consecutive_local_origin_failure.enforcing_percent, 100u);
  EXPECT_EQ(bare.success_rate.minimum_hosts, 5u);
  EXPECT_EQ(bare.success_rate.request_volume, 100u);
  EXPECT_EQ(bare.success_rate.stdev_factor, 1'900u);
  EXPECT_EQ(bare.success_rate.enforcing_percent, 100u);
  EXPECT_EQ(bare.success_rate.enforcing_local_origin_percent, 100u);
  EXPECT_EQ(bare.failure_percentage.threshold, 85u);
  EXPECT_EQ(bare.failure_percentage.minimum_hosts, 5u);
  EXPECT_EQ(bare.failure_percentage.request_volume, 50u);
  EXPECT_EQ(bare.failure_percentage.enforcing_percent, 0u);
  EXPECT_EQ(bare.failure_percentage.enforcing_local_origin_percent, 0u);
}

TEST(TranslateOutlierDetection, TakesEveryField) {
  const OutlierDetection all = detection(
      "interval: 1s, base_ejection_time: 2s, max_ejection_time: 3s, max_ejection_time_jitter: 0.5s, max_ejection_percent: 11, "
      "always_eject_one_host: true, split_external_local_origin_errors: true, consecutive_5xx: 12, enforcing_consecutive_5xx: "
      "13, "
      "consecutive_gateway_failure: 14, enforcing_consecutive_gateway_failure: 15, consecutive_local_origin_failure: 16, "
      "enforcing_consecutive_local_origin_failure: 17, success_rate_minimum_hosts: 18, success_rate_request_volume: 19, "
      "success_rate_stdev_factor: 20, enforcing_success_rate: 21, enforcing_local_origin_success_rate: 22, "
      "failure_percentage_threshold: 23, failure_percentage_minimum_hosts: 24, failure_percentage_request_volume: 25, "
      "enforcing_failure_percentage: 26, enforcing_failure_percentage_local_origin: 27, "
      "successful_active_health_check_uneject_host: false");
  EXPECT_EQ(all.interval, Duration::seconds(1));
  EXPECT_EQ(all.base_ejection_time, Duration::seconds(2));
  EXPECT_EQ(all.max_ejection_time, Duration::seconds(3));
  EXPECT_EQ(all.max_ejection_time_jitter, Duration::milliseconds(500));
  EXPECT_EQ(all.max_ejection_percent, 11u);
  EXPECT_TRUE(all.always_eject_one_host);
  EXPECT_TRUE(all.split_external_local_origin_errors);
  EXPECT_FALSE(all.return_on_health_check);
  EXPECT_EQ(all.consecutive_5xx.count, 12u);
  EXPECT_EQ(all.consecutive_5xx.enforcing_percent, 13u);
  EXPECT_EQ(all.consecutive_gateway_failure.count, 14u);
  EXPECT_EQ(all.consecutive_gateway_failure.enforcing_percent, 15u);
  EXPECT_EQ(all.consecutive_local_origin_failure.count, 16u);
  EXPECT_EQ(all.consecutive_local_origin_failure.enforcing_percent, 17u);
  EXPECT_EQ(all.success_rate.minimum_hosts, 18u);
  EXPECT_EQ(all.success_rate.request_volume, 19u);
  EXPECT_EQ(all.success_rate.stdev_factor, 20u);
  EXPECT_EQ(all.success_rate.enforcing_percent, 21u);
  EXPECT_EQ(all.success_rate.enforcing_local_origin_percent, 22u);
  EXPECT_EQ(all.failure_percentage.threshold, 23u);
  EXPECT_EQ(all.failure_percentage.minimum_hosts, 24u);
  EXPECT_EQ(all.failure_percentage.request_volume, 25u);
  EXPECT_EQ(all.failure_percentage.enforcing_percent, 26u);
  EXPECT_EQ(all.failure_percentage.enforcing_local_origin_percent, 27u);
}

TEST(TranslateOutlierDetection, EjectsForAtLeastTheBaseTime) {
  EXPECT_EQ(detection("base_ejection_time: 400s").max_ejection_time, Duration::seconds(400));
  EXPECT_THAT(errors_of(with_detection("base_ejection_time: 10s, max_ejection_time: 9s")),
              Contains(HasSubstr("max_ejection_time: must not be less than base_ejection_time")));
}

TEST(TranslateOutlierDetection, TakesTimesBeyondAllMeasure) {
  const OutlierDetection lasting = detection("base_ejection_time: 315576000000s, max_ejection_time: 315576000000s");
  EXPECT_GT(lasting.base_ejection_time, Duration::seconds(300'000'000));
  EXPECT_FALSE(lasting.base_ejection_time.is_infinite()) << "it is multiplied";
}

TEST(TranslateOutlierDetection, RefusesWhatEnvoyRefuses) {
  for (const char* field : {"interval: 0s", "base_ejection_time: 0s", "max_ejection_time: 0s", "max_ejection_percent: 101",
                            "enforcing_consecutive_5xx: 101", "failure_percentage_threshold: 101", "monitors: [{name: x}]"}) {
    EXPECT_FALSE(errors_of(with_detection(field)).empty()) << field;
  }
}

}  // namespace
}  // namespace millrace::agent::test
