// Which endpoint of a cluster gets the next request: weighted round robin, least request, random. One object per cluster and
// worker; its constructor allocates, choose() does not. Only endpoints that were healthy when it was built are chosen.
// Deliberately not here: localities, priorities, panic mode, subsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/edf_schedule.h"

namespace millrace::proxy {

/// Calls give each healthy endpoint its share in turn: weights 3 and 1 give A A B A. A worker starts at a random place, so that
/// workers do not march in step.
class RoundRobin {
 public:
  RoundRobin(const config::Cluster& cluster, Rng& rng);
  [[nodiscard]] std::optional<std::size_t> choose();

 private:
  EdfSchedule schedule_;
};

/// Equal weights: the least busy of `least_request_choices` random endpoints. Unequal weights: a schedule in which an endpoint's
/// weight is divided by its requests in progress plus one (Envoy's active_request_bias of 1).
class LeastRequest {
 public:
  LeastRequest(const config::Cluster& cluster, Rng& rng);

  template <typename ActiveRequests>
  [[nodiscard]] std::optional<std::size_t> choose(Rng& rng, const ActiveRequests& active) {
    if (healthy_.empty()) return std::nullopt;
    if (!equal_weights_) {
      const std::size_t slot = schedule_.front();
      const std::size_t endpoint = schedule_.endpoint(slot);
      schedule_.advance(static_cast<double>(schedule_.weight(slot)) / (static_cast<double>(active(endpoint)) + 1.0));
      return endpoint;
    }
    std::size_t best = pick(rng);
    for (std::uint32_t i = 1; i < choices_; ++i) {
      const std::size_t other = pick(rng);
      if (active(other) < active(best)) best = other;
    }
    return best;
  }

 private:
  [[nodiscard]] std::size_t pick(Rng& rng) const { return healthy_[rng.below(static_cast<std::uint32_t>(healthy_.size()))]; }

  std::vector<std::uint32_t> healthy_;
  EdfSchedule schedule_;
  std::uint32_t choices_;
  bool equal_weights_;
};

/// Each call independently, by weight.
class WeightedRandom {
 public:
  explicit WeightedRandom(const config::Cluster& cluster);
  [[nodiscard]] std::optional<std::size_t> choose(Rng& rng) const;

 private:
  struct Share {
    std::uint64_t end;  // the sum of the weights up to and with this endpoint
    std::uint32_t endpoint;
  };
  std::vector<Share> shares_;
};

class LoadBalancer {
 public:
  LoadBalancer(const config::Cluster& cluster, Rng& rng) : policy_(make(cluster, rng)) {}

  /// The index in cluster.endpoints of the endpoint for one request; nothing when no endpoint is healthy.
  /// `active(index)` tells the requests in progress at an endpoint; only least request asks.
  template <typename ActiveRequests>
  [[nodiscard]] std::optional<std::size_t> choose(Rng& rng, const ActiveRequests& active) {
    if (auto* round_robin = std::get_if<RoundRobin>(&policy_)) return round_robin->choose();
    if (auto* least = std::get_if<LeastRequest>(&policy_)) return least->choose(rng, active);
    return std::get_if<WeightedRandom>(&policy_)->choose(rng);
  }

 private:
  using Policy = std::variant<RoundRobin, LeastRequest, WeightedRandom>;
  [[nodiscard]] static Policy make(const config::Cluster& cluster, Rng& rng);

  Policy policy_;
};

}  // namespace millrace::proxy
