// The three forms in which statistics leave: Envoy's plain text and JSON, and Prometheus's text.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <sstream>

#include "control-agent/admin/stats.h"

namespace millrace::agent {
namespace {

// The quantiles that Envoy shows.
constexpr std::array kQuantiles = {0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0};

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

// "0.995" is shown as P99.5.
std::string quantile_name(double fraction) { return "P" + number(fraction * 100); }

std::string quantiles_text(const HistogramValue& histogram) {
  std::string text;
  for (const double fraction : kQuantiles) {
    const std::string value = number(histogram.quantile(fraction));
    text += (text.empty() ? "" : " ") + quantile_name(fraction) + "(" + value + "," + value + ")";
  }
  return text;
}

/// Of the buckets that have a bound: those below it too, or its own alone.
std::vector<std::uint64_t> bounded_counts(const HistogramValue& histogram, BucketMode mode) {
  std::vector<std::uint64_t> counts(histogram.counts.begin(), std::prev(histogram.counts.end()));
  if (mode == BucketMode::kCumulative) std::partial_sum(counts.begin(), counts.end(), counts.begin());
  return counts;
}

std::string buckets_text(const HistogramValue& histogram, BucketMode mode) {
  const auto counts = bounded_counts(histogram, mode);
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::string count = std::to_string(counts[i]);
    text += (i > 0 ? " B" : "B") + number(histogram.bounds[i]) + "(" + count + "," + count + ")";
  }
  return text;
}

/// A bucket that holds something.
struct Detail {
  double lower_bound = 0;
  double width = 0;
  std::uint64_t count = 0;
};

// The last has no bound: what is in it is shown as if it were one wide.
std::vector<Detail> details(const HistogramValue& histogram) {
  std::vector<Detail> out;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    if (histogram.counts[i] == 0) continue;
    const double lower = i == 0 ? 0 : histogram.bounds[i - 1];
    const double upper = i < histogram.bounds.size() ? histogram.bounds[i] : lower + 1;
    out.push_back({.lower_bound = lower, .width = upper - lower, .count = histogram.counts[i]});
  }
  return out;
}

std::string details_text(const HistogramValue& histogram) {
  std::string buckets;
  for (const Detail& detail : details(histogram)) {
    buckets += (buckets.empty() ? "" : ", ") + number(detail.lower_bound) + "," + number(detail.width) + ":" +
               std::to_string(detail.count);
  }
  return "\n  totals=" + buckets + "\n  intervals=" + buckets + "\n  summary=" + quantiles_text(histogram);
}

std::string histogram_line(const Stat& stat, BucketMode mode) {
  if (stat.histogram.total() == 0) return stat.name + ": No recorded values\n";
  switch (mode) {
    case BucketMode::kNone: return stat.name + ": " + quantiles_text(stat.histogram) + "\n";
    case BucketMode::kCumulative:
    case BucketMode::kDisjoint: return stat.name + ": " + buckets_text(stat.histogram, mode) + "\n";
    case BucketMode::kDetailed: return stat.name + ":" + details_text(stat.histogram) + "\n";
  }
  return {};
}

using Json = nlohmann::ordered_json;

Json quantiles_json(const HistogramValue& histogram) {
  Json values = Json::array();
  for (const double fraction : kQuantiles) {
    const double quantile = histogram.quantile(fraction);
    const Json value = std::isnan(quantile) ? Json(nullptr) : Json(quantile);
    // Nothing is flushed: the interval is the time since the start.
    values.push_back({{"interval", value}, {"cumulative", value}});
  }
  return values;
}

Json buckets_json(const HistogramValue& histogram, BucketMode mode) {
  const auto counts = bounded_counts(histogram, mode);
  Json buckets = Json::array();
  for (std::size_t i = 0; i < counts.size(); ++i)
    buckets.push_back({{"upper_bound", histogram.bounds[i]}, {"interval", counts[i]}, {"cumulative", counts[i]}});
  return buckets;
}

Json details_json(const HistogramValue& histogram) {
  Json buckets = Json::array();
  for (const Detail& detail : details(histogram))
    buckets.push_back({{"lower_bound", detail.lower_bound}, {"width", detail.width}, {"count", detail.count}});
  return buckets;
}

Json supported_quantiles() {
  Json out = Json::array();
  for (const double fraction : kQuantiles) out.push_back(fraction * 100);
  return out;
}

Json histogram_json(const Stat& stat, BucketMode mode) {
  switch (mode) {
    case BucketMode::kNone: return {{"name", stat.name}, {"values", quantiles_json(stat.histogram)}};
    case BucketMode::kCumulative:
    case BucketMode::kDisjoint: return {{"name", stat.name}, {"buckets", buckets_json(stat.histogram, mode)}};
    case BucketMode::kDetailed:
      return {{"name", stat.name},
              {"totals", details_json(stat.histogram)},
              {"intervals", details_json(stat.histogram)},
              {"percentiles", quantiles_json(stat.histogram)}};
  }
  return nullptr;
}

