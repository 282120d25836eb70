#include "control-agent/translate_route_action.h"

#include <optional>
#include <string_view>
#include <utility>

#include "control-agent/filters/http_filters.h"
#include "control-agent/translate_circuit_breakers.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_hash_policy.h"
#include "control-agent/translate_internal_redirect.h"
#include "control-agent/translate_rate_limit.h"
#include "control-agent/translate_retry.h"
#include "control-agent/translate_route_match.h"
#include "control-agent/translate_subsets.h"
#include "control-agent/translate_upgrades.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;

namespace {

void check_cluster(const std::string& name, const std::string& path, const RouteScope& scope, TranslateContext& context) {
  if (!scope.validate_clusters || (context.has_cluster && context.has_cluster(name))) return;
  context.diagnostics.error(path, "there is no cluster \"" + name + "\"; define it, or set validate_clusters to false");
}

constexpr std::uint32_t kMostWeight = std::numeric_limits<std::uint32_t>::max();  // of all clusters of a route

void translate_weights(const route::WeightedCluster& weighted, const envoy::config::core::v3::Metadata& route_metadata,
                       const std::string& path, const RouteScope& scope, config::ForwardAction& out, TranslateContext& context) {
  const std::string list = join_path(path, "clusters");
  out.random_value_header = lower(weighted.header_name());
  for (int i = 0; i < weighted.clusters_size(); ++i) {
    const auto& cluster = weighted.clusters(i);
    const std::string cluster_path = index_path(list, static_cast<std::size_t>(i));
    config::WeightedCluster target;
    target.name = cluster.name();
    target.name_header = lower(cluster.cluster_header());
    if (target.name.empty() == target.name_header.empty()) {
      context.diagnostics.error(join_path(cluster_path, "name"), target.name.empty()
                                                                     ? "must be set, or else cluster_header"
                                                                     : "cannot be set together with cluster_header: choose one");
    } else if (!target.name.empty()) {
      check_cluster(target.name, join_path(cluster_path, "name"), scope, context);
    }
    if (!cluster.has_weight()) context.diagnostics.error(join_path(cluster_path, "weight"), "must be set");
    target.weight = cluster.weight().value();
    target.headers = translate_mutations(cluster, cluster_path, context.diagnostics);
    target.host_rewrite = cluster.host_rewrite_literal();
    target.metadata_match = translate_metadata_match(route_metadata, cluster.metadata_match());
    target.filters =
        translate_route_filters(cluster.typed_per_filter_config(), join_path(cluster_path, "typed_per_filter_config"), context);
    out.total_weight += target.weight;
    out.clusters.push_back(std::move(target));
  }
  if (weighted.clusters_size() > 0 && out.total_weight == 0)
    context.diagnostics.error(list, "the sum of the weights must be greater than 0");
  if (out.total_weight > kMostWeight) context.diagnostics.error(list, "the sum of the weights must be at most 4294967295");
}

void translate_connect(const route::RouteAction& action, const std::string& path, config::ForwardAction& out,
                       Diagnostics& diagnostics) {
  for (int i = 0; i < action.upgrade_configs_size(); ++i) {
    const auto& upgrade = action.upgrade_configs(i);
    if (!upgrade.has_connect_config()) continue;
    out.ends_connect = true;
    if (lower(upgrade.upgrade_type()) == "connect") continue;
    diagnostics.error(join_path(index_path(join_path(path, "upgrade_configs"), static_cast<std::size_t>(i)), "connect_config"),
                      "is only used by the upgrade_type CONNECT: leave it out");
  }
}

void translate_path_rewrites(const route::RouteAction& action, const route::RouteMatch& match, const std::string& path,
                             config::ForwardAction& out, TranslateContext& context) {
  if (!action.prefix_rewrite().empty()) out.prefix_rewrite = action.prefix_rewrite();
  const int given =
      (out.prefix_rewrite ? 1 : 0) + (action.has_regex_rewrite() ? 1 : 0) + (action.has_path_rewrite_policy() ? 1 : 0);
  if (given > 1) {
    context.diagnostics.error(path, "prefix_rewrite, regex_rewrite and path_rewrite_policy exclude each other: choose one");
  } else if (action.has_regex_rewrite()) {
    out.regex_rewrite = translate_rewrite(action.regex_rewrite(), join_path(path, "regex_rewrite"), context);
  } else if (action.has_path_rewrite_policy()) {
    out.regex_rewrite =
        translate_path_rewrite_policy(action.path_rewrite_policy(), match, join_path(path, "path_rewrite_policy"), context);
  }
}

void translate_host_rewrites(const route::RouteAction& action, const std::string& path, config::ForwardAction& out,
                             TranslateContext& context) {
  out.host_rewrite_literal = action.host_rewrite_literal();
  out.host_rewrite_header = lower(action.host_rewrite_header());
  out.auto_host_rewrite = action.auto_host_rewrite().value();
  if (action.has_host_rewrite_path_regex()) {
    out.host_rewrite_path =
        translate_rewrite(action.host_rewrite_path_regex(), join_path(path, "host_rewrite_path_regex"), context);
  }
  out.append_x_forwarded_host = action.append_x_forwarded_host();
}

void translate_times(const route::RouteAction& action, const std::string& path, config::ForwardAction& out,
                     Diagnostics& diagnostics) {
  const auto duration = [&](const google::protobuf::Duration& source, std::string_view field) {
    return translate_duration(source, join_path(path, field), diagnostics);
  };
  if (action.has_timeout()) out.timeout = duration(action.timeout(), "timeout");
  if (action.has_idle_timeout()) out.idle_timeout = duration(action.idle_timeout(), "idle_timeout");
  if (action.has_max_grpc_timeout()) {
    out.grpc_timeout = config::GrpcTimeout{.max = duration(action.max_grpc_timeout(), "max_grpc_timeout"),
                                           .offset = duration(action.grpc_timeout_offset(), "grpc_timeout_offset")};
  }
  if (!action.has_max_stream_duration()) return;
  const auto& stream = action.max_stream_duration();
  auto& out_stream = out.stream_duration.emplace();
  if (stream.has_max_stream_duration())
    out_stream.limit = duration(stream.max_stream_duration(), "max_stream_duration.max_stream_duration");
  if (stream.has_grpc_timeout_header_max())
    out_stream.grpc_header_max = duration(stream.grpc_timeout_header_max(), "max_stream_duration.grpc_timeout_header_max");
  out_stream.grpc_header_offset = duration(stream.grpc_timeout_header_offset(), "max_stream_duration.grpc_timeout_header_offset");
}

// "PREFIX.CLUSTER" in the runtime replaces a weight. Weights that cannot be drawn by, taken together, are left as configured.
void apply_runtime_weights(const std::string& prefix, const std::string& path, config::ForwardAction& out,
                           TranslateContext& context) {
  std::vector<std::uint64_t> weights;
  std::uint64_t total = 0;
  for (const config::WeightedCluster& cluster : out.clusters) {
    const std::string key = cluster.name.empty() ? std::string() : prefix + "." + cluster.name;
    const std::uint64_t weight =
        std::min<std::uint64_t>(runtime_number(key, cluster.weight, context), std::uint64_t{kMostWeight} + 1);
    total += weights.emplace_back(weight);
  }
  if (total == 0 || total > kMostWeight) {
    context.diagnostics.warning(path, "the runtime's weights are left: their sum is " + std::to_string(total) +
                                          ", and has to be from 1 to " + std::to_string(kMostWeight));
    return;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) out.clusters[i].weight = static_cast<std::uint32_t>(weights[i]);
  out.total_weight = total;
}

void translate_clusters(const route::RouteAction& action, const std::string& path, const RouteScope& scope,
                        config::ForwardAction& out, TranslateContext& context) {
  if (action.has_weighted_clusters()) {
    translate_weights(action.weighted_clusters(), action.metadata_match(), join_path(path, "weighted_clusters"), scope, out,
                      context);
    if (const auto& prefix = action.weighted_clusters().runtime_key_prefix(); !prefix.empty())
      apply_runtime_weights(prefix, join_path(path, "weighted_clusters.runtime_key_prefix"), out, context);
    return;
  }
  auto& cluster = out.clusters.emplace_back();
  cluster.weight = 1;
  cluster.metadata_match = translate_metadata_match(action.metadata_match(), {});
  out.total_weight = 1;
  cluster.name = action.cluster();
  cluster.name_header = lower(action.cluster_header());
  if (!cluster.name.empty()) check_cluster(cluster.name, join_path(path, "cluster"), scope, context);
}

}  // namespace

