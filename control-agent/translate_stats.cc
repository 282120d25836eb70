// envoy.config.metrics.v3.StatsConfig -> StatsSettings.
#include <re2/re2.h>

#include <algorithm>

#include "control-agent/stats_settings.h"
#include "control-agent/translate_common.h"
#include "dataplane/report/histogram.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

using envoy::config::metrics::v3::HistogramBucketSettings;
using envoy::config::metrics::v3::StatsMatcher;
using envoy::config::metrics::v3::TagSpecifier;

StatTag translate_tag(const TagSpecifier& tag, const std::string& path, Diagnostics& diagnostics) {
  StatTag out{.name = tag.tag_name(), .fixed_value = std::nullopt, .regex = nullptr};
  switch (tag.tag_value_case()) {
    case TagSpecifier::kFixedValue: out.fixed_value = tag.fixed_value(); break;
    case TagSpecifier::kRegex:
      if (auto compiled = TagRegex::compile(tag.regex())) {
        out.regex = std::move(*compiled);
      } else {
        diagnostics.error(join_path(path, "regex"), compiled.error());
      }
      break;
    case TagSpecifier::TAG_VALUE_NOT_SET:
      diagnostics.error(path,
                        "needs regex or fixed_value: default tags are not known by name, use_all_default_tags has them all");
      break;
  }
  return out;
}

void translate_choice(const StatsMatcher& matcher, const std::string& path, StatsSettings& out, TranslateContext& context) {
  const auto patterns = [&](const envoy::type::matcher::v3::ListStringMatcher& list, const char* field) {
    const std::string at = join_path(join_path(path, field), "patterns");
    for (int i = 0; i < list.patterns_size(); ++i)
      out.patterns.push_back(translate_string_matcher(list.patterns(i), index_path(at, static_cast<std::size_t>(i)), context));
  };
  switch (matcher.stats_matcher_case()) {
    case StatsMatcher::kRejectAll:
      out.choice = matcher.reject_all() ? StatsSettings::Choice::kNone : StatsSettings::Choice::kAll;
      break;
    case StatsMatcher::kInclusionList:
      out.choice = StatsSettings::Choice::kOnly;
      patterns(matcher.inclusion_list(), "inclusion_list");
      break;
    case StatsMatcher::kExclusionList:
      out.choice = StatsSettings::Choice::kExcept;
      patterns(matcher.exclusion_list(), "exclusion_list");
      break;
    case StatsMatcher::STATS_MATCHER_NOT_SET: break;
  }
}

// Workers count in fixed buckets: others could only be guessed.
StatBuckets translate_buckets(const HistogramBucketSettings& settings, const std::string& path, TranslateContext& context) {
  StatBuckets out{.match = translate_string_matcher(settings.match(), join_path(path, "match"), context),
                  .bounds = {settings.buckets().begin(), settings.buckets().end()}};
  std::ranges::sort(out.bounds);
  for (const double bound : out.bounds) {
    if (std::ranges::find(report::Histogram::kBounds, bound) != report::Histogram::kBounds.end()) continue;
    context.diagnostics.error(join_path(path, "buckets"), "no bucket ends at " + std::to_string(bound) +
                                                              ": choose among Envoy's default buckets, in which workers count");
  }
  return out;
}

}  // namespace

bool matches(const config::StringMatcher& matcher, std::string_view name) {
  using Kind = config::StringMatcher::Kind;
  const std::string lowered = matcher.ignore_case ? lower(name) : std::string();
  const std::string_view text = matcher.ignore_case ? lowered : name;
  switch (matcher.kind) {
    case Kind::kExact: return text == matcher.text;
    case Kind::kPrefix: return text.starts_with(matcher.text);
    case Kind::kSuffix: return text.ends_with(matcher.text);
    case Kind::kContains: return text.contains(matcher.text);
    case Kind::kRegex: return RE2::FullMatch(text, *matcher.regex.programs.front());
  }
  return false;
}

bool StatsSettings::has(std::string_view name) const {
  const auto listed = [&] { return std::ranges::any_of(patterns, [&](const auto& pattern) { return matches(pattern, name); }); };
  switch (choice) {
    case Choice::kAll: return true;
    case Choice::kNone: return false;
    case Choice::kOnly: return listed();
    case Choice::kExcept: return !listed();
  }
  return true;
}

StatsSettings translate_stats(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  CellRegistry no_cells(0);
  TranslateContext context{
      .diagnostics = diagnostics, .cells = no_cells, .workers = 1, .service_node = {}, .service_cluster = {}};
  const auto& config = bootstrap.stats_config();
  StatsSettings out;
  out.default_tags = !config.has_use_all_default_tags() || config.use_all_default_tags().value();
  for (int i = 0; i < config.stats_tags_size(); ++i) {
    const std::string path = index_path("stats_config.stats_tags", static_cast<std::size_t>(i));
    out.tags.push_back(translate_tag(config.stats_tags(i), path, diagnostics));
    if (out.tags.back().name.empty()) diagnostics.error(join_path(path, "tag_name"), "must be set");
  }
  translate_choice(config.stats_matcher(), "stats_config.stats_matcher", out, context);
  for (int i = 0; i < config.histogram_bucket_settings_size(); ++i) {
    const std::string path = index_path("stats_config.histogram_bucket_settings", static_cast<std::size_t>(i));
    out.buckets.push_back(translate_buckets(config.histogram_bucket_settings(i), path, context));
  }
  return out;
}

}  // namespace millrace::agent