// Envoy puts all histograms into one element of "stats"; null: there are none.
Json histograms_json(const std::vector<Stat>& stats, BucketMode mode) {
  Json list = Json::array();
  for (const Stat& stat : stats) {
    if (stat.kind == StatKind::kHistogram) list.push_back(histogram_json(stat, mode));
  }
  if (list.empty()) return nullptr;
  switch (mode) {
    case BucketMode::kNone:
      return {{"histograms", {{"supported_quantiles", supported_quantiles()}, {"computed_quantiles", list}}}};
    case BucketMode::kDetailed: return {{"histograms", {{"supported_percentiles", supported_quantiles()}, {"details", list}}}};
    case BucketMode::kCumulative:
    case BucketMode::kDisjoint: return {{"histograms", list}};
  }
  return nullptr;
}

// Prometheus allows letters, digits and "_" only.
std::string metric_name(std::string name) {
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_'; }, '_');
  return name;
}

prometheus::ClientMetric metric_of(const Stat& stat) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : stat.labels) metric.label.push_back({metric_name(name), value});
  switch (stat.kind) {
    case StatKind::kCounter: metric.counter.value = static_cast<double>(stat.value); break;
    case StatKind::kGauge: metric.gauge.value = static_cast<double>(stat.value); break;
    case StatKind::kHistogram: {
      std::uint64_t cumulative = 0;
      for (std::size_t i = 0; i < stat.histogram.counts.size(); ++i) {
        cumulative += stat.histogram.counts[i];
        const double bound =
            i < stat.histogram.bounds.size() ? stat.histogram.bounds[i] : std::numeric_limits<double>::infinity();
        metric.histogram.bucket.push_back({cumulative, bound});
      }
      metric.histogram.sample_count = cumulative;
      metric.histogram.sample_sum = static_cast<double>(stat.histogram.sum);
      break;
    }
    case StatKind::kText:
      metric.label.push_back({"text_value", stat.text});
      metric.gauge.value = 0;
      break;
  }
  return metric;
}

prometheus::MetricType type_of(StatKind kind) {
  switch (kind) {
    case StatKind::kCounter: return prometheus::MetricType::Counter;
    case StatKind::kText:
    case StatKind::kGauge: return prometheus::MetricType::Gauge;
    case StatKind::kHistogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

std::optional<BucketMode> parse_bucket_mode(std::string_view text) {
  if (text.empty() || text == "none") return BucketMode::kNone;
  if (text == "cumulative") return BucketMode::kCumulative;
  if (text == "disjoint") return BucketMode::kDisjoint;
  if (text == "detailed") return BucketMode::kDetailed;
  return std::nullopt;
}

std::string to_plain_text(const std::vector<Stat>& stats, BucketMode mode) {
  std::string texts;
  std::string numbers;
  std::string histograms;
  for (const Stat& stat : stats) {
    switch (stat.kind) {
      case StatKind::kText: texts += stat.name + ": \"" + stat.text + "\"\n"; break;
      case StatKind::kCounter:
      case StatKind::kGauge: numbers += stat.name + ": " + std::to_string(stat.value) + "\n"; break;
      case StatKind::kHistogram: histograms += histogram_line(stat, mode); break;
    }
  }
  return texts + numbers + histograms;
}

nlohmann::ordered_json to_json(const std::vector<Stat>& stats, BucketMode mode) {
  Json list = Json::array();
  for (const Stat& stat : stats) {
    if (stat.kind == StatKind::kText) list.push_back({{"name", stat.name}, {"value", stat.text}});
  }
  for (const Stat& stat : stats) {
    if (stat.kind == StatKind::kCounter || stat.kind == StatKind::kGauge)
      list.push_back({{"name", stat.name}, {"value", stat.value}});
  }
  if (auto histograms = histograms_json(stats, mode); !histograms.is_null()) list.push_back(std::move(histograms));
  return {{"stats", list}};
}

std::string to_prometheus(const std::vector<Stat>& stats, bool with_texts) {
  std::map<std::string, prometheus::MetricFamily> families;
  for (const Stat& stat : stats) {
    if (stat.kind == StatKind::kText && !with_texts) continue;
    prometheus::MetricFamily& family = families[metric_name(stat.family)];
    family.type = type_of(stat.kind);
    family.metric.push_back(metric_of(stat));
  }
  std::vector<prometheus::MetricFamily> list;
  for (auto& [name, family] : families) {
    family.name = name;
    list.push_back(std::move(family));
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, list);
  return out.str();
}

}  // namespace millrace::agent
