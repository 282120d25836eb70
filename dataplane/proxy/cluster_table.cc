#include "dataplane/proxy/cluster_table.h"

namespace millrace::proxy {

// What has changed is looked at, not everything that there is: a snapshot may hold thousands of clusters.
void ClusterTable::apply(const config::Snapshot* before, const config::Snapshot& snapshot, Instant now) {
  const bool zones_come_or_go = has_local_cluster_ == snapshot.local_cluster.empty();
  has_local_cluster_ = !snapshot.local_cluster.empty();
  const auto* local = snapshot.clusters.find(snapshot.local_cluster);
  local_zones_.assign(local == nullptr ? nullptr : *local, snapshot.locality);
  if (zones_come_or_go) {
    for (const auto& [name, cluster] : snapshot.clusters) use(cluster, true, now);
  }
  const config::Snapshot::Clusters none;
  config::Snapshot::Clusters::for_each_change(before == nullptr ? none : before->clusters, snapshot.clusters,
                                              [&](const std::string&, const auto* old, const auto* cluster) {
                                                cluster != nullptr ? use(*cluster, false, now) : retire(**old, now);
                                              });
  link_aggregates(snapshot, now);
  sweep();
}

void ClusterTable::use(const std::shared_ptr<const config::Cluster>& cluster, bool always, Instant now) {
  const std::size_t id = cluster->cell->id;
  if (id >= by_cell_.size()) by_cell_.resize(id + 1);
  if (by_cell_[id] == nullptr) {
    by_cell_[id] = std::make_unique<ClusterRuntime>(runtime_, cluster, now);
  } else if (always || !by_cell_[id]->is_current(cluster)) {
    by_cell_[id]->update(cluster, now);
  }
  if (cluster->is_aggregate()) {
    aggregates_.insert(cluster->name);
  } else {
    aggregates_.erase(cluster->name);
  }
}

void ClusterTable::retire(const config::Cluster& cluster, Instant now) {
  std::unique_ptr<ClusterRuntime>& gone = by_cell_[cluster.cell->id];
  gone->retire(now);
  retired_.push_back(std::move(gone));
  aggregates_.erase(cluster.name);
}

// Every time: members that have changed may be other objects.
void ClusterTable::link_aggregates(const config::Snapshot& snapshot, Instant now) {
  for (const std::string& name : aggregates_) {
    const config::Cluster* cluster = snapshot.find_cluster(name);
    std::vector<ClusterRuntime*> members;
    for (const std::string& member : cluster->members) {
      if (ClusterRuntime* found = find(snapshot, member)) members.push_back(found);
    }
    by_cell_[cluster->cell->id]->assign_members(members, now);
  }
}

void ClusterTable::sweep() {
  std::erase_if(retired_, [](const auto& cluster) { return cluster->is_unused(); });
}

ClusterRuntime* ClusterTable::find(const config::Snapshot& snapshot, std::string_view name) const {
  const config::Cluster* cluster = snapshot.find_cluster(name);
  return cluster == nullptr ? nullptr : by_cell_[cluster->cell->id].get();
}

}  // namespace millrace::proxy
