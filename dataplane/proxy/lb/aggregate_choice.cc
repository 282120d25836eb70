#include "dataplane/proxy/lb/aggregate_choice.h"

#include <algorithm>

namespace millrace::proxy {

static_assert(config::kMostAggregateMembers <= kMaxPriorities);

AggregateChoice::AggregateChoice(const config::Cluster& aggregate) : panic_threshold_(aggregate.balancing.panic_threshold) {
  places_.reserve(kMaxPriorities);
  counts_.reserve(kMaxPriorities);
  loads_.reserve(kMaxPriorities);
  adjusted_.reserve(kMaxPriorities);
}

void AggregateChoice::clear() {
  places_.clear();
  counts_.clear();
}

void AggregateChoice::add(std::size_t member, std::span<const PriorityHosts> priorities) {
  for (std::size_t i = 0; i < priorities.size() && places_.size() < kMaxPriorities; ++i) {
    if (priorities[i].all == 0) continue;
    places_.push_back({member, i});
    counts_.push_back(priorities[i]);
  }
}

void AggregateChoice::share() {
  loads_.resize(counts_.size());
  if (!counts_.empty()) share_load(counts_, panic_threshold_, loads_);
}

std::optional<AggregateChoice::Choice> AggregateChoice::choose(PriorityMask* avoid, Rng& rng) {
  if (places_.empty()) return std::nullopt;
  std::span<const PriorityLoad> loads = loads_;
  if (avoid != nullptr && avoid->any()) {
    adjusted_ = loads_;
    if (avoid_priorities(*avoid, adjusted_)) loads = adjusted_;
  }
  const PriorityChoice chosen = choose_priority(loads, rng.next());
  const Place& place = places_[chosen.priority];
  return Choice{.member = place.member, .at = {.priority = place.priority, .degraded = chosen.degraded}};
}

std::optional<std::size_t> AggregateChoice::place_of(std::size_t member, std::size_t priority) const {
  const auto at = std::ranges::find(places_, Place{member, priority});
  if (at == places_.end()) return std::nullopt;
  return static_cast<std::size_t>(at - places_.begin());
}

}  // namespace millrace::proxy
