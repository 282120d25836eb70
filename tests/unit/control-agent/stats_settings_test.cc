// stats_config, the expressions of its tags, and application_log_config.
#include "control-agent/stats_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/field_table.h"
#include "control-agent/log_format.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::shared_ptr<const TagRegex> regex(const std::string& pattern) {
  auto compiled = TagRegex::compile(pattern);
  EXPECT_TRUE(compiled) << compiled.error();
  return compiled.value_or(nullptr);
}

BootstrapText with_top(const std::string& fields) {
  BootstrapText text;
  text.top = fields;
  return text;
}

StatsSettings settings_of(const std::string& stats_config) {
  const auto loaded = load_text(with_top(", stats_config: " + stats_config));
  EXPECT_TRUE(loaded) << loaded.error().at(0).to_string();
  Diagnostics diagnostics;
  StatsSettings out = loaded ? translate_stats(*loaded->bootstrap, diagnostics) : StatsSettings();
  EXPECT_TRUE(diagnostics.ok());
  return out;
}

std::vector<std::string> errors_of_stats(const std::string& stats_config) {
  return errors_of(with_top(", stats_config: " + stats_config));
}

TEST(TagRegex, TakesOutTheFirstGroupAndGivesTheSecond) {
  const auto match = regex(R"(^cluster(\.(.+);))")->search("cluster.xds-grpc;.upstream_cx_total");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->begin, 7u);
  EXPECT_EQ(match->end, 17u);
  EXPECT_EQ(match->value, "xds-grpc");
  EXPECT_EQ(regex("_rq_(503)$")->search("upstream_rq_503")->value, "503") << "one group is both";
}

TEST(TagRegex, LooksAheadAndKnowsClasses) {
  const auto address = regex(R"(^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.))");
  EXPECT_EQ(address->search("listener.0.0.0.0_80.http.1_2.downstream_rq_2xx")->value, "1_2");
  EXPECT_FALSE(address->search("listener_manager.lds.version"));
}

TEST(TagRegex, WithoutAGroupOrAMatchThereIsNoTag) {
  EXPECT_FALSE(regex("cluster")->search("cluster.app"));
  EXPECT_FALSE(regex("^(x)")->search("cluster.app"));
  EXPECT_FALSE(regex("^a(b)?")->search("ac")) << "the group took no part";
}

TEST(TagRegex, WhatTakesTooLongDoesNotMatch) { EXPECT_FALSE(regex("^((a+)+)+$")->search(std::string(60, 'a') + "!")); }

TEST(TagRegex, AWrongPatternSaysWhere) {
  const auto wrong = TagRegex::compile("a(b");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error(), HasSubstr("at byte 3"));
}

TEST(StatsSettings, WithoutAnyAllStatisticsHaveDefaultTags) {
  const StatsSettings settings = settings_of("{}");
  EXPECT_TRUE(settings.default_tags);
  EXPECT_THAT(settings.tags, IsEmpty());
  EXPECT_TRUE(settings.has("anything"));
}

TEST(StatsSettings, AreReadInFull) {
  const StatsSettings settings = settings_of(
      "{use_all_default_tags: false, stats_tags: [{tag_name: a, regex: '^(b)'}, {tag_name: c, fixed_value: d}], "
      "stats_matcher: {inclusion_list: {patterns: [{prefix: server}, {suffix: rbac.allowed}, {exact: x}, {contains: '.mid.'}, "
      "{safe_regex: {regex: 'vhost\\..*\\.route\\..*'}}, {prefix: UPPER, ignore_case: true}]}}, "
      "histogram_bucket_settings: [{match: {prefix: cluster}, buckets: [100, 1, 10]}]}");
  EXPECT_FALSE(settings.default_tags);
  ASSERT_EQ(settings.tags.size(), 2u);
  EXPECT_EQ(settings.tags[0].name, "a");
  EXPECT_NE(settings.tags[0].regex, nullptr);
  EXPECT_EQ(settings.tags[1].fixed_value, "d");
  for (const char* name : {"server.live", "http.a.rbac.allowed", "x", "a.mid.b", "vhost.v.route.r", "upper.a"})
    EXPECT_TRUE(settings.has(name)) << name;
  for (const char* name : {"cluster.a", "http.a.rbac.allowed2", "xx", "a.vhost.v.route.r"})
    EXPECT_FALSE(settings.has(name)) << name;
  ASSERT_EQ(settings.buckets.size(), 1u);
  EXPECT_THAT(settings.buckets[0].bounds, ElementsAre(1, 10, 100));
}

