#include "control-agent/discovery/discovery_report.h"

#include <algorithm>
#include <set>

#include "control-agent/discovery/discovery_file.h"
#include "control-agent/discovery/file_discovery.h"
#include "control-agent/discovery/name_discovery.h"
#include "control-agent/discovery/world.h"
#include "control-agent/last_good/last_good_keeper.h"
#include "control-agent/xds/load_reporter.h"
#include "control-agent/xds/stream_session.h"

namespace millrace::agent {
namespace {

template <typename Table>
std::vector<DynamicResource> list(const Table& table) {
  std::vector<DynamicResource> out;
  for (const auto& [key, resource] : table) {
    if (resource == nullptr || resource->origin().is_static) continue;
    out.push_back({.name = resource->name,
                   .version = resource->origin().version,
                   .updated = resource->origin().updated,
                   .content = as_message(*resource)});
  }
  std::ranges::sort(out, {}, &DynamicResource::name);
  return out;
}

template <typename Table>
void note_missing(const Table& table, const ResourceKey& key, ResourceType type, std::vector<MissingResource>& out) {
  const auto* found = table.find(key);
  if (found == nullptr || *found == nullptr) out.push_back({.type = type, .name = key.name, .is_waited_for = found == nullptr});
}

/// Each once, however many name it.
std::vector<MissingResource> missing_resources(const World& world) {
  std::set<ResourceKey> assignments;
  std::set<ResourceKey> routes;
  world.for_each_cluster([&](const std::string&, const WorldCluster& cluster) {
    if (cluster.is_discovered()) assignments.insert(cluster.assignment_key());
  });
  world.for_each_listener([&](const std::string&, const WorldListener& listener) {
    for (const auto& [key, source] : listener.route_sources) routes.insert(key);
  });
  std::vector<MissingResource> out;
  for (const ResourceKey& key : assignments) note_missing(world.resources.assignments, key, ResourceType::kAssignment, out);
  for (const ResourceKey& key : routes) note_missing(world.resources.routes, key, ResourceType::kRoutes, out);
  return out;
}

void attach_refused(const RefusedTable& refused, ResourceType type, std::vector<DynamicResource>& list) {
  for (const auto& [key, update] : refused) {
    if (key.type != type) continue;
    const auto at = std::ranges::lower_bound(list, key.name, {}, &DynamicResource::name);
    if (at != list.end() && at->name == key.name) {
      at->refused = update;
    } else {
      list.insert(at, {.name = key.name, .version = {}, .content = nullptr, .refused = update});
    }
  }
}

/// visit(manager) for those of listeners that serve, and whose scopes are discovered.
template <typename Visit>
void for_each_scoped(const World& world, Visit&& visit) {
  for (const auto& [name, listener] : world.listeners) {
    for (const config::FilterChain& chain : listener.listener->chains) {
      const auto* http = chain.http();
      if (http != nullptr && http->scoped != nullptr && http->scoped->is_discovered) visit(listener, *http);
    }
  }
}

std::vector<ScopesOfListener> list_scopes(const World& world) {
  std::map<std::string, std::vector<DynamicResource>> by_name;
  for_each_scoped(world, [&](const WorldListener& listener, const config::HttpConnectionManager& http) {
    const auto at = listener.scopes.find(http.scoped->source);
    if (at == listener.scopes.end()) return;
    KeyedResources<ScopeMessage> all;
    for (const auto& scope : *at->second) all.set({http.scoped->source, scope->name}, scope);
    by_name[http.scoped->name] = list(all);
  });
  std::vector<ScopesOfListener> out;
  for (auto& [name, scopes] : by_name) out.push_back({.name = name, .scopes = std::move(scopes)});
  return out;
}

std::string version_of(ResourceType type, const SubscriptionTable& subscriptions) {
  for (const auto& [subscription, stats] : subscriptions) {
    if (subscription.type == type) return stats.version_text;
  }
  return {};
}

class Collector {
 public:
  explicit Collector(const SubscriptionTable& subscriptions) : subscriptions_(subscriptions) {}

