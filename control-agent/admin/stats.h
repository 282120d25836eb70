// The statistics of the whole gateway under Envoy's names, collected when somebody asks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/report/histogram.h"

namespace millrace::agent {

enum class StatKind : std::uint8_t { kCounter, kGauge, kHistogram };

/// A histogram summed over the workers.
struct HistogramValue {
  std::vector<std::uint64_t> counts;  ///< per bucket of report::Histogram, not cumulative
  std::uint64_t sum = 0;              ///< milliseconds
  [[nodiscard]] std::uint64_t total() const;
  /// The value below which `fraction` (0 to 1) of the observations lie, interpolated in its bucket; NaN without observations.
  [[nodiscard]] double quantile(double fraction) const;
};

struct Stat {
  std::string name;  ///< "cluster.reviews.upstream_rq_total"
  StatKind kind = StatKind::kCounter;
  std::int64_t value = 0;
  HistogramValue histogram;
  /// For Prometheus: the name without what became a label, and the labels.
  std::string family;
  std::vector<std::pair<std::string, std::string>> labels;
};

/// All statistics, sorted by name.
[[nodiscard]] std::vector<Stat> collect_stats(const GatewayView& gateway);

/// Which of them a request wants: Envoy's filter, usedonly and type parameters.
struct StatFilter {
  std::string expression;  ///< a regular expression that must match somewhere in the name; empty: all
  bool used_only = false;
  std::string type = "All";  ///< "All", "Counters", "Gauges" or "Histograms"
};
/// Removes what the filter does not want; false, with `error` set, when the filter itself is wrong.
[[nodiscard]] bool apply_filter(const StatFilter& filter, std::vector<Stat>& stats, std::string& error);

[[nodiscard]] std::string to_plain_text(const std::vector<Stat>& stats);
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<Stat>& stats);
/// Prometheus text exposition format 0.0.4.
[[nodiscard]] std::string to_prometheus(const std::vector<Stat>& stats);

}  // namespace millrace::agent
