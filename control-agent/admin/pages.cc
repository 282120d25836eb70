#include "control-agent/admin/pages.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <map>
#include <ranges>

namespace millrace::agent {
namespace {

using Json = nlohmann::ordered_json;

Json address_json(const SocketAddress& address) {
  return {{"socket_address", {{"address", address.ip.to_string()}, {"port_value", address.port}}}};
}

std::map<std::string, const config::Cluster*> sorted_clusters(const config::Snapshot& snapshot) {
  std::map<std::string, const config::Cluster*> sorted;
  for (const auto& [name, cluster] : snapshot.clusters) sorted.emplace(name, cluster.get());
  return sorted;
}

// The statistics of one endpoint in Envoy's order, summed over the workers.
std::vector<std::pair<std::string, Json>> endpoint_stats(const report::EndpointCell& cell) {
  std::map<std::string, std::pair<std::int64_t, bool>> sums;
#define MR_SUM_COUNTER(name) \
  for (const auto& stats : cell.per_worker) sums[#name].first += static_cast<std::int64_t>(stats.name.value());
#define MR_SUM_GAUGE(name) \
  MR_SUM_COUNTER(name)     \
  sums[#name].second = true;
#define MR_SUM_HISTOGRAM(name)
  MR_ENDPOINT_STATS(MR_SUM_COUNTER, MR_SUM_GAUGE, MR_SUM_HISTOGRAM)
#undef MR_SUM_COUNTER
#undef MR_SUM_GAUGE
#undef MR_SUM_HISTOGRAM
  std::vector<std::pair<std::string, Json>> list;
  for (const auto& [name, sum] : sums) {
    Json entry = {{"name", name}, {"value", std::to_string(sum.first)}};
    if (sum.second) entry["type"] = "GAUGE";
    list.emplace_back(name, std::move(entry));
  }
  return list;
}

constexpr std::string_view kPriorities[] = {"default", "high"};  // by config::RoutingPriority

// Rates and thresholds as Envoy prints them: "95.5", "-1".
std::string rate_text(const std::atomic<double>& rate) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%g", rate.load(std::memory_order_relaxed));
  return {text.data(), static_cast<std::size_t>(length)};
}

// Where there is a rate.
void set_rate(Json& out, const char* name, const std::atomic<double>& rate) {
  if (const double value = rate.load(std::memory_order_relaxed); value >= 0) out[name] = {{"value", value}};
}

Json thresholds_json(const config::CircuitBreakers& breakers) {
  Json list = Json::array();
  for (std::size_t i = 0; i < config::kRoutingPriorities; ++i) {
    const config::BreakerThresholds& limits = breakers.thresholds[i];
    Json entry = Json::object();
    if (i > 0) entry["priority"] = "HIGH";
    entry["max_connections"] = limits.max_connections;
    entry["max_pending_requests"] = limits.max_pending_requests;
    entry["max_requests"] = limits.max_requests;
    entry["max_retries"] = limits.max_retries;
    list.push_back(std::move(entry));
  }
  return list;
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::string text(32, '\0');
  text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
  return text;
}

// A resource of the bootstrap as a config dump shows it: an Any with its type first.
Json as_any(const char* type, const Json& resource) {
  Json any = {{"@type", std::string("type.googleapis.com/") + type}};
  any.update(resource);
  return any;
}

// Route configurations stand inside the connection managers' typed_config.
void collect_route_configs(const Json& listener, const std::string& updated, Json& out) {
  for (const Json& chain : listener.value("filter_chains", Json::array())) {
    for (const Json& filter : chain.value("filters", Json::array())) {
      const Json config = filter.value("typed_config", Json::object());
      if (!config.contains("route_config")) continue;
      out.push_back({{"route_config", as_any("envoy.config.route.v3.RouteConfiguration", config["route_config"])},
                     {"last_updated", updated}});
    }
  }
}

Json clusters_dump(const DynamicResources& dynamic, const Json& statics) {
  Json dump = {{"@type", "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"}, {"static_clusters", statics}};
  if (!dynamic.clusters_version.empty()) dump["version_info"] = dynamic.clusters_version;
  for (const DynamicResource& cluster : dynamic.clusters) {
    dump["dynamic_active_clusters"].push_back({{"version_info", cluster.version},
                                               {"cluster", as_any("envoy.config.cluster.v3.Cluster", cluster.content)},
                                               {"last_updated", timestamp(cluster.updated)}});
  }
  return dump;
}

Json listeners_dump(const DynamicResources& dynamic, const Json& statics) {
  Json dump = {{"@type", "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"}, {"static_listeners", statics}};
  if (!dynamic.listeners_version.empty()) dump["version_info"] = dynamic.listeners_version;
  for (const DynamicResource& listener : dynamic.listeners) {
    dump["dynamic_listeners"].push_back({{"name", listener.name},
                                         {"active_state",
                                          {{"version_info", listener.version},
                                           {"listener", as_any("envoy.config.listener.v3.Listener", listener.content)},
                                           {"last_updated", timestamp(listener.updated)}}}});
  }
  return dump;
}

Json routes_dump(const DynamicResources& dynamic, const Json& statics) {
  Json dump = {{"@type", "type.googleapis.com/envoy.admin.v3.RoutesConfigDump"}, {"static_route_configs", statics}};
  for (const DynamicResource& routes : dynamic.routes) {
    dump["dynamic_route_configs"].push_back({{"version_info", routes.version},
                                             {"route_config", as_any("envoy.config.route.v3.RouteConfiguration", routes.content)},
                                             {"last_updated", timestamp(routes.updated)}});
  }
  return dump;
}

Json endpoints_dump(const DynamicResources& dynamic) {
  Json dump = {{"@type", "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"}};
  for (const DynamicResource& endpoints : dynamic.endpoints) {
    dump["dynamic_endpoint_configs"].push_back(
        {{"version_info", endpoints.version},
         {"endpoint_config", as_any("envoy.config.endpoint.v3.ClusterLoadAssignment", endpoints.content)},
         {"last_updated", timestamp(endpoints.updated)}});
  }
  return dump;
}

constexpr std::int64_t kSecondsOfADay = 24 * 60 * 60;

// A name that Envoy's message has a field for; null: it has none.
Json subject_name_json(const tls::SubjectName& name) {
  switch (name.kind) {
    case tls::NameKind::kDns: return {{"dns", name.value}};
    case tls::NameKind::kUri: return {{"uri", name.value}};
    case tls::NameKind::kIpAddress: return {{"ip_address", name.value}};
    case tls::NameKind::kEmail: return nullptr;
  }
  return nullptr;
}

// envoy.admin.v3.CertificateDetails
Json certificate_json(const tls::CertificateFacts& facts, const std::string& path, std::chrono::system_clock::time_point now) {
  Json names = Json::array();
  for (const tls::SubjectName& name : facts.names) {
    Json one = subject_name_json(name);
    if (!one.is_null()) names.push_back(std::move(one));
  }
  const auto at = [](std::int64_t seconds) { return timestamp(std::chrono::system_clock::from_time_t(seconds)); };
  const std::int64_t left = facts.not_after - std::chrono::system_clock::to_time_t(now);
  // A 64-bit number, which JSON has as a text.
  return {{"path", path},
          {"serial_number", facts.serial},
          {"subject_alt_names", names},
          {"days_until_expiration", std::to_string(std::max<std::int64_t>(left, 0) / kSecondsOfADay)},
          {"valid_from", at(facts.not_before)},
          {"expiration_time", at(facts.not_after)}};
}

Json locality_json(const config::Locality& locality) {
  Json json = Json::object();
  if (!locality.region.empty()) json["region"] = locality.region;
  if (!locality.zone.empty()) json["zone"] = locality.zone;
  if (!locality.sub_zone.empty()) json["sub_zone"] = locality.sub_zone;
  return json;
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

// envoy.admin.v3.HostHealthStatus
Json health_json(const config::Endpoint& endpoint) {
  using enum report::EndpointFault;
  Json json = {{"eds_health_status", endpoint.draining   ? "DRAINING"
                                     : !endpoint.healthy ? "UNHEALTHY"
                                     : endpoint.degraded ? "DEGRADED"
                                                         : "HEALTHY"}};
  if (endpoint.cell->has(kFailedHealthCheck)) json["failed_active_health_check"] = true;
  if (endpoint.cell->has(kEjected)) json["failed_outlier_check"] = true;
  if (endpoint.cell->has(kDegraded)) json["failed_active_degraded_check"] = true;
  if (endpoint.cell->has(kAwaitsHealthCheck)) json["pending_active_hc"] = true;
  if (endpoint.cell->has(kFailedAtOnce)) json["excluded_via_immediate_hc_fail"] = true;
  if (endpoint.cell->has(kHealthCheckTimedOut)) json["active_hc_timeout"] = true;
  return json;
}

}  // namespace

std::string clusters_text(const config::Snapshot& snapshot) {
  std::string text;
  for (const auto& [name, cluster] : sorted_clusters(snapshot)) {
    const auto line = [&](const std::string& rest) { text.append(name).append("::").append(rest).append("\n"); };
    line("observability_name::" + (cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name));
    if (cluster->outlier_detection) {
      const report::OutlierShared& outlier = cluster->cell->outlier;
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
      const std::string host = endpoint.address.to_string() + "::";
      for (const auto& [stat, entry] : endpoint_stats(*endpoint.cell))
        line(host + stat + "::" + entry["value"].get<std::string>());
      line(host + "hostname::" + endpoint.hostname);
      line(host + "health_flags::" + health_flags(endpoint));
      line(host + "weight::" + std::to_string(endpoint.weight));
      const config::Locality& locality = config::locality_of(*cluster, endpoint);
      line(host + "region::" + locality.region);
      line(host + "zone::" + locality.zone);
      line(host + "sub_zone::" + locality.sub_zone);
      line(host + "canary::" + (endpoint.canary ? "true" : "false"));
      line(host + "priority::" + std::to_string(endpoint.priority));
      line(host + "success_rate::" + rate_text(endpoint.cell->outlier.external.percent));
      line(host + "local_origin_success_rate::" + rate_text(endpoint.cell->outlier.local.percent));
    }
  }
  return text;
}

Json clusters_json(const config::Snapshot& snapshot) {
  Json statuses = Json::array();
  for (const auto& [name, cluster] : sorted_clusters(snapshot)) {
    Json status = {{"name", name}, {"observability_name", cluster->alt_stat_name.empty() ? name : cluster->alt_stat_name}};
    if (cluster->added_via_api) status["added_via_api"] = true;
    status["circuit_breakers"] = {{"thresholds", thresholds_json(cluster->breakers)}};
    if (cluster->outlier_detection) {
      set_rate(status, "success_rate_ejection_threshold", cluster->cell->outlier.external.ejection);
      set_rate(status, "local_origin_success_rate_ejection_threshold", cluster->cell->outlier.local.ejection);
    }
    Json hosts = Json::array();
    for (const config::Endpoint& endpoint : cluster->endpoints) {
      Json stats = Json::array();
      for (auto& [stat, entry] : endpoint_stats(*endpoint.cell)) stats.push_back(entry);
      Json host = {{"address", address_json(endpoint.address)},
                   {"stats", stats},
                   {"health_status", health_json(endpoint)},
                   {"weight", endpoint.weight}};
      set_rate(host, "success_rate", endpoint.cell->outlier.external.percent);
      set_rate(host, "local_origin_success_rate", endpoint.cell->outlier.local.percent);
      if (!endpoint.hostname.empty()) host["hostname"] = endpoint.hostname;
      host["locality"] = locality_json(config::locality_of(*cluster, endpoint));
      if (endpoint.priority != 0) host["priority"] = endpoint.priority;
      hosts.push_back(std::move(host));
    }
    if (!hosts.empty()) status["host_statuses"] = std::move(hosts);
    statuses.push_back(std::move(status));
  }
  return {{"cluster_statuses", statuses}};
}

std::string listeners_text(const config::Snapshot& snapshot) {
  std::string text;
  for (const auto& listener : snapshot.listeners) {
    text += listener->name + "::";
    for (std::size_t i = 0; i < listener->addresses.size(); ++i) text += (i > 0 ? "," : "") + listener->addresses[i].to_string();
    text += "\n";
  }
  return text;
}

Json listeners_json(const config::Snapshot& snapshot) {
  Json statuses = Json::array();
  for (const auto& listener : snapshot.listeners) {
    Json status = {{"name", listener->name}, {"local_address", address_json(listener->addresses.front())}};
    for (const SocketAddress& address : listener->addresses | std::views::drop(1)) {
      status["additional_local_addresses"].push_back(address_json(address));
    }
    statuses.push_back(std::move(status));
  }
  return {{"listener_statuses", statuses}};
}

Json config_dump_json(const GatewayView& gateway, bool include_eds) {
  const std::string updated = timestamp(gateway.loaded_at());
  const Json& bootstrap = gateway.bootstrap();
  const Json resources = bootstrap.value("static_resources", Json::object());
  const DynamicResources dynamic = gateway.dynamic_resources();

  Json clusters = Json::array();
  for (const Json& cluster : resources.value("clusters", Json::array())) {
    clusters.push_back({{"cluster", as_any("envoy.config.cluster.v3.Cluster", cluster)}, {"last_updated", updated}});
  }
  Json listeners = Json::array();
  Json routes = Json::array();
  for (const Json& listener : resources.value("listeners", Json::array())) {
    listeners.push_back({{"listener", as_any("envoy.config.listener.v3.Listener", listener)}, {"last_updated", updated}});
    collect_route_configs(listener, updated, routes);
  }
  for (const DynamicResource& listener : dynamic.listeners)
    collect_route_configs(listener.content, timestamp(listener.updated), routes);
  Json secrets = Json::array();
  for (const Json& secret : resources.value("secrets", Json::array())) {
    secrets.push_back({{"name", secret.value("name", "")},
                       {"last_updated", updated},
                       {"secret", as_any("envoy.extensions.transport_sockets.tls.v3.Secret", secret)}});
  }
  Json dump = {{"configs", Json::array()}};
  dump["configs"].push_back(
      {{"@type", "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"}, {"bootstrap", bootstrap}, {"last_updated", updated}});
  dump["configs"].push_back(clusters_dump(dynamic, clusters));
  dump["configs"].push_back(listeners_dump(dynamic, listeners));
  dump["configs"].push_back(routes_dump(dynamic, routes));
  if (include_eds) dump["configs"].push_back(endpoints_dump(dynamic));
  dump["configs"].push_back({{"@type", "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"}, {"static_secrets", secrets}});
  return dump;
}

Json certificates_json(const std::vector<MadeContext>& contexts, std::chrono::system_clock::time_point now) {
  Json list = Json::array();
  for (const MadeContext& made : contexts) {
    Json authorities = Json::array();
    for (const auto& facts : made.context->authorities())
      authorities.push_back(certificate_json(facts, made.authorities_path, now));
    Json chains = Json::array();
    const auto& leaves = made.context->certificates();
    for (std::size_t i = 0; i < leaves.size(); ++i) chains.push_back(certificate_json(leaves[i], made.chain_paths.at(i), now));
    list.push_back({{"ca_cert", authorities}, {"cert_chain", chains}});
  }
  return {{"certificates", list}};
}

Json server_info_json(const GatewayView& gateway) {
  const std::string uptime = std::to_string(gateway.uptime().count()) + "s";
  return {{"version", gateway.version()},
          {"state", to_text(gateway.state())},
          {"hot_restart_version", "disabled"},
          {"command_line_options", gateway.command_line_options()},
          {"node", gateway.bootstrap().value("node", Json::object())},
          {"uptime_current_epoch", uptime},
          {"uptime_all_epochs", uptime}};
}

}  // namespace millrace::agent
