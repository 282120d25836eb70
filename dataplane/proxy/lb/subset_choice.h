// The subset that a request's endpoint is chosen from: by what its route asks of metadata, else by the fallback of the selector
// with those keys, else by the cluster's. Envoy's subset load balancer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "config/model/subset_lookup.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/host_facts.h"
#include "dataplane/proxy/lb/host_view.h"

namespace millrace::proxy {

class SubsetChoice {
 public:
  /// `cluster` has subsets, and outlives it.
  SubsetChoice(const config::Cluster& cluster, std::span<const std::uint32_t> all, const ZoneContext& zones);

  /// As HostSet::refresh().
  void refresh(std::span<const HostHealth> health, Rng& rng);

  /// Of all endpoints, by priority.
  [[nodiscard]] std::span<const PriorityHosts> counts() const { return all_.counts(); }

  template <HostFacts Facts>
  [[nodiscard]] HostChoice choose(const ChoiceContext& context, Rng& rng, const Facts& facts) {
    const config::SubsetSelector* selector = nullptr;
    if (context.metadata != nullptr) {
      for (config::SubsetKeys keys = nullptr;; keys = &selector->fallback_keys) {
        if (const config::Subset* subset = config::find_subset(*subsets_, *context.metadata, keys)) {
          return counted(view_of(*subset).choose(context, rng, facts), SubsetOutcome::kSelected);
        }
        selector = config::find_selector(*subsets_, *context.metadata, keys);
        if (selector == nullptr || selector->fallback != config::SubsetFallback::kKeysSubset) break;
      }
    }
    if (selector != nullptr && selector->fallback) return fall_back(*selector->fallback, context, rng, facts);
    HostChoice choice = fall_back(subsets_->fallback, context, rng, facts);
    if (choice.endpoint) return counted(choice, SubsetOutcome::kFallback);
    if (!subsets_->panic_mode_any || subsets_->fallback == config::SubsetFallback::kNone) return choice;
    choice = all_.choose(context, rng, facts);
    return choice.endpoint ? counted(choice, SubsetOutcome::kFallbackPanic) : choice;
  }

 private:
  template <HostFacts Facts>
  [[nodiscard]] HostChoice fall_back(config::SubsetFallback fallback, const ChoiceContext& context, Rng& rng,
                                     const Facts& facts) {
    switch (fallback) {
      case config::SubsetFallback::kAnyEndpoint: return all_.choose(context, rng, facts);
      case config::SubsetFallback::kDefaultSubset: return default_.choose(context, rng, facts);
      case config::SubsetFallback::kKeysSubset:
      case config::SubsetFallback::kNone: break;
    }
    return {};
  }
  [[nodiscard]] static HostChoice counted(HostChoice choice, SubsetOutcome outcome) {
    choice.subset = outcome;
    return choice;
  }
  [[nodiscard]] HostView& view_of(const config::Subset& subset) {
    return views_[static_cast<std::size_t>(&subset - subsets_->subsets.data())];
  }

  const config::Subsets* subsets_;
  HostView all_;
  HostView default_;
  std::vector<HostView> views_;  // as subsets_.subsets
};

}  // namespace millrace::proxy
