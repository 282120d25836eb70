#include "dataplane/proxy/cluster_table.h"

#include <algorithm>

#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

// Does it do anything by itself: ask its endpoints how they are, look at what came of requests that others sent, know how old its
// endpoints are, or choose among clusters that do?
bool acts_alone(const config::Cluster& cluster) {
  return cluster.health_check != nullptr || cluster.outlier_detection || cluster.balancing.slow_start.is_enabled() ||
         cluster.is_aggregate();
}

// Told apart by the number of their cell, which an address keeps from one snapshot to the next.
std::vector<const report::EndpointCell*> members(const config::Cluster* cluster) {
  std::vector<const report::EndpointCell*> cells;
  if (cluster == nullptr) return cells;
  for (const config::Endpoint& endpoint : cluster->endpoints) cells.push_back(endpoint.cell.get());
  std::ranges::sort(cells);
  return cells;
}

}  // namespace

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
                                                if (cluster == nullptr) return retire(**old, now);
                                                count_change(old == nullptr ? nullptr : old->get(), **cluster);
                                                use(*cluster, false, now);
                                              });
  check_first(before, snapshot, now);
  link_aggregates(snapshot, now);
  sweep();
}

// After those that serve: one of them may be what was checked until now, and keeps what was found.
void ClusterTable::check_first(const config::Snapshot* before, const config::Snapshot& snapshot, Instant now) {
  const config::Snapshot::Clusters none;
  config::Snapshot::Clusters::for_each_change(
      before == nullptr ? none : before->checking, snapshot.checking,
      [&](const std::string& name, const auto*, const auto* cluster) {
        const config::Cluster* serving = snapshot.find_cluster(name);
        const auto at = checking_.find(name);
        if (cluster == nullptr) {
          at->second->retire(now, serving);
          checking_.erase(at);
        } else if (at == checking_.end()) {
          checking_.emplace(name, std::make_unique<HealthWatch>(runtime_, nullptr, *cluster, now, serving));
        } else {
          at->second->update(*cluster, now, serving);
        }
      });
}

void ClusterTable::use(const std::shared_ptr<const config::Cluster>& cluster, bool always, Instant now) {
  const std::size_t id = cluster->cell->id;
  if (id >= by_cell_.size()) by_cell_.resize(id + 1);
  if (by_cell_[id] == nullptr) {
    if (acts_alone(*cluster)) by_cell_[id] = std::make_unique<ClusterRuntime>(runtime_, cluster, now);
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
  aggregates_.erase(cluster.name);
  std::unique_ptr<ClusterRuntime>& gone = by_cell_[cluster.cell->id];
  if (gone == nullptr) return;
  gone->retire(now);
  retired_.push_back(std::move(gone));
}

// Once for all workers.
void ClusterTable::count_change(const config::Cluster* before, const config::Cluster& cluster) {
  if (runtime_.worker() == 0 && members(before) != members(&cluster)) cluster.cell->membership_change.add();
}

// Every time: members that have changed may be other objects.
void ClusterTable::link_aggregates(const config::Snapshot& snapshot, Instant now) {
  for (const std::string& name : aggregates_) {
    const config::Cluster* cluster = snapshot.find_cluster(name);
    std::vector<ClusterRuntime*> members;
    for (const std::string& member : cluster->members) {
      if (ClusterRuntime* found = find(snapshot, member, now)) members.push_back(found);
    }
    by_cell_[cluster->cell->id]->assign_members(members, now);
  }
}

void ClusterTable::sweep() {
  std::erase_if(retired_, [](const auto& cluster) { return cluster->is_unused(); });
}

ClusterRuntime* ClusterTable::find(const config::Snapshot& snapshot, std::string_view name, Instant now) {
  const auto* cluster = snapshot.clusters.find(name);
  if (cluster == nullptr) return nullptr;
  std::unique_ptr<ClusterRuntime>& runtime = by_cell_[(*cluster)->cell->id];
  if (runtime == nullptr) [[unlikely]]
    runtime = std::make_unique<ClusterRuntime>(runtime_, *cluster, now);
  return runtime.get();
}

}  // namespace millrace::proxy