std::shared_ptr<const std::vector<config::MirrorPolicy>> translate_mirrors(const MirrorPolicies& policies,
                                                                           const std::string& path, const RouteScope& scope,
                                                                           TranslateContext& context) {
  if (policies.empty()) return scope.mirrors;
  auto out = std::make_shared<std::vector<config::MirrorPolicy>>();
  for (int i = 0; i < policies.size(); ++i) {
    const auto& policy = policies[i];
    const std::string at = index_path(path, static_cast<std::size_t>(i));
    config::MirrorPolicy& mirror = out->emplace_back();
    mirror.cluster = policy.cluster();
    mirror.cluster_header = lower(policy.cluster_header());
    if (mirror.cluster.empty() == mirror.cluster_header.empty()) {
      context.diagnostics.error(join_path(at, "cluster"), mirror.cluster.empty()
                                                              ? "must be set, or else cluster_header"
                                                              : "cannot be set together with cluster_header: choose one");
    } else if (!mirror.cluster.empty()) {
      check_cluster(mirror.cluster, join_path(at, "cluster"), scope, context);
    }
    if (policy.has_runtime_fraction()) mirror.fraction = translate_fraction(policy.runtime_fraction(), context);
    mirror.append_suffix = !policy.disable_shadow_host_suffix_append();
  }
  return out;
}

