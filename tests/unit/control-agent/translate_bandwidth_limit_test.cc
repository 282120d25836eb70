// The bandwidth limit filter, from text to the model: every field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

const std::string kLimit = "type.googleapis.com/envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit";

TEST(TranslateFilters_BandwidthLimit, TakesEveryField) {
  const auto limit =
      filter<config::BandwidthLimit>(kLimit,
                                     "stat_prefix: edge, enable_mode: REQUEST, limit_kbps: 500, fill_interval: 0.1s, "
                                     "runtime_enabled: {default_value: true, runtime_key: k}, response_trailer_prefix: x");
  EXPECT_TRUE(limit.limits_requests);
  EXPECT_FALSE(limit.limits_responses);
  EXPECT_EQ(limit.bytes_per_second, 512'000u);
  EXPECT_EQ(limit.fill_interval, Duration::milliseconds(100));
  EXPECT_EQ(limit.cell->name, "edge");
  const auto both = filter<config::BandwidthLimit>(kLimit, "stat_prefix: edge, enable_mode: REQUEST_AND_RESPONSE, limit_kbps: 1");
  EXPECT_TRUE(both.limits_requests && both.limits_responses);
  EXPECT_EQ(both.fill_interval, Duration::milliseconds(50));
}

TEST(TranslateFilters_BandwidthLimit, DoesNothingWhereItIsOff) {
  const auto plain = filter<config::BandwidthLimit>(kLimit, "stat_prefix: edge");
  EXPECT_FALSE(plain.limits_requests || plain.limits_responses);
  const auto off = filter<config::BandwidthLimit>(
      kLimit, "stat_prefix: edge, enable_mode: RESPONSE, limit_kbps: 1, runtime_enabled: {default_value: false, runtime_key: k}");
  EXPECT_FALSE(off.limits_requests || off.limits_responses);
}

TEST(TranslateFilters_BandwidthLimit, WithoutALimitEverythingPasses) {
  const auto limit = filter<config::BandwidthLimit>(kLimit, "stat_prefix: edge, enable_mode: RESPONSE");
  EXPECT_TRUE(limit.limits_responses);
  EXPECT_EQ(limit.bytes_per_second, std::uint64_t{1} << 40);
  EXPECT_EQ(filter<config::BandwidthLimit>(kLimit, "stat_prefix: edge, limit_kbps: 18446744073709551615").bytes_per_second,
            std::uint64_t{1} << 40);
}

TEST(TranslateFilters_BandwidthLimit, ARouteHasALimitAndARateOfItsOwn) {
  BootstrapText text = with_filter(any(kLimit, "stat_prefix: edge, enable_mode: RESPONSE, limit_kbps: 1"));
  const auto with_route = [&](const std::string& fields) {
    text.route = ", typed_per_filter_config: {f: " + any(kLimit, "stat_prefix: route, enable_mode: REQUEST" + fields) + "}";
    return text;
  };
  const auto snapshot = snapshot_of(with_route(", limit_kbps: 1"));
  ASSERT_NE(snapshot, nullptr);
  const auto& of_route = std::get<config::BandwidthLimit>(route_of(snapshot).filters.find("f")->config);
  const auto& of_manager = std::get<config::BandwidthLimit>(snapshot->listeners[0]->chains[0].http()->filters[0].config);
  EXPECT_TRUE(of_route.limits_requests);
  EXPECT_NE(of_route.rate, of_manager.rate);
  EXPECT_EQ(of_route.cell->name, "route");
  EXPECT_THAT(errors_of(with_route("")), Contains(HasSubstr("limit_kbps: must be set for a route")));
}

TEST(TranslateFilters_BandwidthLimit, RefusesTrailers) {
  EXPECT_THAT(errors_of(with_filter(any(kLimit, "stat_prefix: edge, enable_response_trailers: true"))),
              Contains(HasSubstr("is not supported yet: filters add no trailers")));
}

}  // namespace
}  // namespace millrace::agent::test
