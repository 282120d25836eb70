// Buffer, CSRF, header mutation, health check, gRPC statistics: from text to the model, every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const std::string kHttp = "type.googleapis.com/envoy.extensions.filters.http.";
const std::string kBuffer = kHttp + "buffer.v3.Buffer";
const std::string kCsrf = kHttp + "csrf.v3.CsrfPolicy";
const std::string kMutation = kHttp + "header_mutation.v3.HeaderMutation";
const std::string kHealthCheck = kHttp + "health_check.v3.HealthCheck";
const std::string kAlways = "filter_enabled: {default_value: {numerator: 100}}";

TEST(TranslateFilters_Buffer, TakesEveryField) {
  EXPECT_EQ(filter<config::BufferRequests>(kBuffer, "max_request_bytes: 100").max_request_bytes, 100u);
  BootstrapText text = with_filter(any(kBuffer, "max_request_bytes: 100"));
  const auto of_route = [&](const std::string& fields) {
    text.route = ", typed_per_filter_config: {f: " + any(kHttp + "buffer.v3.BufferPerRoute", fields) + "}";
    const auto snapshot = snapshot_of(text);
    return snapshot == nullptr ? config::BufferRequests{7}
                               : std::get<config::BufferRequests>(route_of(snapshot).filters.find("f")->config);
  };
  EXPECT_EQ(of_route("buffer: {max_request_bytes: 5}").max_request_bytes, 5u);
  EXPECT_EQ(of_route("disabled: true").max_request_bytes, std::nullopt);
}

TEST(TranslateFilters_Csrf, TakesEveryField) {
  const auto csrf = filter<config::Csrf>(kCsrf,
                                         "filter_enabled: {default_value: {numerator: 30}}, "
                                         "shadow_enabled: {default_value: {numerator: 40}}, additional_origins: [{exact: a}]");
  EXPECT_EQ(csrf.enabled.numerator, 30u);
  EXPECT_EQ(csrf.shadow.numerator, 40u);
  ASSERT_EQ(csrf.additional_origins.size(), 1u);
  EXPECT_EQ(csrf.additional_origins[0].text, "a");
  BootstrapText text = with_filter(any(kCsrf, kAlways));
  text.route = ", typed_per_filter_config: {f: " + any(kCsrf, kAlways) + "}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(std::get<config::Csrf>(route_of(snapshot).filters.find("f")->config).shadow.numerator, 0u);
}

TEST(TranslateFilters_HeaderMutation, TakesEveryField) {
  const auto mutation = filter<config::EditHeaders>(
      kMutation,
      "mutations: {request_mutations: [{remove: X-Old}, {append: {header: {key: X-New, value: v}, append_action: "
      "ADD_IF_ABSENT}}], response_mutations: [{remove: x-secret}]}, most_specific_header_mutations_wins: true");
  ASSERT_EQ(mutation.edits.request.size(), 2u);
  EXPECT_EQ(std::get<std::string>(mutation.edits.request[0]), "x-old");
  const auto& added = std::get<config::HeaderMutation>(mutation.edits.request[1]);
  EXPECT_EQ(added.name, "x-new");
  EXPECT_EQ(added.action, config::HeaderMutation::Action::kAddIfAbsent);
  EXPECT_EQ(mutation.edits.response.size(), 1u);
  EXPECT_TRUE(mutation.most_specific_last);
  const auto of_route = route_filter<config::HeaderEdits>(
      kMutation, any(kHttp + "header_mutation.v3.HeaderMutationPerRoute", "mutations: {response_mutations: [{remove: x-a}]}"));
  ASSERT_EQ(of_route.response.size(), 1u);
  EXPECT_EQ(std::get<std::string>(of_route.response[0]), "x-a");
}

TEST(TranslateFilters_HeaderMutation, RefusesPseudoFields) {
  EXPECT_THAT(errors_of(with_filter(any(kMutation, "mutations: {request_mutations: [{remove: \":path\"}]}"))),
              Contains(HasSubstr("mutations.request_mutations[0].remove: \":path\" cannot be removed")));
  EXPECT_THAT(
      errors_of(with_filter(any(kMutation, "mutations: {request_mutations: [{append: {header: {key: host, value: a}}}]}"))),
      Contains(HasSubstr("mutations.request_mutations[0].append.header.key: \"host\" cannot be changed here")));
}

TEST(TranslateFilters_HealthCheck, TakesEveryField) {
  const auto passing = filter<config::AnswerHealthChecks>(
      kHealthCheck, "pass_through_mode: true, cache_time: 2s, headers: [{name: \":path\", string_match: {exact: /health}}]");
  EXPECT_TRUE(passing.pass_through);
  EXPECT_EQ(passing.cache_time, Duration::seconds(2));
  EXPECT_NE(passing.cache, nullptr);
  EXPECT_EQ(passing.headers.size(), 1u);
  EXPECT_EQ(passing.service_cluster, "edge");
  const auto answering = filter<config::AnswerHealthChecks>(
      kHealthCheck, "pass_through_mode: false, cluster_min_healthy_percentages: {origin: {value: 12.9}}");
  EXPECT_FALSE(answering.pass_through);
  EXPECT_EQ(answering.cache, nullptr);
  EXPECT_THAT(answering.min_healthy_percentages, ElementsAre(Pair("origin", 12u)));
}

TEST(TranslateFilters_HealthCheck, RefusesWhatHasNoEffect) {
  EXPECT_THAT(errors_of(with_filter(any(kHealthCheck, "pass_through_mode: false, cache_time: 2s"))),
              Contains(HasSubstr("cache_time: has no effect without pass_through_mode")));
  EXPECT_THAT(
      errors_of(with_filter(any(kHealthCheck, "pass_through_mode: true, cluster_min_healthy_percentages: {origin: {value: 1}}"))),
      Contains(HasSubstr("cluster_min_healthy_percentages: has no effect with pass_through_mode")));
}

TEST(TranslateFilters_GrpcStats, IsLeftOutAsItOnlyCounts) {
  const auto snapshot =
      snapshot_of(with_filter(any(kHttp + "grpc_stats.v3.FilterConfig",
                                  "emit_filter_state: true, stats_for_all_methods: false, enable_upstream_stats: true, "
                                  "replace_dots_in_grpc_service_name: true")));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_TRUE(manager_of(snapshot).filters.empty());
}

}  // namespace
}  // namespace millrace::agent::test