config::ForwardAction translate_forward(const route::RouteAction& action, const route::RouteMatch& match, const std::string& path,
                                        const RouteScope& scope, TranslateContext& context) {
  config::ForwardAction out;
  translate_clusters(action, path, scope, out, context);
  switch (action.cluster_not_found_response_code()) {
    case route::RouteAction::NOT_FOUND: out.cluster_not_found_status = 404; break;
    case route::RouteAction::INTERNAL_SERVER_ERROR: out.cluster_not_found_status = 500; break;
    default: break;
  }
  translate_path_rewrites(action, match, path, out, context);
  translate_host_rewrites(action, path, out, context);
  translate_times(action, path, out, context.diagnostics);
  const Upgrades upgrades = translate_upgrades(action.upgrade_configs(), join_path(path, "upgrade_configs"), context.diagnostics);
  out.websocket = upgrades.websocket;
  out.connect = upgrades.connect;
  translate_connect(action, path, out, context.diagnostics);
  out.hash_policies = translate_hash_policies(action, path, context);
  out.priority = translate_priority(action.priority());
  out.retry = action.has_retry_policy() ? translate_retry_policy(action.retry_policy(), join_path(path, "retry_policy"), context)
                                        : scope.retry;
  out.hedge_on_try_timeout =
      action.has_hedge_policy() ? action.hedge_policy().hedge_on_per_try_timeout() : scope.hedge_on_try_timeout;
  out.mirrors = translate_mirrors(action.request_mirror_policies(), join_path(path, "request_mirror_policies"), scope, context);
  out.redirects = translate_internal_redirects(action, path, context);
  out.rate_limits = translate_rate_limits(action.rate_limits(), join_path(path, "rate_limits"), context);
  out.include_virtual_host_rate_limits = action.include_vh_rate_limits().value();
  out.retry_buffer_limit_bytes = scope.retry_buffer_limit_bytes;
  return out;
}

}  // namespace millrace::agent
