#include "control-agent/admin/stats.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>

#include "control-agent/admin/stat_collector.h"

namespace millrace::agent {
namespace {

void collect_workers(const GatewayView& gateway, std::vector<Stat>& out) {
  std::int64_t miss = 0;
  std::int64_t mega_miss = 0;
  for (const report::WorkerReport* worker : gateway.workers()) {
    const std::string index = std::to_string(worker->index);
    CellCollector collector(out, "millrace.worker." + index + ".", "millrace_worker_", {{"worker", index}});
    collector.counter("turns", static_cast<std::int64_t>(worker->turns.value()));
    collector.counter("busy_turns", static_cast<std::int64_t>(worker->busy_turns.value()));
    collector.counter("busy_cycles", static_cast<std::int64_t>(worker->busy_cycles.value()));
    for (std::size_t i = 0; i < report::TurnHistogram::kBuckets; ++i) {
      const bool last = i + 1 == report::TurnHistogram::kBuckets;
      const std::string bound = last ? "more" : std::to_string(report::TurnHistogram::bound_microseconds(i));
      collector.counter("busy_turn_us." + bound, static_cast<std::int64_t>(worker->busy_turn_time.count(i)));
    }
    if (const std::int64_t count = worker->instructions.value(); count >= 0) collector.counter("instructions", count);
    collector.counter("access_log_dropped", static_cast<std::int64_t>(worker->log.dropped()));
    collector.gauge("core", worker->core);
    collector.gauge("snapshot_version", worker->snapshot_version.value());
    for (const report::NamedValue& value : worker->values) {
      value.is_gauge ? collector.gauge(value.name, value.value.value()) : collector.counter(value.name, value.value.value());
    }
    miss += static_cast<std::int64_t>(worker->watchdog_miss.value());
    mega_miss += static_cast<std::int64_t>(worker->watchdog_mega_miss.value());
    CellCollector envoy(out, "server.worker_" + index + ".", "envoy_server_worker_", {{"envoy_worker_id", index}});
    envoy.counter("watchdog_miss", static_cast<std::int64_t>(worker->watchdog_miss.value()));
    envoy.counter("watchdog_mega_miss", static_cast<std::int64_t>(worker->watchdog_mega_miss.value()));
  }
  CellCollector server(out, "server.", "envoy_server_", {});
  server.counter("watchdog_miss", miss);
  server.counter("watchdog_mega_miss", mega_miss);
  server.gauge("concurrency", static_cast<std::int64_t>(gateway.workers().size()));
  server.gauge("memory_physical_size", static_cast<std::int64_t>(gateway.resident_bytes()));
  server.gauge("live", gateway.state() == ServerState::kLive ? 1 : 0);
  server.gauge("state", static_cast<std::int64_t>(gateway.state()));
  server.gauge("uptime", gateway.uptime().count());
}

constexpr std::array<std::string_view, 4> kTypes = {"Counters", "Gauges", "Histograms", "TextReadouts"};  // by StatKind

// What nobody has written yet is not, in Envoy; here, what is as it was at the start.
bool is_used(const Stat& stat) {
  switch (stat.kind) {
    case StatKind::kCounter:
    case StatKind::kGauge: return stat.value != 0;
    case StatKind::kHistogram: return stat.histogram.total() > 0;
    case StatKind::kText: return !stat.text.empty();
  }
  return true;
}

}  // namespace

std::uint64_t HistogramValue::total() const { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); }

double HistogramValue::quantile(double fraction) const {
  const std::uint64_t all = total();
  if (all == 0) return std::nan("");
  const double wanted = fraction * static_cast<double>(all);
  double below = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    const double lower = i == 0 ? 0 : bounds[i - 1];
    if (here > 0 && below + here >= wanted) {
      if (i == bounds.size()) return lower;
      return lower + (bounds[i] - lower) * std::max(0.0, wanted - below) / here;
    }
    below += here;
  }
  return bounds.back();
}

std::vector<Stat> collect_stats(const GatewayView& gateway) {
  std::vector<Stat> stats;
  if (const auto snapshot = gateway.snapshot()) {
    collect_listeners(*snapshot, stats);
    collect_clusters(*snapshot, stats);
    if (snapshot->overload != nullptr) collect_overload(*snapshot->overload, stats);
  }
  collect_workers(gateway, stats);
  for (const PortStat& port : gateway.port_stats()) {
    CellCollector collector(stats, "millrace.port." + port.port + ".", "millrace_port_", {{"port", port.port}});
    const auto value = static_cast<std::int64_t>(port.value);
    port.gauge ? collector.gauge(port.name, value) : collector.counter(port.name, value);
  }
  for (const RuleStat& rule : gateway.rule_stats()) {
    CellCollector collector(stats, "millrace.rule." + rule.rule + ".", "millrace_rule_", {{"rule", rule.rule}});
    collector.counter(rule.name, static_cast<std::int64_t>(rule.value));
  }
  for (const DiscoveryStat& stat : gateway.discovery_stats()) {
    CellCollector collector(stats, stat.prefix, stat.family, stat.labels);
    if (stat.text) {
      collector.text(stat.name, *stat.text);
    } else {
      stat.gauge ? collector.gauge(stat.name, stat.value) : collector.counter(stat.name, stat.value);
    }
  }
  CellCollector secrets(stats, "millrace.secrets.", "millrace_secrets_", {});
  secrets.counter("updated", static_cast<std::int64_t>(gateway.secrets().updated()));
  secrets.counter("refused", static_cast<std::int64_t>(gateway.secrets().refused()));
  return stats;
}

bool apply_filter(const StatFilter& filter, std::vector<Stat>& stats, std::string& error) {
  if (filter.type != "All" && std::ranges::find(kTypes, filter.type) == kTypes.end()) {
    error = "invalid &type= param: \"" + filter.type + "\" is none of All, Counters, Gauges, Histograms, TextReadouts";
    return false;
  }
  const RE2 expression(filter.expression, RE2::Quiet);
  if (!expression.ok()) {
    error = "filter is not a regular expression: " + expression.error();
    return false;
  }
  std::erase_if(stats, [&](const Stat& stat) {
    if (filter.type != "All" && filter.type != kTypes[static_cast<std::size_t>(stat.kind)]) return true;
    if (filter.used_only && !is_used(stat)) return true;
    return !filter.expression.empty() && !RE2::PartialMatch(stat.name, expression);
  });
  std::ranges::sort(stats, {}, &Stat::name);
  return true;
}

}  // namespace millrace::agent
