// The endpoints of one priority: who of them is healthy, degraded or excluded, and the policies over each of these lists.
// Built when a configuration is applied; refresh() follows changes of health without allocating.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/hash_choice.h"
#include "dataplane/proxy/lb/host_facts.h"
#include "dataplane/proxy/lb/locality_choice.h"
#include "dataplane/proxy/lb/picker.h"
#include "dataplane/proxy/lb/priority_load.h"
#include "dataplane/proxy/lb/zone_routing.h"

namespace millrace::proxy {

class HostSet {
 public:
  /// `hosts` are of one priority. `localities`: where they are weighted, or `zones` chooses one of them, else empty. `table`:
  /// what a hash is looked up in; null: the policy has none. `cluster` and `table` outlive it.
  HostSet(const config::Cluster& cluster, std::vector<std::uint32_t> hosts, std::vector<LocalityHosts> localities,
          std::optional<ZoneRouting> zones, const config::HashTable* table);

  /// `health` of all endpoints of the cluster; stays where it is until the next call.
  void refresh(std::span<const HostHealth> health, Rng& rng);

  [[nodiscard]] const PriorityHosts& counts() const { return counts_; }
  /// What chooses when all requests go to the healthy endpoints of this priority: null when that needs more than a picker.
  [[nodiscard]] Picker* simple_picker() {
    return hash_ || !healthy_.is_flat() || routes_by_zone() ? nullptr : &healthy_.picker();
  }

  struct Source {
    bool degraded = false;
    bool panic = false;  ///< all endpoints
  };
  /// Nothing: there is none. `hash` and `attempt` are asked for only with a table.
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Source source, std::uint64_t hash, std::uint32_t attempt, Rng& rng,
                                                    const Facts& facts) {
    if (hash_) return choose_by_hash(source, hash, attempt, facts);
    if (source.panic) return all_.choose(rng, facts);
    LocalityChoice& among = source.degraded ? degraded_ : healthy_;
    return routes_by_zone() ? choose_by_zone(among, rng, facts) : among.choose(rng, facts);
  }

 private:
  [[nodiscard]] bool routes_by_zone() const { return zones_ && zones_->is_active(); }
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose_by_zone(LocalityChoice& among, Rng& rng, const Facts& facts) const {
    const ZoneRouting::Choice choice = zones_->choose(rng);
    if (choice.target == ZoneRouting::Target::kNobody) return std::nullopt;
    if (choice.target == ZoneRouting::Target::kAll) return among.choose(rng, facts);
    return among.choose_in(choice.zone, rng, facts);
  }
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose_by_hash(Source source, std::uint64_t hash, std::uint32_t attempt,
                                                            const Facts& facts) {
    if (source.panic) return hash_->choose(hash, attempt, [](std::uint32_t) { return true; }, hosts_, facts);
    const HostHealth wanted = source.degraded ? HostHealth::kDegraded : HostHealth::kHealthy;
    return hash_->choose(
        hash, attempt, [&](std::uint32_t host) { return health_[host] == wanted; },
        (source.degraded ? degraded_ : healthy_).hosts(), facts);
  }

  const config::Cluster* cluster_;
  std::vector<std::uint32_t> hosts_;
  std::vector<LocalityHosts> localities_;
  std::span<const HostHealth> health_;
  PriorityHosts counts_;
  Picker all_;
  LocalityChoice healthy_;
  LocalityChoice degraded_;
  std::optional<ZoneRouting> zones_;  // of localities_
  std::optional<HashChoice> hash_;
};

}  // namespace millrace::proxy