TEST(StatsSettings, ExclusionAndRejection) {
  const StatsSettings except = settings_of("{stats_matcher: {exclusion_list: {patterns: [{prefix: cluster.}]}}}");
  EXPECT_FALSE(except.has("cluster.a"));
  EXPECT_TRUE(except.has("server.live"));
  EXPECT_FALSE(settings_of("{stats_matcher: {reject_all: true}}").has("server.live"));
  EXPECT_TRUE(settings_of("{stats_matcher: {reject_all: false}}").has("server.live"));
}

TEST(StatsSettings, SayWhatIsWrong) {
  EXPECT_THAT(errors_of_stats("{stats_tags: [{tag_name: a, regex: '('}]}"),
              ElementsAre(HasSubstr("stats_config.stats_tags[0].regex: is not a regular expression")));
  EXPECT_THAT(errors_of_stats("{stats_tags: [{tag_name: envoy.cluster_name}]}"),
              ElementsAre(HasSubstr("stats_config.stats_tags[0]: needs regex or fixed_value")));
  EXPECT_THAT(errors_of_stats("{stats_tags: [{fixed_value: a}]}"),
              ElementsAre(HasSubstr("stats_config.stats_tags[0].tag_name: must be set")));
  EXPECT_THAT(errors_of_stats("{stats_matcher: {inclusion_list: {patterns: [{safe_regex: {regex: '('}}]}}}"),
              ElementsAre(HasSubstr("stats_config.stats_matcher.inclusion_list.patterns[0].safe_regex.regex")));
  EXPECT_THAT(errors_of_stats("{histogram_bucket_settings: [{match: {prefix: a}, buckets: [7]}]}"),
              ElementsAre(HasSubstr("stats_config.histogram_bucket_settings[0].buckets: no bucket ends at 7")));
}

TEST(LogFormat, IsThatOfTheBootstrap) {
  const auto loaded = load_text(with_top(", application_log_config: {log_format: {text_format: '%l %v'}}"));
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  EXPECT_EQ(log_pattern(*loaded->bootstrap), "%l %v");
  EXPECT_EQ(log_pattern(envoy::config::bootstrap::v3::Bootstrap()), "");
  EXPECT_THAT(errors_of(with_top(", application_log_config: {log_format: {json_format: {a: '%v'}}}")),
              ElementsAre(HasSubstr("json_format: is not supported yet")));
}

TEST(BootstrapExtensions, InternalListenersAreAcceptedAndWithoutEffect) {
  const std::string type = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
  const std::string wrapped =
      "{\"@type\": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: " + type + ", value: {buffer_size_kb: 64}}";
  for (const std::string& config : {wrapped, "{\"@type\": " + type + "}"}) {
    const auto loaded = load_text(with_top(", bootstrap_extensions: [{name: a, typed_config: " + config + "}]"));
    ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
    EXPECT_THAT(loaded->harmless, Contains(testing::Field(&ConfigError::path, "bootstrap_extensions[0].typed_config")));
  }
  EXPECT_THAT(errors_of(with_top(", bootstrap_extensions: [{name: a, typed_config: {\"@type\": "
                                 "type.googleapis.com/udpa.type.v1.TypedStruct, type_url: other}}]")),
              ElementsAre(HasSubstr("is not supported")));
}

}  // namespace
}  // namespace millrace::agent::test
