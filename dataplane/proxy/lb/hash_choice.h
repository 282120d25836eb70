// Consistent hashing: which endpoint of a HashTable a request's hash leads to. Endpoints that are not in the choice now are
// passed over: on a ring the next slot counts, in a Maglev table another one that follows from the hash. Where a limit of load is
// set (hash_balance_factor), whoever has reached it is passed over too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "config/model/load_balancing.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/host_facts.h"

namespace millrace::proxy {

/// The slot of `table`, which has some, that `hash` leads to. `skip`: that many of those it leads to are passed over.
[[nodiscard]] std::size_t slot_of(const config::HashTable& table, std::uint64_t hash, std::uint32_t skip);

class HashChoice {
 public:
  /// `table` stays where it is. `balance_factor`: percent; 0: no limit.
  HashChoice(const config::HashTable& table, std::uint32_t balance_factor);

  /// An endpoint of `table` in the choice; nothing when there is none. `fallback`: those in the choice, asked when the table
  /// leads to none of them in a bounded number of steps. `attempt`: passes over that many slots.
  template <typename InChoice, HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(std::uint64_t hash, std::uint32_t attempt, const InChoice& in_choice,
                                                    std::span<const std::uint32_t> fallback, const Facts& facts) {
    if (table_->slots.empty() || fallback.empty()) return std::nullopt;
    const std::uint32_t host = find(hash, attempt, in_choice, fallback);
    return balance_factor_ == 0 ? host : least_loaded(host, hash, in_choice, facts);
  }

 private:
  static constexpr std::uint32_t kMostSteps = 128;

  template <typename InChoice>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, std::uint32_t attempt, const InChoice& in_choice,
                                   std::span<const std::uint32_t> fallback) const {
    for (std::uint32_t step = 0; step < kMostSteps; ++step) {
      const std::uint32_t host = table_->slots[slot_of(*table_, hash, attempt + step)];
      if (in_choice(host)) return host;
    }
    return fallback[hash % fallback.size()];
  }

  // In the order of a shuffle that the hash seeds: the same key always meets the same others.
  template <typename InChoice, HostFacts Facts>
  [[nodiscard]] std::uint32_t least_loaded(std::uint32_t first, std::uint64_t hash, const InChoice& in_choice,
                                           const Facts& facts) {
    const auto at = std::ranges::find(table_->hosts, first, &config::HashTable::Host::endpoint);
    if (at == table_->hosts.end()) return first;
    std::uint32_t best = first;
    double least = load_of(*at, facts);
    Rng shuffle(hash);
    for (std::uint32_t i = 0; i < order_.size() && least > 1; ++i) {
      std::swap(order_[i], order_[i + shuffle.below(static_cast<std::uint32_t>(order_.size()) - i)]);
      const config::HashTable::Host& other = table_->hosts[order_[i]];
      if (other.endpoint == first || !in_choice(other.endpoint)) continue;
      const double load = load_of(other, facts);
      if (load >= least) continue;
      best = other.endpoint;
      least = load;
    }
    std::iota(order_.begin(), order_.end(), 0u);
    return best;
  }

  // Of what it may have at the most; above 1 it is overloaded.
  template <HostFacts Facts>
  [[nodiscard]] double load_of(const config::HashTable::Host& host, const Facts& facts) const {
    const std::size_t all = ((facts.all_active_requests() + 1) * balance_factor_ + 99) / 100;
    const double limit = std::max(std::ceil(static_cast<double>(all) * host.share), 1.0);
    return static_cast<double>(facts.active_requests(host.endpoint)) / limit;
  }

  const config::HashTable* table_;
  std::uint32_t balance_factor_;
  std::vector<std::uint32_t> order_;  // of table_->hosts; sorted between calls
};

}  // namespace millrace::proxy
