#include "dataplane/proxy/cluster_table.h"

namespace millrace::proxy {

void ClusterTable::apply(const config::Snapshot& snapshot, Instant now) {
  const bool zones_come_or_go = has_local_cluster_ == snapshot.local_cluster.empty();
  has_local_cluster_ = !snapshot.local_cluster.empty();
  const auto local = snapshot.clusters.find(snapshot.local_cluster);
  local_zones_.assign(local == snapshot.clusters.end() ? nullptr : local->second, snapshot.locality);
  std::vector<bool> configured(by_cell_.size(), false);
  for (const auto& [name, cluster] : snapshot.clusters) {
    const std::size_t id = cluster->cell->id;
    if (id >= by_cell_.size()) {
      by_cell_.resize(id + 1);
      configured.resize(id + 1, false);
    }
    configured[id] = true;
    if (by_cell_[id] == nullptr) {
      by_cell_[id] = std::make_unique<ClusterRuntime>(runtime_, cluster, now);
    } else if (zones_come_or_go || !by_cell_[id]->is_current(cluster)) {
      by_cell_[id]->update(cluster, now);
    }
  }
  for (std::size_t id = 0; id < by_cell_.size(); ++id) {
    if (by_cell_[id] == nullptr || configured[id]) continue;
    by_cell_[id]->retire(now);
    retired_.push_back(std::move(by_cell_[id]));
  }
  link_aggregates(snapshot, now);
  sweep();
}

// Every time: members that have changed may be other objects.
void ClusterTable::link_aggregates(const config::Snapshot& snapshot, Instant now) {
  for (const auto& [name, cluster] : snapshot.clusters) {
    if (!cluster->is_aggregate()) continue;
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
