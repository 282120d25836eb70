// The statistics of the whole gateway under Envoy's names, collected when somebody asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control-agent/admin/gateway_view.h"
#include "control-agent/stats_settings.h"
#include "dataplane/report/histogram.h"

namespace millrace::agent {

enum class StatKind : std::uint8_t { kCounter, kGauge, kHistogram, kText };

/// A histogram summed over the workers.
struct HistogramValue {
  /// Upper bounds of the buckets, ascending; there is one more, without any.
  std::vector<double> bounds = {report::Histogram::kBounds.begin(), report::Histogram::kBounds.end()};
  std::vector<std::uint64_t> counts;  ///< per bucket, not cumulative
  std::uint64_t sum = 0;              ///< milliseconds
  [[nodiscard]] std::uint64_t total() const;
  /// The value below which `fraction` (0 to 1) of the observations lie, interpolated in its bucket; NaN without observations.
  [[nodiscard]] double quantile(double fraction) const;
};

struct Stat {
  std::string name;  ///< "cluster.reviews.upstream_rq_total"
  StatKind kind = StatKind::kCounter;
  std::int64_t value = 0;
  HistogramValue histogram{.bounds = {}, .counts = {}};  ///< of kHistogram
  std::string text;                                      ///< of kText
  /// For Prometheus: the name without what became a label, and the labels.
  std::string family;
  std::vector<std::pair<std::string, std::string>> labels;
};

/// All statistics, in no order: there may be a million, of which few are wanted.
[[nodiscard]] std::vector<Stat> collect_stats(const GatewayView& gateway);

/// Leaves those that `settings` wants, in the buckets that it wants.
void apply_settings(const StatsSettings& settings, std::vector<Stat>& stats);
/// Names for Prometheus, by the tags of `settings`. Those under "millrace." stay: their labels are their own.
void apply_tags(const StatsSettings& settings, std::vector<Stat>& stats);

/// Which of them a request wants: Envoy's filter, usedonly and type parameters.
struct StatFilter {
  std::string expression;  ///< a regular expression that must match somewhere in the name; empty: all
  bool used_only = false;
  std::string type = "All";  ///< "All", "Counters", "Gauges", "Histograms" or "TextReadouts"
};
/// Leaves what the filter wants, sorted by name; false, with `error` set, when the filter itself is wrong.
[[nodiscard]] bool apply_filter(const StatFilter& filter, std::vector<Stat>& stats, std::string& error);

/// Envoy's histogram_buckets: quantiles, counts up to each bound, of each bucket, or all of that.
enum class BucketMode : std::uint8_t { kNone, kCumulative, kDisjoint, kDetailed };
/// None: there is no such mode.
[[nodiscard]] std::optional<BucketMode> parse_bucket_mode(std::string_view text);

[[nodiscard]] std::string to_plain_text(const std::vector<Stat>& stats, BucketMode mode = BucketMode::kNone);
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<Stat>& stats, BucketMode mode = BucketMode::kNone);
/// Prometheus text exposition format 0.0.4. Texts are gauges with the text as a label, where they are wanted.
[[nodiscard]] std::string to_prometheus(const std::vector<Stat>& stats, bool with_texts = false);

}  // namespace millrace::agent
