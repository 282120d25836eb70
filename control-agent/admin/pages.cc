#include "control-agent/admin/pages.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <map>
#include <ranges>
#include <set>

#include "control-agent/admin/messages.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

using envoy::admin::v3::HostHealthStatus;
using envoy::admin::v3::SimpleMetric;

// The statistics of one endpoint by name, summed over the workers.
std::map<std::string, SimpleMetric> endpoint_stats(const report::EndpointCell& cell) {
  std::map<std::string, SimpleMetric> sums;
  const auto add = [&sums](const char* name, SimpleMetric::Type type, auto value) {
    SimpleMetric& metric = sums[name];
    metric.set_name(name);
    metric.set_type(type);
    metric.set_value(metric.value() + static_cast<std::uint64_t>(value));
  };
#define MR_SUM_COUNTER(name) \
  for (const auto& stats : cell.per_worker) add(#name, SimpleMetric::COUNTER, stats.name.value());
#define MR_SUM_GAUGE(name) \
  for (const auto& stats : cell.per_worker) add(#name, SimpleMetric::GAUGE, stats.name.value());
#define MR_SUM_HISTOGRAM(name)
  MR_ENDPOINT_STATS(MR_SUM_COUNTER, MR_SUM_GAUGE, MR_SUM_HISTOGRAM)
#undef MR_SUM_COUNTER
#undef MR_SUM_GAUGE
#undef MR_SUM_HISTOGRAM
  return sums;
}

constexpr std::string_view kPriorities[] = {"default", "high"};  // by config::RoutingPriority

// Rates and thresholds as Envoy prints them: "95.5", "-1".
std::string rate_text(const std::atomic<double>& rate) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%g", rate.load(std::memory_order_relaxed));
  return {text.data(), static_cast<std::size_t>(length)};
}

// -1 where there is none.
double value_of(const std::atomic<double>& rate) { return rate.load(std::memory_order_relaxed); }

void set_thresholds(const config::CircuitBreakers& breakers, envoy::config::cluster::v3::CircuitBreakers& out) {
  for (std::size_t i = 0; i < config::kRoutingPriorities; ++i) {
    const config::BreakerThresholds& limits = breakers.thresholds[i];
    auto& entry = *out.add_thresholds();
    entry.set_priority(i > 0 ? envoy::config::core::v3::HIGH : envoy::config::core::v3::DEFAULT);
    entry.mutable_max_connections()->set_value(limits.max_connections);
    entry.mutable_max_pending_requests()->set_value(limits.max_pending_requests);
    entry.mutable_max_requests()->set_value(limits.max_requests);
    entry.mutable_max_retries()->set_value(limits.max_retries);
  }
}

constexpr std::int64_t kSecondsOfADay = 24 * 60 * 60;

google::protobuf::Timestamp timestamp_of(std::int64_t seconds_since_1970) {
  google::protobuf::Timestamp out;
  out.set_seconds(seconds_since_1970);
  return out;
}

void add_names(const std::vector<tls::SubjectName>& names, envoy::admin::v3::CertificateDetails& out) {
  for (const tls::SubjectName& name : names) {
    switch (name.kind) {
      case tls::NameKind::kDns: out.add_subject_alt_names()->set_dns(name.value); break;
      case tls::NameKind::kUri: out.add_subject_alt_names()->set_uri(name.value); break;
      case tls::NameKind::kIpAddress: out.add_subject_alt_names()->set_ip_address(name.value); break;
      case tls::NameKind::kEmail: break;  // Envoy's message has no field for it
    }
  }
}

void set_certificate(const tls::CertificateFacts& facts, const std::string& path, std::chrono::system_clock::time_point now,
                     envoy::admin::v3::CertificateDetails& out) {
  const std::int64_t left = facts.not_after - std::chrono::system_clock::to_time_t(now);
  out.set_path(path);
  out.set_serial_number(facts.serial);
  add_names(facts.names, out);
  out.set_days_until_expiration(static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0) / kSecondsOfADay));
  *out.mutable_valid_from() = timestamp_of(facts.not_before);
  *out.mutable_expiration_time() = timestamp_of(facts.not_after);
}

