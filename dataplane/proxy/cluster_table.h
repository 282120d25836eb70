// The clusters of one worker, by the number of their cells, so that finding one costs no hashing and outlives snapshots.
#pragma once

#include <memory>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/lb/local_zones.h"

namespace millrace::proxy {

class ClusterTable {
 public:
  explicit ClusterTable(Runtime& runtime) : runtime_(runtime) {}

  void apply(const config::Snapshot& snapshot, Instant now);
  /// The cluster of that name in the snapshot applied last; null when there is none.
  [[nodiscard]] ClusterRuntime* find(const config::Snapshot& snapshot, std::string_view name) const;
  /// What the zones of that cluster are compared with: stays where it is. Null: nothing.
  [[nodiscard]] LocalZones* local_zones(const config::Cluster& cluster) {
    return !has_local_cluster_ || !cluster.is_zone_aware() || local_zones_.is(cluster) ? nullptr : &local_zones_;
  }

 private:
  void link_aggregates(const config::Snapshot& snapshot, Instant now);
  void sweep();

  Runtime& runtime_;
  bool has_local_cluster_ = false;
  LocalZones local_zones_;
  std::vector<std::unique_ptr<ClusterRuntime>> by_cell_;
  std::vector<std::unique_ptr<ClusterRuntime>> retired_;
};

}  // namespace millrace::proxy
