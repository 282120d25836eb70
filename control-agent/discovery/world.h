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
#include <unordered_map>
#include <vector>

#include "config/model/dataplane.h"
#include "config/model/snapshot.h"
#include "control-agent/diagnostics.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/translate.h"
#include "control-agent/translate_cluster.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

struct WorldCluster {
  ResourcePtr<ClusterMessage> source;
  std::shared_ptr<const ClusterFrame> frame;
  std::set<SecretName> secrets;                   ///< of control planes, that its endpoints' TLS is made of
  ResourcePtr<AssignmentMessage> assignment;      ///< null: none of type EDS, or it has not come yet
  std::shared_ptr<const ResolvedNames> resolved;  ///< null: nothing is known of its names, or it has none
  std::shared_ptr<const config::Cluster> cluster;
};

struct WorldListener {
  ResourcePtr<ListenerMessage> source;
  std::set<SecretName> secrets;  ///< of control planes
  RouteSources route_sources;
  std::map<ResourceKey, ResourcePtr<RouteMessage>> routes;  ///< that its connection managers name; null: not there yet
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
  std::map<std::string, WorldCluster> clusters;  ///< that serve
  std::map<std::string, WorldListener> listeners;
  /// That wait for something before they serve: clusters for their endpoints, listeners for their routes, both for secrets. What
  /// had the name before serves until then.
  std::map<std::string, WorldCluster> warming_clusters;
  std::map<std::string, WorldListener> warming_listeners;
  std::vector<config::LogSink> log_sinks;  ///< those of worlds before, too: connections that drain still write there
  WorldChanges cluster_changes;
  WorldChanges listener_changes;

  /// Calls `visit(name, cluster)` for those that serve and for those that wait.
  template <typename Visit>
  void for_each_cluster(Visit&& visit) const {
    for (const auto& [name, cluster] : clusters) visit(name, cluster);
    for (const auto& [name, cluster] : warming_clusters) visit(name, cluster);
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
  std::string local_cluster;                                         ///< empty: there is none
  config::LocalityName locality;                                     ///< the node's
  std::unordered_map<std::string, std::uint64_t> connection_limits;  ///< of layered_runtime: by listener
  std::shared_ptr<const config::Overload> overload;                  ///< null: nothing is watched
  bool keep_records_in_openssl = false;
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

/// The snapshot of a good world.
[[nodiscard]] std::shared_ptr<const config::Snapshot> make_snapshot(const World& world, const WorldSettings& settings,
                                                                    std::uint64_t version);

}  // namespace millrace::agent