// Envoy's words for all reasons why an endpoint is avoided.
std::string health_flags(const config::Endpoint& endpoint) {
  using enum report::EndpointFault;
  std::string flags;
  if (endpoint.cell->has(kFailedHealthCheck)) flags += "/failed_active_hc";
  if (endpoint.cell->has(kEjected)) flags += "/failed_outlier_check";
  if (!endpoint.healthy && !endpoint.draining) flags += "/failed_eds_health";
  if (endpoint.cell->has(kDegraded)) flags += "/degraded_active_hc";
  if (endpoint.degraded) flags += "/degraded_eds_health";
  if (endpoint.cell->has(kAwaitsHealthCheck)) flags += "/pending_active_hc";
  if (endpoint.cell->has(kFailedAtOnce)) flags += "/excluded_via_immediate_hc_fail";
  if (endpoint.cell->has(kHealthCheckTimedOut)) flags += "/active_hc_timeout";
  if (endpoint.draining) flags += "/eds_status_draining";
  return flags.empty() ? "healthy" : flags;
}

void set_health(const config::Endpoint& endpoint, HostHealthStatus& out) {
  using enum report::EndpointFault;
  out.set_eds_health_status(endpoint.draining   ? envoy::config::core::v3::DRAINING
                            : !endpoint.healthy ? envoy::config::core::v3::UNHEALTHY
                            : endpoint.degraded ? envoy::config::core::v3::DEGRADED
                                                : envoy::config::core::v3::HEALTHY);
  out.set_failed_active_health_check(endpoint.cell->has(kFailedHealthCheck));
  out.set_failed_outlier_check(endpoint.cell->has(kEjected));
  out.set_failed_active_degraded_check(endpoint.cell->has(kDegraded));
  out.set_pending_active_hc(endpoint.cell->has(kAwaitsHealthCheck));
  out.set_excluded_via_immediate_hc_fail(endpoint.cell->has(kFailedAtOnce));
  out.set_active_hc_timeout(endpoint.cell->has(kHealthCheckTimedOut));
}

void set_host(const config::Cluster& cluster, const config::Endpoint& endpoint, envoy::admin::v3::HostStatus& out) {
  *out.mutable_address() = to_message(endpoint.address, endpoint.extras().pipe);
  for (auto& [name, metric] : endpoint_stats(*endpoint.cell)) *out.add_stats() = metric;
  set_health(endpoint, *out.mutable_health_status());
  const report::OutlierRecord& outlier = endpoint.cell->outlier.peek();
  if (const double rate = value_of(outlier.external.percent); rate >= 0) out.mutable_success_rate()->set_value(rate);
  if (const double rate = value_of(outlier.local.percent); rate >= 0) out.mutable_local_origin_success_rate()->set_value(rate);
  out.set_weight(endpoint.weight);
  out.set_hostname(endpoint.extras().hostname);
  out.set_priority(endpoint.priority);
  *out.mutable_locality() = to_message(config::locality_of(cluster, endpoint));
}

}  // namespace

