#include "control-agent/admin/stats.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

namespace millrace::agent {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Collects statistics of one kind of cell: `prefix` goes before each name, `family` before each Prometheus name.
class CellCollector {
 public:
  CellCollector(std::vector<Stat>& out, std::string prefix, std::string family, Labels labels)
      : out_(out), prefix_(std::move(prefix)), family_(std::move(family)), labels_(std::move(labels)) {}

  void counter(std::string_view name, std::int64_t value) { add(name, StatKind::kCounter, value); }
  void gauge(std::string_view name, std::int64_t value) { add(name, StatKind::kGauge, value); }
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

template <typename Stats, typename Member>
std::int64_t sum(const report::Cell<Stats>& cell, Member member) {
  std::int64_t total = 0;
  for (const Stats& stats : cell.per_worker) total += static_cast<std::int64_t>((stats.*member).value());
  return total;
}

// The same of a block within the worker's.
template <typename Stats, typename Block, typename Value>
std::int64_t sum_block(const report::Cell<Stats>& cell, Block block, Value value) {
  std::int64_t total = 0;
  for (const Stats& stats : cell.per_worker) total += static_cast<std::int64_t>(value(stats.*block));
  return total;
}

template <typename Stats, typename Member>
HistogramValue sum_histogram(const report::Cell<Stats>& cell, Member member) {
  HistogramValue value;
  value.counts.resize(report::Histogram::kBounds.size() + 1);
  for (const Stats& stats : cell.per_worker) {
    for (std::size_t i = 0; i < value.counts.size(); ++i) value.counts[i] += (stats.*member).count(i);
    value.sum += (stats.*member).sum();
  }
  return value;
}

#define MR_COLLECT_COUNTER(name) collector.counter(#name, sum(cell, &StatsType::name));
#define MR_COLLECT_GAUGE(name) collector.gauge(#name, sum(cell, &StatsType::name));
#define MR_COLLECT_HISTOGRAM(name) collector.histogram(#name, sum_histogram(cell, &StatsType::name));

void collect(const report::ListenerCell& cell, CellCollector collector) {
  using StatsType = report::ListenerStats;
  MR_LISTENER_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
void collect(const report::HttpCell& cell, CellCollector collector) {
  using StatsType = report::HttpStats;
  MR_HTTP_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
// Of the filters that the connection manager has.
void collect_filters(const report::HttpCell& cell, const config::HttpConnectionManager& manager, std::vector<Stat>& out) {
  const auto has = [&]<typename Config>() {
    return std::ranges::any_of(manager.filters, [](const auto& filter) { return std::holds_alternative<Config>(filter.config); });
  };
  const auto collector_of = [&](const std::string& filter) {
    return CellCollector(out, "http." + cell.name + "." + filter + ".", "envoy_http_" + filter + "_",
                         {{"envoy_http_conn_manager_prefix", cell.name}});
  };
#define MR_COLLECT_FILTER_COUNTER(name) \
  collector.counter(#name, sum_block(cell, block, [](const auto& b) { return b.name.value(); }));
#define MR_COLLECT_FILTER_GAUGE(name) \
  collector.gauge(#name, sum_block(cell, block, [](const auto& b) { return b.name.value(); }));
#define MR_COLLECT_FILTER(member, Config, LIST)                             \
  if (has.operator()<config::Config>()) {                                   \
    CellCollector collector = collector_of(#member);                        \
    const auto block = &report::HttpStats::member;                          \
    MR_##LIST##_STATS(MR_COLLECT_FILTER_COUNTER, MR_COLLECT_FILTER_GAUGE, ) \
  }
  MR_HTTP_FILTERS(MR_COLLECT_FILTER)
#undef MR_COLLECT_FILTER
#undef MR_COLLECT_FILTER_COUNTER
#undef MR_COLLECT_FILTER_GAUGE
}
#define MR_COLLECT_BLOCK_COUNTER(name) \
  collector.counter(#name, sum_block(cell, block, [](const auto& b) { return b.name.value(); }));
void collect(const report::CompressorCell& cell, std::vector<Stat>& out) {
  using StatsType = report::CompressorStats;
  const std::size_t cut = cell.name.find('|');
  const std::string base = cell.name.substr(0, cut);
  {
    CellCollector collector(out, base + "request.", "envoy_http_compressor_request_", {{"envoy_http_compressor", base}});
    const auto block = &StatsType::request;
    MR_COMPRESSION_STATS(MR_COLLECT_BLOCK_COUNTER, , )
  }
  CellCollector collector(out, base + cell.name.substr(cut + 1), "envoy_http_compressor_", {{"envoy_http_compressor", base}});
  const auto block = &StatsType::response;
  MR_COMPRESSION_STATS(MR_COLLECT_BLOCK_COUNTER, , )
  MR_COMPRESSOR_STATS(MR_COLLECT_COUNTER, , )
}
void collect(const report::DecompressorCell& cell, std::vector<Stat>& out) {
  const auto collect_direction = [&](const std::string& direction, auto block) {
    CellCollector collector(out, cell.name + direction + ".", "envoy_http_decompressor_" + direction + "_",
                            {{"envoy_http_decompressor", cell.name}});
    MR_DECOMPRESSION_STATS(MR_COLLECT_BLOCK_COUNTER, , )
  };
  collect_direction("request", &report::DecompressorStats::request);
  collect_direction("response", &report::DecompressorStats::response);
}
#undef MR_COLLECT_BLOCK_COUNTER
void collect(const report::LocalRateLimitCell& cell, std::vector<Stat>& out) {
  using StatsType = report::LocalRateLimitStats;
  CellCollector collector(out, cell.name + ".http_local_rate_limit.", "envoy_http_local_rate_limit_",
                          {{"envoy_local_http_ratelimit_prefix", cell.name}});
  MR_LOCAL_RATE_LIMIT_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}

// Of access control: an HTTP filter's (`manager` is its connection manager's stat_prefix) or a network filter's (it is empty).
template <typename FirstTime>
void collect_rbac(const config::Rbac& rbac, const std::string& manager, const FirstTime& first_time, std::vector<Stat>& out) {
  using StatsType = report::RbacStats;
  const auto collector_of = [&](const report::RbacCell& cell, const std::string& custom_prefix) {
    if (!manager.empty())
      return CellCollector(out, cell.name, "envoy_http_rbac_" + custom_prefix, {{"envoy_http_conn_manager_prefix", manager}});
    const std::string stat_prefix = cell.name.substr(0, cell.name.find(".rbac."));
    return CellCollector(out, cell.name, "envoy_rbac_" + custom_prefix, {{"envoy_rbac_prefix", stat_prefix}});
  };
  if (const report::RbacCell& cell = *rbac.cell; rbac.rules && first_time(&cell)) {
    CellCollector collector = collector_of(cell, rbac.rules_stat_prefix);
    MR_RBAC_STATS(MR_COLLECT_COUNTER, , )
  }
  if (const report::RbacCell& cell = *rbac.shadow_cell; rbac.shadow_rules && first_time(&cell.per_worker)) {
    CellCollector collector = collector_of(cell, rbac.shadow_stat_prefix);
    MR_RBAC_SHADOW_STATS(MR_COLLECT_COUNTER, , )
  }
}
void collect(const report::TcpCell& cell, CellCollector collector) {
  using StatsType = report::TcpStats;
  MR_TCP_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
void collect(const report::InspectorCell& cell, std::vector<Stat>& out) {
  using StatsType = report::InspectorStats;
  {
    CellCollector collector(out, "tls_inspector.", "envoy_tls_inspector_", {});
    MR_TLS_INSPECTOR_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
  }
  CellCollector collector(out, "http_inspector.", "envoy_http_inspector_", {});
  MR_HTTP_INSPECTOR_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
void collect(const report::ClusterCell& cell, CellCollector collector) {
  using StatsType = report::ClusterStats;
  MR_CLUSTER_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}

#undef MR_COLLECT_COUNTER
#undef MR_COLLECT_GAUGE
#undef MR_COLLECT_HISTOGRAM

// Of a listener's cell or a cluster's.
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

// One of the limits of a cluster and priority, as the gauges of Envoy's circuit breakers name it.
struct BreakerRow {
  std::string_view open;
  std::string_view remaining;
  report::BreakerResource resource;
  std::int64_t limit;
};

std::int64_t in_use(const report::ClusterCell& cell, std::size_t priority, report::BreakerResource resource) {
  std::int64_t total = 0;
  for (const report::ClusterStats& stats : cell.per_worker) total += stats.breakers[priority].of(resource).value();
  return total;
}

std::int64_t retry_limit(const report::ClusterCell& cell, std::size_t priority, const config::BreakerThresholds& thresholds) {
  if (!thresholds.retry_budget) return thresholds.max_retries;
  const std::int64_t in_progress = in_use(cell, priority, report::BreakerResource::kRequests) +
                                   in_use(cell, priority, report::BreakerResource::kPendingRequests);
  const double allowed = static_cast<double>(in_progress) * thresholds.retry_budget->percent / 100.0;
  return std::max(static_cast<std::int64_t>(allowed), std::int64_t{thresholds.retry_budget->min_concurrency});
}

// Open: the workers have taken all there is. What one of them keeps unused counts as remaining all the same.
void collect_breakers(const config::Cluster& cluster, CellCollector& collector) {
  using enum report::BreakerResource;
  const report::ClusterCell& cell = *cluster.cell;
  for (std::size_t priority = 0; priority < config::kRoutingPriorities; ++priority) {
    const config::BreakerThresholds& thresholds = cluster.breakers.thresholds[priority];
    const std::string prefix = priority == 0 ? "circuit_breakers.default." : "circuit_breakers.high.";
    for (const BreakerRow& row :
         {BreakerRow{"cx_open", "remaining_cx", kConnections, thresholds.max_connections},
          BreakerRow{"cx_pool_open", "remaining_cx_pools", kConnectionPools, thresholds.max_connection_pools},
          BreakerRow{"rq_pending_open", "remaining_pending", kPendingRequests, thresholds.max_pending_requests},
          BreakerRow{"rq_open", "remaining_rq", kRequests, thresholds.max_requests},
          BreakerRow{"rq_retry_open", "remaining_retries", kRetries, retry_limit(cell, priority, thresholds)}}) {
      const std::int64_t taken = cell.breakers[priority].of(row.resource).taken.load(std::memory_order_relaxed);
      collector.gauge(prefix + std::string(row.open), taken >= row.limit ? 1 : 0);
      if (!thresholds.track_remaining) continue;
      // Of a budget nothing can be said to remain, as in Envoy: it moves with every request.
      const bool is_budget = row.resource == kRetries && thresholds.retry_budget.has_value();
      const std::int64_t remaining = std::max<std::int64_t>(row.limit - in_use(cell, priority, row.resource), 0);
      collector.gauge(prefix + std::string(row.remaining), is_budget ? 0 : remaining);
    }
  }
}

/// visit(filters) for what each level says of HTTP filters.
template <typename Visit>
void for_each_level(const config::RouteTable& table, Visit&& visit) {
  visit(table.filters);
  for (const config::VirtualHost& host : table.virtual_hosts) {
    visit(host.filters);
    for (const config::Route& route : host.routes) {
      visit(route.filters);
      const auto* forward = std::get_if<config::ForwardAction>(&route.action);
      if (forward == nullptr) continue;
      for (const config::WeightedCluster& cluster : forward->clusters) visit(cluster.filters);
    }
  }
}

void collect_outlier_detection(const report::ClusterCell& cell, CellCollector& collector) {
#define MR_COLLECT_COUNTER(name)                                                     \
  {                                                                                  \
    std::uint64_t value = 0;                                                         \
    for (const auto& stats : cell.per_worker) value += stats.outlier.name.value();   \
    collector.counter("outlier_detection." #name, static_cast<std::int64_t>(value)); \
  }
  MR_OUTLIER_STATS(MR_COLLECT_COUNTER, , )
#undef MR_COLLECT_COUNTER
  collector.gauge("outlier_detection.ejections_active", cell.outlier.ejected.load(std::memory_order_relaxed));
}

void collect_membership(const config::Cluster& cluster, CellCollector& collector) {
  const auto count = [&](config::EndpointHealth health) {
    return std::ranges::count(cluster.endpoints, health, config::health_of);
  };
  collector.gauge("membership_total", static_cast<std::int64_t>(cluster.endpoints.size()));
  collector.gauge("membership_healthy", count(config::EndpointHealth::kHealthy));
  collector.gauge("membership_degraded", count(config::EndpointHealth::kDegraded));
  collector.gauge("membership_excluded", count(config::EndpointHealth::kExcluded));
  if (cluster.subsets != nullptr) {
    collector.gauge("lb_subsets_active", static_cast<std::int64_t>(cluster.subsets->subsets.size()));
  }
}

// Of the filters that have cells of their own, in the connection manager and on its routes.
template <typename FirstTime>
void collect_filter_cells(const config::HttpConnectionManager& manager, FirstTime&& first_time, std::vector<Stat>& out) {
  const auto collect_one = [&](const auto& config) {
    if constexpr (std::is_same_v<decltype(config), const config::Rbac&>) {
      collect_rbac(config, manager.stat_prefix, first_time, out);
    } else if constexpr (requires { *config.cell; }) {
      if (first_time(config.cell.get())) collect(*config.cell, out);
    }
  };
  for (const config::HttpFilter& filter : manager.filters) std::visit(collect_one, filter.config);
  if (manager.routes == nullptr) return;
  for_each_level(*manager.routes, [&](const config::RouteFilters& filters) {
    for (const config::RouteFilter& filter : filters.entries) std::visit(collect_one, filter.config);
  });
}

void collect_cells(const config::Snapshot& snapshot, std::vector<Stat>& out) {
  std::vector<const void*> seen;  // several listeners and chains may share a stat_prefix, and then one cell
  const auto first_time = [&seen](const void* cell) {
    if (std::ranges::find(seen, cell) != seen.end()) return false;
    seen.push_back(cell);
    return true;
  };
  for (const auto& listener : snapshot.listeners) {
    const report::ListenerCell& cell = *listener->cell;
    if (first_time(&cell)) {
      const CellCollector collector(out, "listener." + cell.name + ".", "envoy_listener_",
                                    {{"envoy_listener_address", cell.name}});
      collect(cell, collector);
      if (std::ranges::any_of(listener->chains, [](const auto& chain) { return chain.tls != nullptr; })) {
        collect_tls(cell, collector);
      }
    }
    if (const report::InspectorCell* inspector = listener->inspection.cell.get(); inspector != nullptr && first_time(inspector)) {
      collect(*inspector, out);
    }
    for (const config::FilterChain& chain : listener->chains) {
      for (const config::NetworkFilter& filter : chain.network_filters) {
        if (const auto* rbac = std::get_if<config::Rbac>(&filter)) collect_rbac(*rbac, "", first_time, out);
      }
      if (chain.http() != nullptr) collect_filter_cells(*chain.http(), first_time, out);
      if (chain.http() != nullptr && first_time(chain.http()->cell.get())) {
        const report::HttpCell& http = *chain.http()->cell;
        collect(http, {out, "http." + http.name + ".", "envoy_http_", {{"envoy_http_conn_manager_prefix", http.name}}});
        collect_filters(http, *chain.http(), out);
      } else if (chain.tcp() != nullptr && first_time(chain.tcp()->cell.get())) {
        const report::TcpCell& tcp = *chain.tcp()->cell;
        collect(tcp, {out, "tcp." + tcp.name + ".", "envoy_tcp_", {{"envoy_tcp_prefix", tcp.name}}});
      }
    }
  }
  for (const auto& [name, cluster] : snapshot.clusters) {
    const std::string& shown = cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name;
    CellCollector collector(out, "cluster." + shown + ".", "envoy_cluster_", {{"envoy_cluster_name", shown}});
    collect(*cluster->cell, collector);
    if (std::ranges::any_of(cluster->endpoints, [](const auto& endpoint) { return endpoint.tls != nullptr; })) {
      collect_tls(*cluster->cell, collector);
    }
    collect_breakers(*cluster, collector);
    if (cluster->outlier_detection) collect_outlier_detection(*cluster->cell, collector);
    collect_membership(*cluster, collector);
  }
}

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

}  // namespace

std::uint64_t HistogramValue::total() const { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); }

double HistogramValue::quantile(double fraction) const {
  const std::uint64_t all = total();
  if (all == 0) return std::nan("");
  const double wanted = fraction * static_cast<double>(all);
  double below = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    const double lower = i == 0 ? 0 : report::Histogram::kBounds[i - 1];
    if (here > 0 && below + here >= wanted) {
      if (i == report::Histogram::kBounds.size()) return lower;
      return lower + (report::Histogram::kBounds[i] - lower) * std::max(0.0, wanted - below) / here;
    }
    below += here;
  }
  return report::Histogram::kBounds.back();
}

std::vector<Stat> collect_stats(const GatewayView& gateway) {
  std::vector<Stat> stats;
  if (const auto snapshot = gateway.snapshot()) collect_cells(*snapshot, stats);
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
  CellCollector secrets(stats, "millrace.secrets.", "millrace_secrets_", {});
  secrets.counter("updated", static_cast<std::int64_t>(gateway.secrets().updated()));
  secrets.counter("refused", static_cast<std::int64_t>(gateway.secrets().refused()));
  std::ranges::sort(stats, {}, &Stat::name);
  return stats;
}

bool apply_filter(const StatFilter& filter, std::vector<Stat>& stats, std::string& error) {
  if (filter.type != "All" && filter.type != "Counters" && filter.type != "Gauges" && filter.type != "Histograms") {
    error = "type must be All, Counters, Gauges or Histograms, not \"" + filter.type + "\"";
    return false;
  }
  const RE2 expression(filter.expression, RE2::Quiet);
  if (!expression.ok()) {
    error = "filter is not a regular expression: " + expression.error();
    return false;
  }
  std::erase_if(stats, [&](const Stat& stat) {
    if (filter.type == "Counters" && stat.kind != StatKind::kCounter) return true;
    if (filter.type == "Gauges" && stat.kind != StatKind::kGauge) return true;
    if (filter.type == "Histograms" && stat.kind != StatKind::kHistogram) return true;
    const bool used = stat.kind == StatKind::kHistogram ? stat.histogram.total() > 0 : stat.value != 0;
    if (filter.used_only && !used) return true;
    return !filter.expression.empty() && !RE2::PartialMatch(stat.name, expression);
  });
  return true;
}

}  // namespace millrace::agent
