// Statistics of listeners, connection managers, filters and TCP proxies.
#include <algorithm>
#include <type_traits>
#include <variant>

#include "control-agent/admin/stat_collector.h"

namespace millrace::agent {
namespace {

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
// Envoy has no label for the prefix.
void collect(const report::BandwidthLimitCell& cell, std::vector<Stat>& out) {
  const auto collect_direction = [&](const std::string& direction, auto block) {
    CellCollector collector(out, cell.name + ".http_bandwidth_limit." + direction + "_",
                            "envoy_" + cell.name + "_http_bandwidth_limit_" + direction + "_", {});
#define MR_COLLECT_BLOCK_GAUGE(name) collector.gauge(#name, sum_block(cell, block, [](const auto& b) { return b.name.value(); }));
#define MR_COLLECT_BLOCK_HISTOGRAM(name) collector.histogram(#name, sum_histogram(cell, block, &report::BandwidthStats::name));
    MR_BANDWIDTH_STATS(MR_COLLECT_BLOCK_COUNTER, MR_COLLECT_BLOCK_GAUGE, MR_COLLECT_BLOCK_HISTOGRAM)
#undef MR_COLLECT_BLOCK_GAUGE
#undef MR_COLLECT_BLOCK_HISTOGRAM
  };
  collect_direction("request", &report::BandwidthLimitStats::request);
  collect_direction("response", &report::BandwidthLimitStats::response);
}
// Each version has a block of its own.
void collect(const report::ProxyProtocolCell& cell, std::vector<Stat>& out) {
  using StatsType = report::ProxyProtocolStats;
  const std::string base = "proxy_proto." + (cell.name.empty() ? "" : cell.name + ".");
  const Labels labels = cell.name.empty() ? Labels() : Labels{{"envoy_proxy_protocol_prefix", cell.name}};
  {
    CellCollector collector(out, base, "envoy_proxy_proto_", labels);
    MR_PROXY_PROTOCOL_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
  }
  const auto collect_version = [&](const std::string& version, auto block) {
    Labels with_version = labels;
    with_version.emplace_back("envoy_proxy_protocol_version", version);
    CellCollector collector(out, base + "versions." + version + ".", "envoy_proxy_proto_", with_version);
    MR_PROXY_VERSION_STATS(MR_COLLECT_BLOCK_COUNTER, , )
  };
  collect_version("v1", &StatsType::v1);
  collect_version("v2", &StatsType::v2);
}
#undef MR_COLLECT_BLOCK_COUNTER
void collect(const report::ConnectionLimitCell& cell, std::vector<Stat>& out) {
  using StatsType = report::ConnectionLimitStats;
  CellCollector collector(out, "connection_limit." + cell.name + ".", "envoy_connection_limit_",
                          {{"envoy_connection_limit_prefix", cell.name}});
  MR_CONNECTION_LIMIT_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
void collect(const report::NetworkRateLimitCell& cell, std::vector<Stat>& out) {
  using StatsType = report::NetworkRateLimitStats;
  CellCollector collector(out, "local_ratelimit." + cell.name + ".", "envoy_local_ratelimit_",
                          {{"envoy_local_network_ratelimit_prefix", cell.name}});
  MR_NETWORK_RATE_LIMIT_STATS(MR_COLLECT_COUNTER, MR_COLLECT_GAUGE, MR_COLLECT_HISTOGRAM)
}
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
#undef MR_COLLECT_COUNTER
#undef MR_COLLECT_GAUGE
#undef MR_COLLECT_HISTOGRAM

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
  const auto collect_table = [&](const std::shared_ptr<const config::RouteTable>& table) {
    if (table == nullptr) return;
    for_each_level(*table, [&](const config::RouteFilters& filters) {
      for (const config::RouteFilter& filter : filters.entries) std::visit(collect_one, filter.config);
    });
  };
  collect_table(manager.routes);
  if (manager.scoped == nullptr) return;
  for (const config::Scope& scope : manager.scoped->scopes) collect_table(scope.routes);
}

}  // namespace

void collect_listeners(const config::Snapshot& snapshot, std::vector<Stat>& out) {
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
    if (const auto& proxied = listener->inspection.proxy_protocol; proxied && first_time(proxied->cell.get()))
      collect(*proxied->cell, out);
    for (const config::FilterChain& chain : listener->chains) {
      for (const config::NetworkFilter& filter : chain.network_filters) {
        if (const auto* rbac = std::get_if<config::Rbac>(&filter)) {
          collect_rbac(*rbac, "", first_time, out);
        } else if (const auto* limit = std::get_if<config::ConnectionLimit>(&filter)) {
          if (first_time(limit->cell.get())) collect(*limit->cell, out);
        } else if (const auto* rate = std::get_if<config::ConnectionRateLimit>(&filter)) {
          if (first_time(rate->cell.get())) collect(*rate->cell, out);
        }
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
}

}  // namespace millrace::agent