  void subscription(const Subscription& subscription, DiscoveryStat like) {
    const auto at = subscriptions_.find(subscription);
    // Several users of one prefix share their numbers.
    if (at == subscriptions_.end() || !seen_.insert(like.prefix).second) return;
    const SubscriptionStats& stats = at->second;
    add(like, "update_attempt", stats.update_attempt);
    add(like, "update_success", stats.update_success);
    add(like, "update_failure", stats.update_failure);
    add(like, "update_rejected", stats.update_rejected);
    add(like, "init_fetch_timeout", stats.init_fetch_timeout);
    like.gauge = true;
    add(like, "update_time", static_cast<std::uint64_t>(stats.update_time));
    add(like, "version", stats.version);
    like.text = stats.version_text;
    add(like, "version_text", 0);
  }
  /// As one number.
  void failures(const Subscription& subscription, const DiscoveryStat& like, std::string name) {
    const auto at = subscriptions_.find(subscription);
    const SubscriptionStats stats = at == subscriptions_.end() ? SubscriptionStats() : at->second;
    add(like, std::move(name), stats.update_failure + stats.update_rejected + stats.init_fetch_timeout);
  }
  void names(const DnsStats& stats, const DiscoveryStat& like) {
    add(like, "update_attempt", stats.update_attempt);
    add(like, "update_success", stats.update_success);
    add(like, "update_failure", stats.update_failure);
    add(like, "update_empty", stats.update_empty);
    add(like, "update_no_rebuild", stats.update_no_rebuild);
  }
  void add(DiscoveryStat like, std::string name, std::uint64_t value) {
    like.name = std::move(name);
    like.value = static_cast<std::int64_t>(value);
    out_.push_back(std::move(like));
  }
  [[nodiscard]] std::vector<DiscoveryStat> take() && { return std::move(out_); }