std::string clusters_text(const config::Snapshot& snapshot) {
  std::string text;
  for (const auto& [name, cluster] : sorted_clusters(snapshot)) {
    const auto line = [&](const std::string& rest) { text.append(name).append("::").append(rest).append("\n"); };
    line("observability_name::" + (cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name));
    if (cluster->outlier_detection) {
      const report::OutlierShared& outlier = cluster->cell->outlier.peek();
      line("outlier::success_rate_average::" + rate_text(outlier.external.average));
      line("outlier::success_rate_ejection_threshold::" + rate_text(outlier.external.ejection));
      line("outlier::local_origin_success_rate_average::" + rate_text(outlier.local.average));
      line("outlier::local_origin_success_rate_ejection_threshold::" + rate_text(outlier.local.ejection));
    }
    for (std::size_t i = 0; i < config::kRoutingPriorities; ++i) {
      const config::BreakerThresholds& limits = cluster->breakers.thresholds[i];
      const std::string priority = std::string(kPriorities[i]) + "_priority::";
      line(priority + "max_connections::" + std::to_string(limits.max_connections));
      line(priority + "max_pending_requests::" + std::to_string(limits.max_pending_requests));
      line(priority + "max_requests::" + std::to_string(limits.max_requests));
      line(priority + "max_retries::" + std::to_string(limits.max_retries));
    }
    line(cluster->added_via_api ? "added_via_api::true" : "added_via_api::false");
    for (const config::Endpoint& endpoint : cluster->endpoints) {
      const std::string host = endpoint.address_text() + "::";
      for (const auto& [stat, metric] : endpoint_stats(*endpoint.cell)) line(host + stat + "::" + std::to_string(metric.value()));
      line(host + "hostname::" + endpoint.extras().hostname);
      line(host + "health_flags::" + health_flags(endpoint));
      line(host + "weight::" + std::to_string(endpoint.weight));
      const config::Locality& locality = config::locality_of(*cluster, endpoint);
      line(host + "region::" + locality.region);
      line(host + "zone::" + locality.zone);
      line(host + "sub_zone::" + locality.sub_zone);
      line(host + "canary::" + (endpoint.canary ? "true" : "false"));
      line(host + "priority::" + std::to_string(endpoint.priority));
      const report::OutlierRecord& outlier = endpoint.cell->outlier.peek();
      line(host + "success_rate::" + rate_text(outlier.external.percent));
      line(host + "local_origin_success_rate::" + rate_text(outlier.local.percent));
    }
  }
  return text;
}

envoy::admin::v3::Clusters clusters_message(const config::Snapshot& snapshot,
                                            const std::map<std::string, std::string>& service_names) {
  envoy::admin::v3::Clusters out;
  for (const auto& [name, cluster] : sorted_clusters(snapshot)) {
    auto& status = *out.add_cluster_statuses();
    status.set_name(name);
    status.set_observability_name(cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name);
    if (const auto service = service_names.find(name); service != service_names.end())
      status.set_eds_service_name(service->second);
    status.set_added_via_api(cluster->added_via_api);
    set_thresholds(cluster->breakers, *status.mutable_circuit_breakers());
    if (cluster->outlier_detection) {
      const report::OutlierShared& outlier = cluster->cell->outlier.peek();
      if (const double rate = value_of(outlier.external.ejection); rate > 0)
        status.mutable_success_rate_ejection_threshold()->set_value(rate);
      if (const double rate = value_of(outlier.local.ejection); rate > 0)
        status.mutable_local_origin_success_rate_ejection_threshold()->set_value(rate);
    }
    for (const config::Endpoint& endpoint : cluster->endpoints) set_host(*cluster, endpoint, *status.add_host_statuses());
  }
  return out;
}

std::string listeners_text(const config::Snapshot& snapshot) {
  std::string text;
  for (const auto& listener : snapshot.listeners) {
    for (const SocketAddress& address : listener->addresses)
      text += listener->name + "::" + listener->address_text(address) + "\n";
  }
  return text;
}

envoy::admin::v3::Listeners listeners_message(const config::Snapshot& snapshot) {
  envoy::admin::v3::Listeners out;
  for (const auto& listener : snapshot.listeners) {
    const auto message = [&](const SocketAddress& address) {
      const config::Pipe* pipe = listener->pipe_at(address);
      return to_message(address, pipe == nullptr ? std::string() : pipe->path);
    };
    auto& status = *out.add_listener_statuses();
    status.set_name(listener->name);
    *status.mutable_local_address() = message(listener->addresses.front());
    for (const SocketAddress& address : listener->addresses | std::views::drop(1))
      *status.add_additional_local_addresses() = message(address);
  }
  return out;
}

