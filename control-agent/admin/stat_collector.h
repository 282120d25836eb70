// How the statistics of cells become entries of the pages: for stats*.cc only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/model/snapshot.h"
#include "control-agent/admin/stats.h"
#include "dataplane/report/cells.h"

namespace millrace::agent {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// Collects statistics of one kind of cell: `prefix` goes before each name, `family` before each Prometheus name.
class CellCollector {
 public:
  CellCollector(std::vector<Stat>& out, std::string prefix, std::string family, Labels labels)
      : out_(out), prefix_(std::move(prefix)), family_(std::move(family)), labels_(std::move(labels)) {}

  void counter(std::string_view name, std::int64_t value) { add(name, StatKind::kCounter, value); }
  void gauge(std::string_view name, std::int64_t value) { add(name, StatKind::kGauge, value); }
  void text(std::string_view name, std::string value) { add(name, StatKind::kText, 0).text = std::move(value); }
  void histogram(std::string_view name, HistogramValue value) { add(name, StatKind::kHistogram, 0).histogram = std::move(value); }

 private:
  Stat& add(std::string_view name, StatKind kind, std::int64_t value) {
    Stat& stat = out_.emplace_back();
    stat.name = prefix_ + std::string(name);
    stat.kind = kind;
    stat.value = value;
    stat.family = family_ + std::string(name);
    stat.labels = labels_;
    // Envoy turns "..._rq_2xx" into "..._rq_xx" with the class as a label.
    if (name.ends_with("xx") && name.size() > 4 && name[name.size() - 4] == '_') {
      stat.labels.emplace_back("envoy_response_code_class", std::string(1, name[name.size() - 3]));
      stat.family = family_ + std::string(name.substr(0, name.size() - 3)) + "xx";
    }
    return stat;
  }

  std::vector<Stat>& out_;
  std::string prefix_;
  std::string family_;
  Labels labels_;
};

/// Over the workers.
template <typename Stats, typename Blocks, typename Member>
[[nodiscard]] std::int64_t sum(const report::Cell<Stats, Blocks>& cell, Member member) {
  std::int64_t total = 0;
  for (const Stats& stats : cell.per_worker) total += static_cast<std::int64_t>((stats.*member).value());
  return total;
}

/// The same of a block within the worker's.
template <typename Stats, typename Blocks, typename Block, typename Value>
[[nodiscard]] std::int64_t sum_block(const report::Cell<Stats, Blocks>& cell, Block block, Value value) {
  std::int64_t total = 0;
  for (const Stats& stats : cell.per_worker) total += static_cast<std::int64_t>(value(stats.*block));
  return total;
}

inline void add_to(HistogramValue& total, const report::Histogram& histogram) {
  for (std::size_t i = 0; i < total.counts.size(); ++i) total.counts[i] += histogram.count(i);
  total.sum += histogram.sum();
}

template <typename Stats, typename Blocks, typename Member>
[[nodiscard]] HistogramValue sum_histogram(const report::Cell<Stats, Blocks>& cell, Member member) {
  HistogramValue value;
  value.counts.resize(report::Histogram::kBounds.size() + 1);
  for (const Stats& stats : cell.per_worker) add_to(value, stats.*member);
  return value;
}

/// The same of a block within the worker's.
template <typename Stats, typename Blocks, typename Block, typename Member>
[[nodiscard]] HistogramValue sum_histogram(const report::Cell<Stats, Blocks>& cell, Block block, Member member) {
  HistogramValue value;
  value.counts.resize(report::Histogram::kBounds.size() + 1);
  for (const Stats& stats : cell.per_worker) add_to(value, stats.*block.*member);
  return value;
}

/// Of the TLS of a listener's cell or a cluster's.
template <typename Cell>
void collect_tls(const Cell& cell, CellCollector collector) {
#define MR_COLLECT_COUNTER(name)                                               \
  {                                                                            \
    std::uint64_t value = 0;                                                   \
    for (const auto& stats : cell.per_worker) value += stats.tls.name.value(); \
    collector.counter("ssl." #name, static_cast<std::int64_t>(value));         \
  }
  MR_TLS_STATS(MR_COLLECT_COUNTER, , )
#undef MR_COLLECT_COUNTER
}

/// Of listeners, their filter chains and what serves there.
void collect_listeners(const config::Snapshot& snapshot, std::vector<Stat>& out);
void collect_clusters(const config::Snapshot& snapshot, std::vector<Stat>& out);
void collect_overload(const config::Overload& overload, std::vector<Stat>& out);

}  // namespace millrace::agent
