// envoy.config.cluster.v3.Cluster with its ClusterLoadAssignment and HttpProtocolOptions -> config::Cluster.
#include <limits>
#include <utility>

#include "control-agent/translate_circuit_breakers.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_outlier_detection.h"
#include "control-agent/translate_tls.h"
#include "dataplane/base/limits.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace millrace::agent {

namespace cluster_api = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
namespace endpoint_api = envoy::config::endpoint::v3;
using cluster_api::Cluster;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

namespace {

constexpr std::string_view kHttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
constexpr std::uint32_t kMaxEndpointsPerCluster = 100'000;

config::LoadBalancing translate_policy(const Cluster& cluster, const std::string& path, Diagnostics& diagnostics) {
  switch (cluster.lb_policy()) {
    case Cluster::ROUND_ROBIN: return config::LoadBalancing::kRoundRobin;
    case Cluster::LEAST_REQUEST: return config::LoadBalancing::kLeastRequest;
    case Cluster::RANDOM: return config::LoadBalancing::kRandom;
    default:
      diagnostics.error(join_path(path, "lb_policy"), Cluster::LbPolicy_Name(cluster.lb_policy()) +
                                                          " is not supported yet: use ROUND_ROBIN, LEAST_REQUEST or RANDOM");
      return config::LoadBalancing::kRoundRobin;
  }
}

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
  if (options.has_max_stream_duration()) {
    diagnostics.error(join_path(path, "max_stream_duration"), "is not supported yet for clusters: use the route's timeout");
  }
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

// As omit_canary_hosts asks: "envoy.lb" says "canary: true".
bool is_canary(const core::Metadata& metadata) {
  const auto values = metadata.filter_metadata().find("envoy.lb");
  if (values == metadata.filter_metadata().end()) return false;
  const auto canary = values->second.fields().find("canary");
  return canary != values->second.fields().end() && canary->second.bool_value();
}

void translate_endpoint(const endpoint_api::LbEndpoint& source, const core::Metadata& locality, const std::string& path,
                        const UpstreamSockets& sockets, config::Cluster& out, TranslateContext& context) {
  const std::string endpoint_path = join_path(path, "endpoint");
  const auto address = translate_address(source.endpoint().address(), join_path(endpoint_path, "address"), AddressUse::kEndpoint,
                                         context.diagnostics);
  if (!address) return;
  config::Endpoint endpoint;
  endpoint.address = *address;
  endpoint.hostname = source.endpoint().hostname();
  if (source.has_load_balancing_weight()) endpoint.weight = source.load_balancing_weight().value();
  endpoint.healthy = source.health_status() == core::UNKNOWN || source.health_status() == core::HEALTHY ||
                     source.health_status() == core::DEGRADED;
  endpoint.canary = is_canary(source.metadata());
  endpoint.tls = sockets.choose(source.metadata(), locality);
  endpoint.cell = context.cells.endpoints.get(out.name + "|" + address->to_string());
  if (endpoint.healthy) out.healthy_weight += endpoint.weight;
  out.endpoints.push_back(std::move(endpoint));
}

void translate_assignment(const endpoint_api::ClusterLoadAssignment& assignment, const std::string& path,
                          const UpstreamSockets& sockets, config::Cluster& out, TranslateContext& context) {
  const std::string list = join_path(path, "endpoints");
  std::uint64_t weight = 0;
  std::size_t count = 0;
  for (int i = 0; i < assignment.endpoints_size(); ++i) {
    const auto& locality = assignment.endpoints(i);
    const std::string lb_path = join_path(index_path(list, static_cast<std::size_t>(i)), "lb_endpoints");
    for (int k = 0; k < locality.lb_endpoints_size(); ++k) {
      const auto& source = locality.lb_endpoints(k);
      weight += source.has_load_balancing_weight() ? source.load_balancing_weight().value() : 1;
      if (++count > kMaxEndpointsPerCluster) continue;
      translate_endpoint(source, locality.metadata(), index_path(lb_path, static_cast<std::size_t>(k)), sockets, out, context);
    }
  }
  if (count > kMaxEndpointsPerCluster) {
    context.diagnostics.error(
        list, "holds " + std::to_string(count) + " endpoints, more than " + std::to_string(kMaxEndpointsPerCluster));
  }
  if (weight > std::numeric_limits<std::uint32_t>::max()) {
    context.diagnostics.error(list, "the sum of the endpoints' weights must be at most 4294967295");
  }
}

}  // namespace

std::shared_ptr<const config::Cluster> translate_cluster(const Cluster& cluster, const std::string& path,
                                                         TranslateContext& context) {
  auto& diagnostics = context.diagnostics;
  auto out = std::make_shared<config::Cluster>();
  out->name = cluster.name();
  out->alt_stat_name = cluster.alt_stat_name();
  if (cluster.cluster_discovery_type_case() == Cluster::kType && cluster.type() != Cluster::STATIC) {
    diagnostics.error(join_path(path, "type"), Cluster::DiscoveryType_Name(cluster.type()) +
                                                   " is not supported yet: only STATIC clusters with a load_assignment are");
  }
  if (cluster.has_connect_timeout()) {
    out->connect_timeout = translate_duration(cluster.connect_timeout(), join_path(path, "connect_timeout"), diagnostics);
  }
  out->load_balancing = translate_policy(cluster, path, diagnostics);
  if (cluster.least_request_lb_config().has_choice_count()) {
    out->least_request_choices = cluster.least_request_lb_config().choice_count().value();
  }
  if (cluster.common_lb_config().healthy_panic_threshold().value() != 0) {
    diagnostics.error(join_path(path, "common_lb_config.healthy_panic_threshold"),
                      "must be 0: there is no panic mode yet, unhealthy endpoints are never chosen");
  }
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
  const UpstreamSockets sockets(cluster, path, context);
  translate_assignment(cluster.load_assignment(), join_path(path, "load_assignment"), sockets, *out, context);
  out->cell = context.cells.clusters.get(out->name);
  return out;
}

}  // namespace millrace::agent
