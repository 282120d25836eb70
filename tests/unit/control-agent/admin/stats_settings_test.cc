// What stats_config makes of statistics, and histograms in all forms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "control-agent/admin/counter_reset.h"
#include "control-agent/admin/stats.h"
#include "tests/unit/control-agent/admin/fake_gateway.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

StatTag tag(const std::string& name, const std::string& pattern) {
  return {.name = name, .fixed_value = std::nullopt, .regex = TagRegex::compile(pattern).value()};
}

config::StringMatcher prefix(const std::string& text) {
  config::StringMatcher out;
  out.kind = config::StringMatcher::Kind::kPrefix;
  out.text = text;
  return out;
}

Stat counter(const std::string& name, const std::string& family, std::vector<std::pair<std::string, std::string>> labels = {}) {
  Stat stat;
  stat.name = name;
  stat.family = family;
  stat.labels = std::move(labels);
  return stat;
}

Stat tagged(const StatsSettings& settings, Stat stat) {
  std::vector<Stat> stats{std::move(stat)};
  apply_tags(settings, stats);
  return stats.front();
}

Stat histogram() {
  Stat stat = counter("cluster.app.upstream_rq_time", "envoy_cluster_upstream_rq_time", {{"envoy_cluster_name", "app"}});
  stat.kind = StatKind::kHistogram;
  stat.histogram = HistogramValue();
  stat.histogram.counts.resize(stat.histogram.bounds.size() + 1);
  stat.histogram.counts[2] = 3;   // (1, 5]
  stat.histogram.counts[4] = 2;   // (10, 25]
  stat.histogram.counts[19] = 1;  // above all
  stat.histogram.sum = 50;
  return stat;
}

// Istio's tags, without Envoy's.
TEST(StatTags, NamesAreWhatExpressionsLeaveOfThem) {
  const StatsSettings settings{
      .default_tags = false,
      .tags = {tag("cluster_name", R"(^cluster(\.(.+);))"), tag("response_code", R"(_rq(_(\d{3}))$)"),
               tag("response_code_class", R"(_rq(_(\dxx))$)"), tag("authz_enforce_result", R"(rbac(\.(allowed|denied)))")}};
  const Stat code = tagged(settings, counter("cluster.xds-grpc;.upstream_rq_503", "unused", {{"envoy_cluster_name", "gone"}}));
  EXPECT_EQ(code.family, "envoy_cluster.upstream_rq");
  EXPECT_THAT(code.labels, UnorderedElementsAre(Pair("cluster_name", "xds-grpc"), Pair("response_code", "503")));
  EXPECT_THAT(to_prometheus({code}), HasSubstr("envoy_cluster_upstream_rq{cluster_name=\"xds-grpc\",response_code=\"503\"} 0\n"));
  const Stat rbac = tagged(settings, counter("http.a.rbac.allowed", "unused"));
  EXPECT_EQ(rbac.family, "envoy_http.a.rbac");
  EXPECT_THAT(rbac.labels, ElementsAre(Pair("authz_enforce_result", "allowed")));
}

TEST(StatTags, StandBesideTheDefaultOnes) {
  const StatsSettings settings{.tags = {tag("code", R"(_rq(_(\d{3}))$)"),
                                        tag("cluster", R"(^cluster\.((.+?)\.))"),
                                        {.name = "place", .fixed_value = "edge", .regex = nullptr}}};
  const Stat stat =
      tagged(settings, counter("cluster.app.upstream_rq_503", "envoy_cluster_upstream_rq_503", {{"envoy_cluster_name", "app"}}));
  EXPECT_EQ(stat.family, "envoy_cluster_upstream_rq");
  EXPECT_THAT(stat.labels, UnorderedElementsAre(Pair("envoy_cluster_name", "app"), Pair("code", "503"), Pair("cluster", "app"),
                                                Pair("place", "edge")));
}

TEST(StatTags, OfOneNameTheFirstCountsAndOurOwnStatisticsStay) {
  const StatsSettings settings{.default_tags = false, .tags = {tag("t", "^(a)"), tag("t", "(b)")}};
  EXPECT_EQ(tagged(settings, counter("a.b", "")).family, "envoy_.b");
  EXPECT_EQ(tagged(settings, counter("millrace.worker.0.turns", "millrace_worker_turns")).family, "millrace_worker_turns");
}