envoy::admin::v3::Certificates certificates_message(const std::vector<MadeContext>& contexts,
                                                    std::chrono::system_clock::time_point now) {
  envoy::admin::v3::Certificates out;
  for (const MadeContext& made : contexts) {
    auto& entry = *out.add_certificates();
    for (const auto& facts : made.context->authorities())
      set_certificate(facts, made.authorities_path, now, *entry.add_ca_cert());
    const auto& leaves = made.context->certificates();
    for (std::size_t i = 0; i < leaves.size(); ++i)
      set_certificate(leaves[i], made.chain_paths.at(i), now, *entry.add_cert_chain());
  }
  return out;
}

envoy::admin::v3::ServerInfo server_info_message(const GatewayView& gateway) {
  envoy::admin::v3::ServerInfo out;
  out.set_version(gateway.version());
  out.set_state(static_cast<envoy::admin::v3::ServerInfo::State>(gateway.state()));
  out.set_hot_restart_version(kHotRestartVersion);
  out.mutable_uptime_current_epoch()->set_seconds(gateway.uptime().count());
  out.mutable_uptime_all_epochs()->set_seconds(gateway.uptime().count());
  const CommandLine given = gateway.command_line();
  auto& options = *out.mutable_command_line_options();
  options.set_concurrency(given.concurrency);
  options.set_config_path(given.config_path);
  // Keys may stand in it; /config_dump has all the rest.
  if (given.has_config_yaml) options.set_config_yaml("[redacted]");
  options.set_allow_unknown_static_fields(given.allow_unknown_static_fields);
  options.set_reject_unknown_dynamic_fields(given.reject_unknown_dynamic_fields);
  options.set_log_level(given.log_level);
  options.set_log_path(given.log_path);
  options.set_service_cluster(given.service_cluster);
  options.set_service_node(given.service_node);
  options.mutable_drain_time()->set_seconds(given.drain_time.count());
  options.set_drain_strategy(given.drain_immediately ? envoy::admin::v3::CommandLineOptions::Immediate
                                                     : envoy::admin::v3::CommandLineOptions::Gradual);
  options.set_disable_hot_restart(true);
  auto& node = *out.mutable_node();
  node = gateway.bootstrap().node();
  if (!given.service_node.empty()) node.set_id(given.service_node);
  if (!given.service_cluster.empty()) node.set_cluster(given.service_cluster);
  return out;
}

nlohmann::ordered_json runtime_json(const std::vector<RuntimeLayer>& layers) {
  nlohmann::ordered_json names = nlohmann::ordered_json::array();
  std::set<std::string> keys;
  for (const RuntimeLayer& layer : layers) {
    names.push_back(layer.name);
    for (const auto& [key, text] : layer.entries) keys.insert(key);
  }
  nlohmann::ordered_json entries = nlohmann::ordered_json::object();
  for (const std::string& key : keys) {
    std::string final_value;
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const RuntimeLayer& layer : layers) {
      const auto at = layer.entries.find(key);
      values.push_back(at == layer.entries.end() ? "" : at->second);
      if (at != layer.entries.end() && !at->second.empty()) final_value = at->second;
    }
    entries[key] = {{"final_value", final_value}, {"layer_values", values}};
  }
  return {{"layers", names}, {"entries", entries}};
}

envoy::admin::v3::Memory memory_message(const GatewayView& gateway) {
  const struct mallinfo2 heap = mallinfo2();
  envoy::admin::v3::Memory out;
  out.set_allocated(heap.uordblks + heap.hblkhd);
  out.set_heap_size(heap.arena + heap.hblkhd);
  out.set_pageheap_free(heap.fordblks);
  out.set_total_physical_bytes(gateway.resident_bytes());
  return out;
}

}  // namespace millrace::agent
