// How a cluster balances and its endpoints are translate_load_balancing.h and translate_assignment.h.
#include "control-agent/translate_cluster.h"

#include <utility>

#include "control-agent/field_table.h"
#include "control-agent/translate_aggregate.h"
#include "control-agent/translate_assignment.h"
#include "control-agent/translate_circuit_breakers.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_health_check.h"
#include "control-agent/translate_load_balancing.h"
#include "control-agent/translate_original_dst.h"
#include "control-agent/translate_outlier_detection.h"
#include "control-agent/translate_tls.h"
#include "control-agent/translate_upstream_connection.h"
#include "control-agent/xds/server_plan.h"
#include "dataplane/base/limits.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace millrace::agent {

namespace cluster_api = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
using cluster_api::Cluster;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

namespace {

constexpr std::string_view kHttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

void translate_http(const core::HttpProtocolOptions& options, const std::string& path, config::UpstreamHttpOptions& out,
                    Diagnostics& diagnostics) {
  if (options.has_idle_timeout())
    out.idle_timeout = translate_duration(options.idle_timeout(), join_path(path, "idle_timeout"), diagnostics);
  if (options.has_max_connection_duration()) {
    const auto duration =
        translate_duration(options.max_connection_duration(), join_path(path, "max_connection_duration"), diagnostics);
    out.max_connection_duration = duration == Duration() ? Duration::infinite() : duration;
  }
  if (options.has_max_requests_per_connection()) out.max_requests_per_connection = options.max_requests_per_connection().value();
  if (options.has_max_headers_count()) {
    out.max_headers_count = options.max_headers_count().value();
    if (out.max_headers_count > limits::kMaxHeaderCount) {
      diagnostics.error(join_path(path, "max_headers_count"), "must be at most " + std::to_string(limits::kMaxHeaderCount) +
                                                                  ", is " + std::to_string(out.max_headers_count));
    }
  }
  if (options.has_max_stream_duration())
    out.max_stream_duration =
        translate_duration(options.max_stream_duration(), join_path(path, "max_stream_duration"), diagnostics);
}

void translate_http_options(const Cluster& cluster, const std::string& path, config::Cluster& out, Diagnostics& diagnostics) {
  if (cluster.has_max_requests_per_connection())
    out.http.max_requests_per_connection = cluster.max_requests_per_connection().value();
  if (cluster.has_common_http_protocol_options()) {
    translate_http(cluster.common_http_protocol_options(), join_path(path, "common_http_protocol_options"), out.http,
                   diagnostics);
  }
  const std::string map_path = join_path(path, "typed_extension_protocol_options");
  for (const auto& [key, any] : cluster.typed_extension_protocol_options()) {
    const std::string entry_path = key_path(map_path, key);
    if (key != kHttpOptionsKey) {
      diagnostics.error(entry_path, "is not supported: the only key is " + std::string(kHttpOptionsKey));
    } else if (const auto options = unpack<HttpProtocolOptions>(any)) {
      if (cluster.has_common_http_protocol_options() || cluster.has_http_protocol_options()) {
        diagnostics.error(entry_path,
                          "cannot be set together with common_http_protocol_options or http_protocol_options, which it replaces");
      }
      translate_http(options->common_http_protocol_options(), join_path(entry_path, "common_http_protocol_options"), out.http,
                     diagnostics);
    }
  }
}

// That what belongs to other types is not set.
void check_type(const Cluster& cluster, const std::string& path, TranslateContext& context) {
  Diagnostics& diagnostics = context.diagnostics;
  const bool discovered = cluster.type() == Cluster::EDS;
  if (discovered && !cluster.eds_cluster_config().has_eds_config()) {
    diagnostics.error(join_path(path, "eds_cluster_config.eds_config"), "must be set for a cluster of type EDS");
  }
  if (discovered && cluster.has_load_assignment()) {
    diagnostics.error(join_path(path, "load_assignment"), "is not used by a cluster of type EDS: leave it out");
  }
  if (discovered) {
    check_config_source(cluster.eds_cluster_config().eds_config(), join_path(path, "eds_cluster_config.eds_config"),
                        context.bootstrap, diagnostics);
  }
  if (!discovered && cluster.has_eds_cluster_config()) {
    diagnostics.error(join_path(path, "eds_cluster_config"), "is only used by a cluster of type EDS: set type, or leave it out");
  }
}

std::shared_ptr<const ClusterFrame> plain_frame() {
  static const auto kPlain = std::make_shared<const ClusterFrame>();
  return kPlain;
}

}  // namespace

