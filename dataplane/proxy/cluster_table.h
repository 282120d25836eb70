// The clusters of one worker, by the number of their cells, so that finding one costs no hashing and outlives snapshots. Those
// that have nothing to do without requests are made when their first one comes: of thousands few are ever used.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/lb/local_zones.h"

namespace millrace::proxy {

class ClusterTable {
 public:
  explicit ClusterTable(Runtime& runtime) : runtime_(runtime) {}

  /// `before`: the one that was applied last; null: this is the first.
  void apply(const config::Snapshot* before, const config::Snapshot& snapshot, Instant now);
  /// The cluster of that name in the snapshot applied last; null when there is none. Who asks for it first makes it: that one
  /// time it takes memory from the heap.
  [[nodiscard]] ClusterRuntime* find(const config::Snapshot& snapshot, std::string_view name, Instant now);
  /// What the zones of that cluster are compared with: stays where it is. Null: nothing.
  [[nodiscard]] LocalZones* local_zones(const config::Cluster& cluster) {
    return !has_local_cluster_ || !cluster.is_zone_aware() || local_zones_.is(cluster) ? nullptr : &local_zones_;
  }

 private:
  void use(const std::shared_ptr<const config::Cluster>& cluster, bool always, Instant now);
  void retire(const config::Cluster& cluster, Instant now);
  void count_change(const config::Cluster* before, const config::Cluster& cluster);
  void check_first(const config::Snapshot* before, const config::Snapshot& snapshot, Instant now);
  void link_aggregates(const config::Snapshot& snapshot, Instant now);
  void sweep();

  Runtime& runtime_;
  bool has_local_cluster_ = false;
  LocalZones local_zones_;
  std::vector<std::unique_ptr<ClusterRuntime>> by_cell_;  // null: not in the snapshot, or not used yet
  std::vector<std::unique_ptr<ClusterRuntime>> retired_;
  std::map<std::string, std::unique_ptr<HealthWatch>> checking_;  // of clusters that wait for it
  std::set<std::string> aggregates_;                              // of the snapshot that was applied last
};

}  // namespace millrace::proxy