 private:
  const SubscriptionTable& subscriptions_;
  std::set<std::string> seen_;
  std::vector<DiscoveryStat> out_;
};

DiscoveryStat like(std::string prefix, std::string family, std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {.prefix = std::move(prefix), .family = std::move(family), .labels = std::move(labels), .name = {}};
}

/// `active`, `warming`: the names of what counts those that serve, and those that wait.
void collect_manager(const std::string& item, const std::string& active, std::size_t serving, const std::string& warming,
                     std::size_t waiting, const WorldChanges& changes, Collector& collector) {
  DiscoveryStat stat = like(item + "_manager.", "envoy_" + item + "_manager_");
  collector.add(stat, item + "_added", changes.added);
  collector.add(stat, item + "_modified", changes.modified);
  collector.add(stat, item + "_removed", changes.removed);
  stat.gauge = true;
  collector.add(stat, active, serving);
  collector.add(stat, warming, waiting);
}

/// Whose subscription `source` is.
Subscription subscription_of(ResourceType type, const envoy::config::core::v3::ConfigSource& source) {
  const PathSource file = path_source(source);
  return {type, file.path.empty() ? PathSource{.path = source_key(source), .watched_directory = {}} : file};
}

/// Of scopes that are discovered.
void collect_scopes(const World& world, Collector& collector) {
  for_each_scoped(world, [&](const WorldListener& listener, const config::HttpConnectionManager& http) {
    const config::ScopedRoutes& scoped = *http.scoped;
    DiscoveryStat stat = like("http." + http.stat_prefix + ".scoped_rds." + scoped.name + ".", "envoy_http_scoped_rds_",
                              {{"envoy_http_conn_manager_prefix", http.stat_prefix}, {"envoy_scoped_rds_config", scoped.name}});
    collector.subscription(subscription_of(ResourceType::kScope, listener.scope_sources.at(scoped.source)), stat);
    const auto reloads = world.scope_reloads.find(scoped.source);
    collector.add(stat, "config_reload", reloads == world.scope_reloads.end() ? 0 : reloads->second);
    stat.gauge = true;
    collector.add(stat, "all_scopes", scoped.scopes.size());
    collector.add(stat, "active_scopes", scoped.scopes.size());
    collector.add(stat, "on_demand_scopes", 0);
  });
}

/// Of the configurations of filters that listeners name.
void collect_extensions(const World& world, Collector& collector) {
  std::map<ResourceKey, envoy::config::core::v3::ConfigSource> sources;
  world.for_each_listener([&](const std::string&, const WorldListener& listener) {
    for (const auto& [key, extension] : listener.extension_sources) sources.emplace(key, extension.source);
  });
  for (const auto& [key, source] : sources) {
    const DiscoveryStat stat = like("extension_config_discovery.http_filter." + key.name.text() + ".",
                                    "envoy_extension_config_discovery_http_filter_", {{"envoy_extension_config", key.name}});
    const auto at = world.extension_changes.find(key);
    const ExtensionChanges changes = at == world.extension_changes.end() ? ExtensionChanges() : at->second;
    collector.add(stat, "config_reload", changes.reloads);
    collector.add(stat, "config_conflict", changes.conflicts);
    collector.failures(subscription_of(ResourceType::kExtension, source), stat, "config_fail");
    collector.subscription(subscription_of(ResourceType::kExtension, source), stat);
  }
}

/// Of the secrets of control planes that TLS contexts name, those of resources that wait, too.
void collect_secrets(const World& world, Collector& collector) {
  std::set<SecretName> names;
  const auto add = [&](const std::set<SecretName>& more) { names.insert(more.begin(), more.end()); };
  for (const auto& [name, cluster] : world.clusters) add(cluster->frame->secrets);
  for (const auto& [name, cluster] : world.warming_clusters) add(cluster.frame->secrets);
  world.for_each_listener([&](const std::string&, const WorldListener& listener) { add(listener.secrets); });
  for (const SecretName& secret : names) {
    collector.subscription({ResourceType::kSecret, {.path = secret.source, .watched_directory = {}}},
                           like("sds." + secret.name + ".", "envoy_sds_", {{"envoy_xds_resource_name", secret.name}}));
  }
}

void collect_runtime(const World& world, const SubscriptionTable& subscriptions, Collector& collector) {
  DiscoveryStat stat = like("runtime.", "envoy_runtime_");
  std::uint64_t refused = 0;
  for (const auto& [subscription, stats] : subscriptions) {
    if (subscription.type != ResourceType::kRuntime) continue;
    refused += stats.update_rejected;
    collector.subscription(subscription, stat);
  }
  collector.add(stat, "load_success", world.runtime->loads);
  collector.add(stat, "load_error", refused);
  stat.gauge = true;
  collector.add(stat, "num_keys", world.runtime->values.size());
  collector.add(stat, "num_layers", world.runtime->layers.size());
  collector.add(stat, "admin_overrides_active", world.runtime->is_overridden ? 1 : 0);
}

}  // namespace

DynamicResources dynamic_resources(const World& world, const SubscriptionTable& subscriptions,
                                   std::vector<DynamicResource> secrets, const RefusedTable& refused) {
  DynamicResources out{.clusters_version = version_of(ResourceType::kCluster, subscriptions),
                       .clusters = list(world.resources.clusters),
                       .listeners_version = version_of(ResourceType::kListener, subscriptions),
                       .listeners = list(world.resources.listeners),
                       .routes = list(world.resources.routes),
                       .endpoints = list(world.resources.assignments),
                       .extensions = list(world.resources.extensions),
                       .scopes = list_scopes(world),
                       .secrets = std::move(secrets)};
  for (DynamicResource& cluster : out.clusters) {
    const auto waiting = world.warming_clusters.find(cluster.name);
    if (waiting == world.warming_clusters.end()) continue;
    cluster.state = ResourceState::kWarming;
    if (waiting->second.is_discovered() && waiting->second.assignment == nullptr) cluster.waits_for.push_back("endpoints");
    for (const SecretName& secret : waiting->second.frame->secrets) cluster.waits_for.push_back("secret " + secret.name);
  }
  for (DynamicResource& listener : out.listeners) {
    const auto waiting = world.warming_listeners.find(listener.name);
    if (waiting == world.warming_listeners.end()) continue;
    listener.state = ResourceState::kWarming;
    for (const auto& [key, routes] : waiting->second.routes) {
      if (routes == nullptr) listener.waits_for.push_back("RdsRouteConfigSubscription " + key.name.text());
    }
    if (waiting->second.scopes.size() < waiting->second.scope_sources.size())
      listener.waits_for.push_back("ScopedRdsConfigSubscription");
    for (const auto& [key, extension] : waiting->second.extensions) {
      if (extension == nullptr) listener.waits_for.push_back("FilterConfigSubscription init " + key.name.text());
    }
    for (const SecretName& secret : waiting->second.secrets) listener.waits_for.push_back("secret " + secret.name);
  }
  out.missing = missing_resources(world);
  std::ranges::sort(out.secrets, {}, &DynamicResource::name);
  attach_refused(refused, ResourceType::kCluster, out.clusters);
  attach_refused(refused, ResourceType::kListener, out.listeners);
  attach_refused(refused, ResourceType::kRoutes, out.routes);
  attach_refused(refused, ResourceType::kAssignment, out.endpoints);
  attach_refused(refused, ResourceType::kSecret, out.secrets);
  return out;
}

std::vector<DiscoveryStat> control_plane_stats(const std::map<std::string, SessionStats>& streams) {
  SessionStats all;
  all.connected = !streams.empty();
  for (const auto& [name, stats] : streams) {
    all.connected = all.connected && stats.connected;
    all.rate_limited += stats.rate_limited;
    all.pending += stats.pending;
  }
  const SubscriptionTable none;
  Collector collector(none);
  DiscoveryStat stat = like("control_plane.", "envoy_control_plane_");
  collector.add(stat, "rate_limit_enforced", all.rate_limited);
  stat.gauge = true;
  collector.add(stat, "connected_state", all.connected ? 1 : 0);
  collector.add(stat, "pending_requests", all.pending);
  return std::move(collector).take();
}

std::vector<DiscoveryStat> unknown_field_stats(std::uint64_t dynamic) {
  const SubscriptionTable none;
  Collector collector(none);
  const DiscoveryStat stat = like("server.", "envoy_server_");
  collector.add(stat, "dynamic_unknown_fields", dynamic);
  return std::move(collector).take();
}

std::vector<DiscoveryStat> last_good_stats(const LastGoodStats& stats) {
  const SubscriptionTable none;
  Collector collector(none);
  DiscoveryStat stat = like("millrace.snapshot.", "millrace_snapshot_");
  collector.add(stat, "written", stats.written);
  collector.add(stat, "failed", stats.failed);
  stat.gauge = true;
  collector.add(stat, "resources", stats.resources);
  collector.add(stat, "bytes", stats.bytes);
  collector.add(stat, "left_out", stats.left_out);
  return std::move(collector).take();
}

std::vector<DiscoveryStat> load_reporter_stats(const LoadReporterStats& stats) {
  const SubscriptionTable none;
  Collector collector(none);
  const DiscoveryStat stat = like("load_reporter.", "envoy_load_reporter_");
  collector.add(stat, "requests", stats.requests);
  collector.add(stat, "responses", stats.responses);
  collector.add(stat, "errors", stats.errors);
  collector.add(stat, "retries", stats.retries);
  return std::move(collector).take();
}

std::vector<DiscoveryStat> discovery_stats(const World& world, const SubscriptionTable& subscriptions, const DnsTable& dns) {
  Collector collector(subscriptions);
  collect_manager("cluster", "active_clusters", world.clusters.size(), "warming_clusters", world.warming_clusters.size(),
                  world.cluster_changes, collector);
  collect_manager("listener", "total_listeners_active", world.listeners.size(), "total_listeners_warming",
                  world.warming_listeners.size(), world.listener_changes, collector);
  for (const auto& [subscription, stats] : subscriptions) {
    if (subscription.type == ResourceType::kCluster)
      collector.subscription(subscription, like("cluster_manager.cds.", "envoy_cluster_manager_cds_"));
    if (subscription.type == ResourceType::kListener)
      collector.subscription(subscription, like("listener_manager.lds.", "envoy_listener_manager_lds_"));
  }
  for (const auto& [name, shared] : world.clusters) {
    const WorldCluster& cluster = *shared;
    const config::Cluster& shown = *cluster.cluster;
    const std::string& prefix = shown.alt_stat_name.empty() ? shown.name : shown.alt_stat_name;
    const DiscoveryStat stat = like("cluster." + prefix + ".", "envoy_cluster_", {{"envoy_cluster_name", prefix}});
    if (cluster.is_discovered()) collector.subscription({ResourceType::kAssignment, cluster.assignment_source->path}, stat);
    if (const auto at = dns.find(name); at != dns.end()) collector.names(at->second, stat);
  }
  for (const auto& [name, listener] : world.listeners) {
    for (const config::FilterChain& chain : listener.listener->chains) {
      const auto* http = chain.http();
      if (http == nullptr || http->route_config_name.empty()) continue;
      for (const auto& [key, source] : listener.route_sources) {
        if (key.source != http->route_config_source || key.name != http->route_config_name) continue;
        collector.subscription(
            {ResourceType::kRoutes, path_source(source)},
            like("http." + http->stat_prefix + ".rds." + http->route_config_name + ".", "envoy_http_rds_",
                 {{"envoy_http_conn_manager_prefix", http->stat_prefix}, {"envoy_rds_route_config", http->route_config_name}}));
      }
    }
  }
  collect_scopes(world, collector);
  collect_extensions(world, collector);
  collect_secrets(world, collector);
  collect_runtime(world, subscriptions, collector);
  return std::move(collector).take();
}

}  // namespace millrace::agent
