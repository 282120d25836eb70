// Local rate limits and the descriptors of routes, from text to the model: every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/translate_rate_limit.h"
#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr std::string_view kType = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
using VirtualHostLimits = config::LocalRateLimit::VirtualHostLimits;

TEST(TranslateLocalRateLimit, TakesEveryField) {
  const auto limit = filter<config::LocalRateLimit>(
      kType,
      "stat_prefix: edge, status: {code: 503}, token_bucket: {max_tokens: 10, tokens_per_fill: 4, fill_interval: 1s}, "
      "filter_enabled: {default_value: {numerator: 50}}, filter_enforced: {default_value: {numerator: 20}}, "
      "request_headers_to_add_when_not_enforced: [{header: {key: x-req, value: a}}], "
      "response_headers_to_add: [{header: {key: x-resp, value: b}}], stage: 3, "
      "descriptors: [{entries: [{key: user, value: bob}], token_bucket: {max_tokens: 2, fill_interval: 60s}}, "
      "{entries: [{key: user, value: ann}, {key: path, value: /}], token_bucket: {max_tokens: 1, fill_interval: 60s}}], "
      "local_rate_limit_per_downstream_connection: true, enable_x_ratelimit_headers: DRAFT_VERSION_03, "
      "vh_rate_limits: INCLUDE, always_consume_default_token_bucket: false, rate_limited_as_resource_exhausted: true");
  ASSERT_TRUE(limit.bucket && limit.cell);
  EXPECT_EQ(limit.cell->name, "edge");
  EXPECT_EQ(limit.status, 503);
  EXPECT_EQ(limit.bucket->limits.max_tokens, 10u);
  EXPECT_EQ(limit.bucket->limits.per_token, Duration::milliseconds(250));
  EXPECT_EQ(limit.enabled.numerator, 50u);
  EXPECT_EQ(limit.enforced.numerator, 20u);
  ASSERT_EQ(limit.unenforced_request_add.size(), 1u);
  EXPECT_EQ(limit.unenforced_request_add[0].name, "x-req");
  ASSERT_EQ(limit.limited_response_add.size(), 1u);
  EXPECT_EQ(limit.limited_response_add[0].name, "x-resp");
  EXPECT_EQ(limit.stage, 3u);
  ASSERT_EQ(limit.descriptors.size(), 2u);
  EXPECT_THAT(limit.descriptors[0].entries, ElementsAre(Pair("user", "ann"), Pair("path", "/"))) << "in order";
  EXPECT_EQ(limit.descriptors[1].bucket.limits.max_tokens, 2u);
  EXPECT_NE(limit.descriptors[0].bucket.cell, limit.descriptors[1].bucket.cell);
  EXPECT_TRUE(limit.per_connection && limit.tells_limits && limit.resource_exhausted);
  EXPECT_FALSE(limit.always_takes_default);
  EXPECT_EQ(limit.virtual_host, VirtualHostLimits::kAlways);
}

TEST(TranslateLocalRateLimit, ByDefaultNothingIsLimited) {
  const auto limit = filter<config::LocalRateLimit>(kType, "stat_prefix: edge, status: {code: 200}");
  EXPECT_EQ(limit.enabled.numerator, 0u);
  EXPECT_EQ(limit.enforced.numerator, 0u);
  EXPECT_EQ(limit.status, 429) << "what is below 400 is no answer to a limited request";
  EXPECT_FALSE(limit.bucket);
  EXPECT_TRUE(limit.always_takes_default);
  EXPECT_EQ(limit.virtual_host, VirtualHostLimits::kUnlessRouteHasSome);
}

TEST(TranslateLocalRateLimit, SaysWhatIsWrong) {
  EXPECT_THAT(errors_of(with_filter(any(kType, "stat_prefix: a, filter_enabled: {default_value: {numerator: 1}}"))),
              Contains(HasSubstr("token_bucket: must be set where filter_enabled is above 0%")));
  EXPECT_THAT(errors_of(with_filter(any(kType, "stat_prefix: a, token_bucket: {max_tokens: 1, fill_interval: 0.049s}"))),
              Contains(HasSubstr("token_bucket.fill_interval: must be at least 50ms")));
  const std::string descriptor = "{entries: [{key: a, value: b}], token_bucket: {max_tokens: 1, fill_interval: 1s}}";
  EXPECT_THAT(errors_of(with_filter(any(kType, "stat_prefix: a, descriptors: [" + descriptor + ", " + descriptor + "]"))),
              Contains(HasSubstr("descriptors[1]: has the entries of one before it")));
  EXPECT_THAT(errors_of(with_filter(any(kType, "stat_prefix: a, local_cluster_rate_limit: {}"))),
              Contains(HasSubstr("local_cluster_rate_limit: is not supported yet")));
}

