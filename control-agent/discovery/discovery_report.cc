#include "control-agent/discovery/discovery_report.h"

#include <algorithm>
#include <set>

#include "control-agent/discovery/discovery_file.h"
#include "control-agent/discovery/file_discovery.h"
#include "control-agent/discovery/name_discovery.h"
#include "control-agent/discovery/world.h"
#include "control-agent/xds/stream_session.h"

namespace millrace::agent {
namespace {

template <typename Table>
std::vector<DynamicResource> list(const Table& table) {
  std::vector<DynamicResource> out;
  for (const auto& [key, resource] : table) {
    if (resource == nullptr || resource->origin.is_static) continue;
    out.push_back({.name = name_of(resource->message),
                   .version = resource->origin.version,
                   .updated = resource->origin.updated,
                   .content = ConstMessage(resource, &resource->message)});
  }
  std::ranges::sort(out, {}, &DynamicResource::name);
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

}  // namespace

DynamicResources dynamic_resources(const World& world, const SubscriptionTable& subscriptions) {
  DynamicResources out{.clusters_version = version_of(ResourceType::kCluster, subscriptions),
                       .clusters = list(world.resources.clusters),
                       .listeners_version = version_of(ResourceType::kListener, subscriptions),
                       .listeners = list(world.resources.listeners),
                       .routes = list(world.resources.routes),
                       .endpoints = list(world.resources.assignments)};
  for (DynamicResource& cluster : out.clusters) {
    const auto waiting = world.warming_clusters.find(cluster.name);
    if (waiting == world.warming_clusters.end()) continue;
    cluster.state = ResourceState::kWarming;
    if (waiting->second.frame->is_discovered && waiting->second.assignment == nullptr) cluster.waits_for.push_back("endpoints");
    for (const SecretName& secret : waiting->second.secrets) cluster.waits_for.push_back("secret " + secret.name);
  }
  for (DynamicResource& listener : out.listeners) {
    const auto waiting = world.warming_listeners.find(listener.name);
    if (waiting == world.warming_listeners.end()) continue;
    listener.state = ResourceState::kWarming;
    for (const auto& [key, routes] : waiting->second.routes) {
      if (routes == nullptr) listener.waits_for.push_back("RdsRouteConfigSubscription " + key.name);
    }
    for (const SecretName& secret : waiting->second.secrets) listener.waits_for.push_back("secret " + secret.name);
  }
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
    if (cluster.frame->is_discovered) {
      const auto& source = cluster.source->message.eds_cluster_config().eds_config();
      collector.subscription({ResourceType::kAssignment, path_source(source)}, stat);
    }
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
  return std::move(collector).take();
}

}  // namespace millrace::agent
