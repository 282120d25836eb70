// All endpoints of a cluster, or a subset of them, by priority: chooses a priority, then an endpoint of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/host_facts.h"
#include "dataplane/proxy/lb/host_set.h"
#include "dataplane/proxy/lb/priority_load.h"

namespace millrace::proxy {

struct StreamInfo;

/// What a request brings to the choice of its endpoint.
struct ChoiceContext {
  std::optional<std::uint64_t> hash = {};           ///< by its route's hash policy; nothing: random
  const config::MetadataMatch* metadata = nullptr;  ///< what its route asks of endpoints; null: nothing
  std::uint32_t attempt = 0;                        ///< how many choices for this try were not wanted
  /// Those that it was tried on before, with previous_priorities: emptied when nobody else is left. Null: none.
  PriorityMask* avoid_priorities = nullptr;
  const StreamInfo* info = nullptr;  ///< of the request or connection, for clusters that go by it; null: nothing is known
  std::optional<PriorityChoice> assigned = {};  ///< what an aggregate that the cluster belongs to has chosen; nothing: no such
};

/// How the choice came by its endpoints, where a cluster has subsets.
enum class SubsetOutcome : std::uint8_t { kNone, kSelected, kFallback, kFallbackPanic };

struct HostChoice {
  std::optional<std::uint32_t> endpoint = {};  ///< index into config::Cluster::endpoints
  bool in_panic = false;                       ///< its priority did not look at health
  SubsetOutcome subset = SubsetOutcome::kNone;
};

/// Whether localities share by their weights, and whether these count in proportion to the endpoints that are in the view.
enum class LocalityUse : std::uint8_t { kNone, kAsConfigured, kScaled };

class HostView {
 public:
  /// Of `cluster`, the endpoints `hosts`. `tables`: by priority, as config::Cluster::hash_tables.
  HostView(const config::Cluster& cluster, std::span<const std::uint32_t> hosts,
           std::span<const std::shared_ptr<const config::HashTable>> tables, LocalityUse localities, const ZoneContext& zones);

  /// As HostSet::refresh().
  void refresh(std::span<const HostHealth> health, Rng& rng);

  [[nodiscard]] std::span<const PriorityLoad> loads() const { return loads_; }
  /// What there is of each priority.
  [[nodiscard]] std::span<const PriorityHosts> counts() const { return counts_; }
  [[nodiscard]] std::span<const HostSet> sets() const { return sets_; }

  template <HostFacts Facts>
  [[nodiscard]] HostChoice choose(const ChoiceContext& context, Rng& rng, const Facts& facts) {
    if (context.assigned) [[unlikely]]
      return choose_as_assigned(context, rng, facts);
    if (simple_ != nullptr) return {.endpoint = simple_->choose(rng, facts)};
    if (sets_.empty()) return {};
    const std::uint64_t hash = context.hash ? *context.hash : rng.next();
    return choose_of(choose_priority(loads_for(context), hash), hash, context.attempt, rng, facts);
  }
  /// The same, of a priority that somebody else has chosen.
  template <HostFacts Facts>
  [[nodiscard]] HostChoice choose_of(PriorityChoice at, std::uint64_t hash, std::uint32_t attempt, Rng& rng, const Facts& facts) {
    const bool panic = loads_[at.priority].panic;
    if (panic && fail_in_panic_) return {.in_panic = true};
    return {.endpoint = sets_[at.priority].choose({.degraded = at.degraded, .panic = panic}, hash, attempt, rng, facts),
            .in_panic = panic};
  }

 private:
  // A subset may not have that priority.
  template <HostFacts Facts>
  [[nodiscard]] HostChoice choose_as_assigned(const ChoiceContext& context, Rng& rng, const Facts& facts) {
    if (context.assigned->priority >= sets_.size()) return {};
    return choose_of(*context.assigned, context.hash ? *context.hash : rng.next(), context.attempt, rng, facts);
  }
  [[nodiscard]] std::span<const PriorityLoad> loads_for(const ChoiceContext& context);

  std::uint32_t panic_threshold_;
  bool fail_in_panic_;
  std::vector<HostSet> sets_;  // by priority
  std::vector<PriorityLoad> loads_;
  std::vector<PriorityLoad> adjusted_;  // of one choice: see loads_for()
  std::vector<PriorityHosts> counts_;
  Picker* simple_ = nullptr;  // decides alone: all requests go to healthy endpoints of one priority, and need no hash
};

}  // namespace millrace::proxy