TranslatedCluster translate_cluster(const Cluster& cluster, const std::string& path, TranslateContext& context) {
  auto& diagnostics = context.diagnostics;
  auto frame = std::make_shared<ClusterFrame>(cluster, path, context);
  auto out = std::make_shared<config::Cluster>();
  out->name = cluster.name();
  out->alt_stat_name = cluster.alt_stat_name();
  out->added_via_api = context.is_dynamic;
  for (int i = 0; i < cluster.filters_size(); ++i) {
    const google::protobuf::Any& filter = cluster.filters(i).typed_config();
    if (!tolerated(filter).empty()) continue;
    diagnostics.error(join_path(index_path(join_path(path, "filters"), static_cast<std::size_t>(i)), "typed_config"),
                      "the type \"" + filter.type_url() + "\" is not supported: clusters have no network filters");
  }
  check_type(cluster, path, context);
  out->members = translate_aggregate(cluster, path, diagnostics);
  out->original_dst = translate_original_dst(cluster, path, frame->sockets, diagnostics);
  frame->dns = translate_dns(cluster, path, context);
  if (cluster.has_connect_timeout()) {
    out->connect_timeout = translate_duration(cluster.connect_timeout(), join_path(path, "connect_timeout"), diagnostics);
  }
  if (cluster.has_upstream_connection_options()) {
    translate_upstream_connection(cluster.upstream_connection_options(), join_path(path, "upstream_connection_options"), *out,
                                  diagnostics);
  }
  frame->plan = translate_load_balancing(cluster, path, *out, diagnostics);
  if (cluster.has_per_connection_buffer_limit_bytes()) {
    out->buffer_limit_bytes = cluster.per_connection_buffer_limit_bytes().value();
    if (out->buffer_limit_bytes == 0)
      diagnostics.error(join_path(path, "per_connection_buffer_limit_bytes"), "must be at least 1");
  }
  translate_http_options(cluster, path, *out, diagnostics);
  if (cluster.has_circuit_breakers())
    out->breakers = translate_circuit_breakers(cluster.circuit_breakers(), join_path(path, "circuit_breakers"), diagnostics);
  if (cluster.has_outlier_detection()) {
    out->outlier_detection =
        translate_outlier_detection(cluster.outlier_detection(), join_path(path, "outlier_detection"), diagnostics);
  }
  out->health_check = translate_health_check(cluster, path, context);
  out->cell = context.cells.clusters.get(out->name);
  frame->secrets = std::move(context.secret_names);
  return {.frame = frame->is_plain() ? plain_frame() : std::move(frame), .cluster = std::move(out)};
}

std::shared_ptr<const config::Cluster> fill_cluster(const ClusterFrame& frame, const config::Cluster& cluster,
                                                    const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment,
                                                    const std::string& path, const ResolvedNames* names,
                                                    TranslateContext& context) {
  auto out = std::make_shared<config::Cluster>(cluster);
  out->endpoints.clear();
  out->localities.clear();
  out->hash_tables.clear();
  out->subsets = nullptr;
  out->healthy_weight = 0;
  BalancingPlan plan = frame.plan;
  if (plan.subsets != nullptr)
    plan.subsets = std::make_shared<config::Subsets>(*plan.subsets);  // its endpoints are indexed there
  const EndpointNames endpoint_names{
      .plan = frame.dns ? &*frame.dns : nullptr,
      .resolved = names,
  };
  translate_assignment(assignment, path, frame.sockets, frame.targets, plan, endpoint_names, *out, context);
  return out;
}

}  // namespace millrace::agent