TEST(TranslateLocalRateLimit, ABucketOutlivesTheSnapshotUnlessItsLimitsChange) {
  Diagnostics diagnostics;
  CellRegistry cells(1);
  TranslateContext context{diagnostics, cells, 1, {}, {}, {}, {}};
  const auto bucket = [&](const std::string& path, std::uint32_t tokens) {
    envoy::type::v3::TokenBucket message;
    message.set_max_tokens(tokens);
    message.mutable_fill_interval()->set_seconds(1);
    return translate_token_bucket(message, path, context).cell;
  };
  const auto first = bucket("a", 1);
  EXPECT_EQ(bucket("a", 1), first);
  EXPECT_NE(bucket("a", 2), first);
  EXPECT_NE(bucket("b", 1), first);
}

TEST(TranslateRateLimits, TakesEveryAction) {
  BootstrapText text;
  text.action =
      "route: {cluster: origin, include_vh_rate_limits: true, rate_limits: [{stage: 2, disable_key: k, actions: ["
      "{source_cluster: {}}, {destination_cluster: {}}, "
      "{request_headers: {header_name: X-User, descriptor_key: user, skip_if_absent: true}}, {remote_address: {}}, "
      "{generic_key: {descriptor_value: v}}, {generic_key: {descriptor_value: v, descriptor_key: k}}, "
      "{header_value_match: {descriptor_value: h, expect_match: false, headers: [{name: x-a}]}}, "
      "{masked_remote_address: {v4_prefix_mask_len: 24, v6_prefix_mask_len: 64}}, "
      "{query_parameter_value_match: {descriptor_value: q, descriptor_key: qk, query_parameters: [{name: p}]}}]}]}";
  text.host = ", rate_limits: [{actions: [{remote_address: {}}]}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& forward = std::get<config::ForwardAction>(route_of(snapshot).action);
  EXPECT_TRUE(forward.include_virtual_host_rate_limits);
  ASSERT_EQ(forward.rate_limits.size(), 1u);
  EXPECT_EQ(forward.rate_limits[0].stage, 2u);
  const auto& actions = forward.rate_limits[0].actions;
  ASSERT_EQ(actions.size(), 9u);
  using Kind = config::RateLimitAction::Kind;
  const auto expect = [&](std::size_t i, Kind kind, std::string_view key, std::string_view value) {
    EXPECT_EQ(actions[i].kind, kind) << i;
    EXPECT_EQ(actions[i].key, key) << i;
    EXPECT_EQ(actions[i].value, value) << i;
  };
  expect(0, Kind::kConstant, "source_cluster", "edge");
  expect(1, Kind::kDestinationCluster, "destination_cluster", "");
  expect(2, Kind::kRequestHeader, "user", "");
  EXPECT_EQ(actions[2].header, "x-user");
  EXPECT_TRUE(actions[2].skip_if_absent);
  expect(3, Kind::kRemoteAddress, "remote_address", "");
  expect(4, Kind::kConstant, "generic_key", "v");
  expect(5, Kind::kConstant, "k", "v");
  expect(6, Kind::kHeaderMatch, "header_match", "h");
  EXPECT_FALSE(actions[6].expect_match);
  EXPECT_EQ(actions[6].headers.size(), 1u);
  expect(7, Kind::kMaskedRemoteAddress, "masked_remote_address", "");
  EXPECT_EQ(actions[7].v4_bits, 24);
  EXPECT_EQ(actions[7].v6_bits, 64);
  expect(8, Kind::kQueryMatch, "qk", "q");
  EXPECT_EQ(actions[8].query_parameters.size(), 1u);
  EXPECT_EQ(manager_of(snapshot).routes->virtual_hosts[0].rate_limits.size(), 1u);
}

TEST(TranslateRateLimits, RefusesTheOthersByName) {
  BootstrapText text;
  text.action =
      "route: {cluster: origin, rate_limits: [{actions: [{metadata: {descriptor_key: k, metadata_key: {key: a, path: [{key: "
      "b}]}}}]}]}";
  EXPECT_THAT(errors_of(text), Contains(HasSubstr("rate_limits[0].actions[0].metadata: is not supported yet")));
}

}  // namespace
}  // namespace millrace::agent::test