TEST(StatSettings, LeaveWhatIsWanted) {
  FakeGateway gateway;
  std::vector<Stat> stats = collect_stats(gateway);
  apply_settings({.choice = StatsSettings::Choice::kOnly, .patterns = {prefix("server.live")}}, stats);
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].name, "server.live");
}

TEST(StatSettings, HistogramsShowTheBucketsThatAreAskedFor) {
  std::vector<Stat> stats{histogram()};
  apply_settings({.buckets = {{.match = prefix("http."), .bounds = {1}}, {.match = prefix("cluster."), .bounds = {5, 100}}}},
                 stats);
  EXPECT_THAT(stats[0].histogram.bounds, ElementsAre(5, 100));
  EXPECT_THAT(stats[0].histogram.counts, ElementsAre(3, 2, 1));
  const std::string text = to_prometheus(stats);
  EXPECT_THAT(text, HasSubstr("le=\"5\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("le=\"100\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 6\n"));
  EXPECT_THAT(text, Not(HasSubstr("le=\"10\"")));
}

TEST(Histograms, AreShownInEachOfEnvoysModes) {
  std::vector<Stat> stats{histogram()};
  apply_settings({.buckets = {{.match = prefix(""), .bounds = {5, 25}}}}, stats);
  EXPECT_EQ(to_plain_text(stats, BucketMode::kCumulative), "cluster.app.upstream_rq_time: B5(3,3) B25(5,5)\n");
  EXPECT_EQ(to_plain_text(stats, BucketMode::kDisjoint), "cluster.app.upstream_rq_time: B5(3,3) B25(2,2)\n");
  EXPECT_THAT(to_plain_text(stats, BucketMode::kDetailed), HasSubstr("\n  totals=0,5:3, 5,20:2, 25,1:1\n"));
  EXPECT_EQ(to_json(stats, BucketMode::kCumulative)["stats"][0]["histograms"][0]["buckets"][1].dump(),
            R"({"upper_bound":25.0,"interval":5,"cumulative":5})");
  const auto detailed = to_json(stats, BucketMode::kDetailed)["stats"][0]["histograms"];
  EXPECT_EQ(detailed["supported_percentiles"].size(), 10u);
  EXPECT_EQ(detailed["details"][0]["totals"][0].dump(), R"({"lower_bound":0.0,"width":5.0,"count":3})");
  EXPECT_EQ(detailed["details"][0]["percentiles"].size(), 10u);
  const auto quantiles = to_json(stats)["stats"][0]["histograms"];
  EXPECT_EQ(quantiles["supported_quantiles"][9], 100.0);
  EXPECT_EQ(quantiles["computed_quantiles"][0]["name"], "cluster.app.upstream_rq_time");
  EXPECT_EQ(parse_bucket_mode("summary"), std::nullopt);
}

TEST(TextReadouts, StandInQuotesAndBecomeGaugesOnRequest) {
  Stat text = counter("cluster_manager.cds.version_text", "envoy_cluster_manager_cds_version_text");
  text.kind = StatKind::kText;
  text.text = "v7";
  std::vector<Stat> stats{text, counter("a", "envoy_a")};
  EXPECT_EQ(to_plain_text(stats), "cluster_manager.cds.version_text: \"v7\"\na: 0\n");
  EXPECT_EQ(to_json(stats)["stats"][0]["value"], "v7");
  EXPECT_THAT(to_prometheus(stats), Not(HasSubstr("version_text")));
  EXPECT_THAT(to_prometheus(stats, true), HasSubstr("envoy_cluster_manager_cds_version_text{text_value=\"v7\"} 0\n"));
  std::string error;
  ASSERT_TRUE(apply_filter({.expression = {}, .type = "TextReadouts"}, stats, error));
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].text, "v7");
}

TEST(CounterReset, TakesOffWhatWasCountedBefore) {
  Stat count = counter("a", "");
  count.value = 5;
  Stat gauge = counter("b", "");
  gauge.kind = StatKind::kGauge;
  gauge.value = 5;
  CounterReset reset;
  reset.reset({count, gauge});
  count.value = 7;
  std::vector<Stat> later{count, gauge, counter("new", "")};
  reset.apply(later);
  EXPECT_EQ(later[0].value, 2);
  EXPECT_EQ(later[1].value, 5);
  EXPECT_EQ(later[2].value, 0);
}

}  // namespace
}  // namespace millrace::agent
