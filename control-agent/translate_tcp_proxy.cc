// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy -> config::TcpProxy.
#include <algorithm>
#include <limits>
#include <utility>

#include "control-agent/translate_common.h"
#include "control-agent/translate_filter_chain.h"
#include "control-agent/translate_http.h"
#include "control-agent/translate_subsets.h"

namespace millrace::agent {

using TcpProxyMessage = envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

namespace {

// As in Envoy, the configuration stands even so: a control plane may name the cluster later.
void warn_of_unknown_cluster(const std::string& name, const std::string& path, TranslateContext& context) {
  if (!name.empty() && !(context.has_cluster && context.has_cluster(name))) {
    context.diagnostics.warning(path, "there is no cluster \"" + name + "\": its connections will be closed (NC)");
  }
}

void translate_clusters(const TcpProxyMessage& proxy, const std::string& path, config::TcpProxy& out, TranslateContext& context) {
  std::uint64_t total = 0;
  if (proxy.has_weighted_clusters()) {
    const std::string list = join_path(path, "weighted_clusters.clusters");
    for (int i = 0; i < proxy.weighted_clusters().clusters_size(); ++i) {
      const auto& cluster = proxy.weighted_clusters().clusters(i);
      warn_of_unknown_cluster(cluster.name(), join_path(index_path(list, static_cast<std::size_t>(i)), "name"), context);
      out.clusters.push_back({.name = cluster.name(),
                              .weight = cluster.weight(),
                              .metadata_match = translate_metadata_match(proxy.metadata_match(), cluster.metadata_match())});
      total += cluster.weight();
    }
    if (total > std::numeric_limits<std::uint32_t>::max()) {
      context.diagnostics.error(list, "the sum of the weights must be at most 4294967295, is " + std::to_string(total));
      return;
    }
  } else {
    const std::string field = join_path(path, "cluster");
    if (proxy.cluster_specifier_case() == TcpProxyMessage::kCluster && proxy.cluster().empty()) {
      context.diagnostics.error(field, "must not be empty: it names the cluster that connections are passed on to");
    }
    warn_of_unknown_cluster(proxy.cluster(), field, context);
    out.clusters.push_back(
        {.name = proxy.cluster(), .weight = 1, .metadata_match = translate_metadata_match(proxy.metadata_match(), {})});
    total = 1;
  }
  out.total_weight = static_cast<std::uint32_t>(total);
}

// The options of now, or else the fields that they have replaced.
void translate_log_times(const TcpProxyMessage& proxy, const std::string& path, config::TcpProxy& out, Diagnostics& diagnostics) {
  const auto interval = [&](const google::protobuf::Duration& duration, std::string_view field) {
    constexpr auto kShortest = Duration::milliseconds(1);
    out.log_interval = translate_duration(duration, join_path(path, field), diagnostics);
    if (out.log_interval < kShortest) diagnostics.error(join_path(path, field), "must be at least 0.001s");
  };
  if (proxy.has_access_log_options()) {
    const auto& options = proxy.access_log_options();
    out.log_when_connected = options.flush_access_log_on_connected();
    if (options.has_access_log_flush_interval())
      interval(options.access_log_flush_interval(), "access_log_options.access_log_flush_interval");
    if (proxy.flush_access_log_on_connected() || proxy.has_access_log_flush_interval()) {
      diagnostics.error(
          join_path(path, "access_log_options"),
          "cannot be set together with flush_access_log_on_connected or access_log_flush_interval, which it replaces");
    }
    return;
  }
  out.log_when_connected = proxy.flush_access_log_on_connected();
  if (proxy.has_access_log_flush_interval()) interval(proxy.access_log_flush_interval(), "access_log_flush_interval");
}

}  // namespace

config::TcpProxy translate_tcp_proxy(const TcpProxyMessage& proxy, const std::string& path, TranslateContext& context) {
  config::TcpProxy out;
  out.stat_prefix = proxy.stat_prefix();
  translate_clusters(proxy, path, out, context);
  out.hash_source_ip = std::ranges::any_of(proxy.hash_policy(), [](const auto& policy) { return policy.has_source_ip(); });
  if (proxy.has_max_connect_attempts()) out.max_connect_attempts = proxy.max_connect_attempts().value();
  if (proxy.has_idle_timeout())
    out.idle_timeout = translate_duration(proxy.idle_timeout(), join_path(path, "idle_timeout"), context.diagnostics);
  if (proxy.has_max_downstream_connection_duration()) {
    out.max_connection_duration = translate_duration(proxy.max_downstream_connection_duration(),
                                                     join_path(path, "max_downstream_connection_duration"), context.diagnostics);
  }
  for (int i = 0; i < proxy.access_log_size(); ++i) {
    const std::string log = index_path(join_path(path, "access_log"), static_cast<std::size_t>(i));
    out.access_logs.push_back(translate_access_log(proxy.access_log(i), log, context));
  }
  translate_log_times(proxy, path, out, context.diagnostics);
  out.cell = context.cells.tcp.get(proxy.stat_prefix());
  return out;
}

}  // namespace millrace::agent
