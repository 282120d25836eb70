#include "dataplane/proxy/aggregate_members.h"

#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

void AggregateMembers::assign(const std::vector<ClusterRuntime*>& members, Instant now) {
  members_.clear();
  for (ClusterRuntime* member : members) members_.push_back({.cluster = member, .version = member->balance_version(now)});
  follow_members(now);
}

ConnectionPool* AggregateMembers::choose(const ChoiceContext& context, Instant now) {
  bool changed = false;
  for (const Member& member : members_) changed |= member.cluster->balance_version(now) != member.version;
  if (changed) [[unlikely]]
    follow_members(now);
  const auto chosen = choice_.choose(context.avoid_priorities, runtime_.context.rng);
  if (!chosen) return nullptr;
  ChoiceContext of_member = context;
  of_member.avoid_priorities = nullptr;
  of_member.assigned = chosen->at;
  return members_[chosen->member].cluster->choose(of_member, now);
}

void AggregateMembers::follow_members(Instant now) {
  choice_.clear();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    members_[i].version = members_[i].cluster->balance_version(now);
    choice_.add(i, members_[i].cluster->priorities());
  }
  choice_.share();
}

std::optional<std::size_t> AggregateMembers::priority_of(const ConnectionPool& endpoint) const {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].cluster == &endpoint.cluster()) return choice_.place_of(i, endpoint.priority());
  }
  return std::nullopt;
}

}  // namespace millrace::proxy
