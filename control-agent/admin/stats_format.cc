// The three forms in which statistics leave: Envoy's plain text and JSON, and Prometheus's text.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
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

std::string histogram_text(const HistogramValue& histogram) {
  if (histogram.total() == 0) return "No recorded values";
  std::string text;
  for (const double fraction : kQuantiles) {
    const std::string value = number(histogram.quantile(fraction));
    text += (text.empty() ? "" : " ") + quantile_name(fraction) + "(" + value + "," + value + ")";
  }
  return text;
}

nlohmann::ordered_json quantile_value(double value) {
  return std::isnan(value) ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(value);
}

// Envoy puts all histograms into one element of "stats".
nlohmann::ordered_json histograms_json(const std::vector<Stat>& stats) {
  nlohmann::ordered_json supported = nlohmann::ordered_json::array();
  for (const double fraction : kQuantiles) supported.push_back(fraction * 100);
  nlohmann::ordered_json computed = nlohmann::ordered_json::array();
  for (const Stat& stat : stats) {
    if (stat.kind != StatKind::kHistogram) continue;
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const double fraction : kQuantiles) {
      const auto value = quantile_value(stat.histogram.quantile(fraction));
      values.push_back({{"interval", value}, {"cumulative", value}});
    }
    computed.push_back({{"name", stat.name}, {"values", values}});
  }
  if (computed.empty()) return nullptr;
  return {{"histograms", {{"supported_quantiles", supported}, {"computed_quantiles", computed}}}};
}

// Prometheus allows letters, digits and "_" only.
std::string metric_name(std::string name) {
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_'; }, '_');
  return name;
}

prometheus::ClientMetric metric_of(const Stat& stat) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : stat.labels) metric.label.push_back({name, value});
  switch (stat.kind) {
    case StatKind::kCounter: metric.counter.value = static_cast<double>(stat.value); break;
    case StatKind::kGauge: metric.gauge.value = static_cast<double>(stat.value); break;
    case StatKind::kHistogram: {
      std::uint64_t cumulative = 0;
      for (std::size_t i = 0; i < stat.histogram.counts.size(); ++i) {
        cumulative += stat.histogram.counts[i];
        const double bound =
            i < report::Histogram::kBounds.size() ? report::Histogram::kBounds[i] : std::numeric_limits<double>::infinity();
        metric.histogram.bucket.push_back({cumulative, bound});
      }
      metric.histogram.sample_count = cumulative;
      metric.histogram.sample_sum = static_cast<double>(stat.histogram.sum);
      break;
    }
  }
  return metric;
}

prometheus::MetricType type_of(StatKind kind) {
  switch (kind) {
    case StatKind::kCounter: return prometheus::MetricType::Counter;
    case StatKind::kGauge: return prometheus::MetricType::Gauge;
    case StatKind::kHistogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

std::string to_plain_text(const std::vector<Stat>& stats) {
  std::string text;
  for (const Stat& stat : stats) {
    if (stat.kind != StatKind::kHistogram) text += stat.name + ": " + std::to_string(stat.value) + "\n";
  }
  for (const Stat& stat : stats) {
    if (stat.kind == StatKind::kHistogram) text += stat.name + ": " + histogram_text(stat.histogram) + "\n";
  }
  return text;
}

nlohmann::ordered_json to_json(const std::vector<Stat>& stats) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Stat& stat : stats) {
    if (stat.kind != StatKind::kHistogram) list.push_back({{"name", stat.name}, {"value", stat.value}});
  }
  if (auto histograms = histograms_json(stats); !histograms.is_null()) list.push_back(std::move(histograms));
  return {{"stats", list}};
}

std::string to_prometheus(const std::vector<Stat>& stats) {
  std::map<std::string, prometheus::MetricFamily> families;
  for (const Stat& stat : stats) {
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
