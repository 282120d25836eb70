// A set of resources and what they mean: the snapshot, and what it was translated from. The next world takes over whatever has
// not changed, as the same objects: workers compare pointers, and keep connections where they find the one that they have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "config/model/snapshot.h"
#include "control-agent/diagnostics.h"
#include "control-agent/discovery/extension_configs.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/discovery/runtime_layers.h"
#include "control-agent/discovery/scoped_routes.h"
#include "control-agent/translate.h"
#include "control-agent/translate_cluster.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

struct WorldCluster {
  ResourcePtr<ClusterMessage> source;
  std::shared_ptr<const ClusterFrame> frame;                  ///< most have the same: one that says nothing
  std::shared_ptr<const AssignmentSource> assignment_source;  ///< null: none of type EDS
  SharedName assignment_name;                                 ///< that it is asked for by
  ResourcePtr<AssignmentMessage> assignment;                  ///< null: none of type EDS, or it has not come yet
  std::shared_ptr<const ResolvedNames> resolved;              ///< null: nothing is known of its names, or it has none
  std::shared_ptr<const config::Cluster> cluster;

  [[nodiscard]] bool is_discovered() const { return assignment_source != nullptr; }
  /// Of one that is discovered.
  [[nodiscard]] ResourceKey assignment_key() const { return {assignment_source->key, assignment_name}; }
};

struct WorldListener {
  ResourcePtr<ListenerMessage> source;
  std::set<SecretName> secrets;  ///< of control planes
  ScopeSources scope_sources;
  Scopes scopes;  ///< of those sources; one that is not there has not come yet
  RouteSources route_sources;
  std::map<ResourceKey, ResourcePtr<RouteMessage>> routes;  ///< that its connection managers name; null: not there yet
  ExtensionSources extension_sources;
  Extensions extensions;
  std::set<std::string> runtime_keys;        ///< that its message was read with
  std::set<std::string> parts_runtime_keys;  ///< that its routes and the configurations of its filters were read with
  std::shared_ptr<const config::Listener> listener;
};

/// How often resources came, changed and went since the start: the counters of Envoy's cluster and listener managers.
struct WorldChanges {
  std::uint64_t added = 0;
  std::uint64_t modified = 0;
  std::uint64_t removed = 0;
};

/// A value: copies share what never changes.
struct World {
  Resources resources;
  config::SharedMap<SharedName, std::shared_ptr<const WorldCluster>, SharedName::Hash> clusters;  ///< that serve
  std::map<std::string, WorldListener> listeners;
  /// That wait for something before they serve: clusters for their endpoints, listeners for their routes and the configurations
  /// of their filters, both for secrets. What had the name before serves until then.
  std::map<std::string, WorldCluster> warming_clusters;
  std::map<std::string, WorldListener> warming_listeners;
  config::Snapshot::Clusters snapshot_clusters;  ///< those that serve, as workers see them
  /// Of the warming clusters those that have everything but the first results of their health checks.
  config::Snapshot::Clusters checking_clusters;
  /// Of assignments: clusters, waiting or not, of other names.
  config::SharedMap<ResourceKey, std::vector<std::string>, ResourceKey::Hash> users;
  std::map<std::uint64_t, std::shared_ptr<const AssignmentSource>> assignment_sources;  ///< by the hash of what says them
  std::set<std::string> aggregates;        ///< clusters that stand for others, waiting or not
  std::vector<config::LogSink> log_sinks;  ///< those of worlds before, too: connections that drain still write there
  WorldChanges cluster_changes;
  WorldChanges listener_changes;
  std::map<ResourceKey, ExtensionChanges> extension_changes;
  Scopes scopes;                                       ///< of all sources
  std::map<std::string, std::uint64_t> scope_reloads;  ///< how often they have changed, by source
  std::shared_ptr<const Runtime> runtime;              ///< never null in a translated world
  std::shared_ptr<const config::Overload> overload;    ///< null: nothing is watched

  /// Calls `visit(name, cluster)` for those that serve and for those that wait.
  template <typename Visit>
  void for_each_cluster(Visit&& visit) const {
    for (const auto& [name, cluster] : clusters) visit(name, *cluster);
    for (const auto& [name, cluster] : warming_clusters) visit(name, cluster);
  }
  /// That serves; null: there is none.
  [[nodiscard]] const WorldCluster* find_cluster(const std::string& name) const {
    const auto* found = clusters.find(name);
    return found == nullptr ? nullptr : found->get();
  }
  template <typename Visit>
  void for_each_listener(Visit&& visit) const {
    for (const auto& [name, listener] : listeners) visit(name, listener);
    for (const auto& [name, listener] : warming_listeners) visit(name, listener);
  }
};

/// What all translations of one gateway share.
struct WorldSettings {
  std::shared_ptr<CellRegistry> cells;
  std::shared_ptr<SecretStore> secrets;
  std::shared_ptr<const StaticSecrets> static_secrets;
  std::shared_ptr<DiscoveredSecrets> discovered_secrets;
  std::shared_ptr<KeySetStore> key_sets;
  std::size_t workers = 1;
  std::string service_node;
  std::string service_cluster;
  std::string local_cluster;                         ///< empty: there is none
  config::LocalityName locality;                     ///< the node's
  RuntimePlan runtime = {};                          ///< layered_runtime
  std::shared_ptr<const config::Overload> overload;  ///< as the bootstrap says; null: nothing is watched
  bool keep_records_in_openssl = false;
  bool waits_for_checks = false;  ///< somebody makes health checks: clusters wait for the first of each endpoint
  std::optional<std::vector<config::PortConfig>> ports;  ///< whose addresses listeners may have; none: any
};

/// What `wanted` means, where `before` has been so far: all that is wrong with it goes to `statics` for resources of the
/// bootstrap, whose places it knows, and to `errors` for all others. Only without errors in either is the world good.
struct Translation {
  World world;
  std::vector<ConfigError> errors;
  std::vector<ConfigError> warnings;  ///< about what was translated anew
};
[[nodiscard]] Translation translate_world(const World& before, Resources wanted, const WorldSettings& settings,
                                          Diagnostics& statics);

/// The resources of a bootstrap, without the clusters of management servers. Names that are given twice are errors.
[[nodiscard]] Resources static_resources(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics);

/// Every endpoint whose health is checked has had a result.
[[nodiscard]] bool is_checked(const config::Cluster& cluster);

/// The snapshot of a good world.
[[nodiscard]] std::shared_ptr<config::Snapshot> make_snapshot(const World& world, const WorldSettings& settings,
                                                              std::uint64_t version);

}  // namespace millrace::agent
