// A policy that needs no hash, over a list of endpoints: weighted round robin, least request, random. assign() says which
// endpoints there are, as often as their health changes; only reserve() allocates.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/edf_schedule.h"
#include "dataplane/proxy/lb/host_facts.h"

namespace millrace::proxy {

/// The endpoints of a list, and whether all have one weight.
class HostList {
 public:
  void reserve(std::size_t hosts) { hosts_.reserve(hosts); }
  void assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster);
  [[nodiscard]] std::span<const std::uint32_t> all() const { return hosts_; }
  [[nodiscard]] std::size_t size() const { return hosts_.size(); }
  [[nodiscard]] bool empty() const { return hosts_.empty(); }
  [[nodiscard]] std::uint32_t operator[](std::size_t place) const { return hosts_[place]; }
  [[nodiscard]] std::uint32_t random(Rng& rng) const { return hosts_[rng.below(static_cast<std::uint32_t>(hosts_.size()))]; }
  [[nodiscard]] bool has_equal_weights() const { return equal_weights_; }

 private:
  std::vector<std::uint32_t> hosts_;
  bool equal_weights_ = true;
};

/// Calls give each endpoint its share in turn: weights 3 and 1 give A A B A. A worker starts at a random place, so that workers
/// do not march in step.
class RoundRobin {
 public:
  explicit RoundRobin(const config::Cluster& cluster) : slow_start_(cluster.balancing.slow_start.is_enabled()) {}

  void reserve(std::size_t hosts);
  void assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng& rng);

  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Rng&, const Facts& facts) {
    if (hosts_.empty()) return std::nullopt;
    if (schedule_.empty()) {
      if (++next_ >= hosts_.size()) next_ = 0;
      return hosts_[next_];
    }
    const std::uint32_t host = schedule_.front();
    schedule_.advance(facts.weight(host));
    return host;
  }

 private:
  HostList hosts_;
  EdfSchedule schedule_;  // empty while all weights are equal
  std::size_t next_ = 0;
  bool slow_start_;
};

/// Equal weights: the least busy of some random endpoints. Unequal weights: a schedule in which an endpoint's weight is divided
/// by its requests in progress plus one, to the power of active_request_bias.
class LeastRequest {
 public:
  explicit LeastRequest(const config::Cluster& cluster)
      : choices_(std::max(cluster.least_request_choices, 1u)),
        bias_(cluster.balancing.active_request_bias),
        full_scan_(cluster.balancing.full_scan),
        slow_start_(cluster.balancing.slow_start.is_enabled()) {}

  void reserve(std::size_t hosts);
  void assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng& rng);

  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Rng& rng, const Facts& facts) {
    if (hosts_.empty()) return std::nullopt;
    if (hosts_.has_equal_weights() && !(slow_start_ && facts.some_are_new())) {
      return full_scan_ ? least_of_all(rng, facts) : least_of_some(rng, facts);
    }
    const std::uint32_t host = schedule_.front();
    const double load = static_cast<double>(facts.active_requests(host)) + 1;
    schedule_.advance(facts.weight(host) / (bias_ == 1 ? load : std::pow(load, bias_)));
    return host;
  }

 private:
  template <HostFacts Facts>
  [[nodiscard]] std::uint32_t least_of_some(Rng& rng, const Facts& facts) const {
    std::uint32_t best = hosts_.random(rng);
    for (std::uint32_t i = 1; i < choices_; ++i) {
      const std::uint32_t other = hosts_.random(rng);
      if (facts.active_requests(other) < facts.active_requests(best)) best = other;
    }
    return best;
  }
  // Of equally busy ones a random one: of each further one that is as good, the chance to replace the best is one in their
  // number.
  template <HostFacts Facts>
  [[nodiscard]] std::uint32_t least_of_all(Rng& rng, const Facts& facts) const {
    std::uint32_t best = hosts_[0];
    std::uint32_t equals = 1;
    for (std::size_t i = 1; i < hosts_.size(); ++i) {
      const std::size_t load = facts.active_requests(hosts_[i]);
      const std::size_t least = facts.active_requests(best);
      if (load > least) continue;
      equals = load < least ? 1 : equals + 1;
      if (rng.below(equals) == 0) best = hosts_[i];
    }
    return best;
  }

  HostList hosts_;
  EdfSchedule schedule_;  // empty while all weights are equal and none can change
  std::uint32_t choices_;
  double bias_;
  bool full_scan_;
  bool slow_start_;
};

/// Each call independently; weights do not count, as in Envoy.
class RandomChoice {
 public:
  explicit RandomChoice(const config::Cluster&) {}

  void reserve(std::size_t hosts) { hosts_.reserve(hosts); }
  void assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng&) { hosts_.assign(hosts, cluster); }

  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Rng& rng, const Facts&) const {
    if (hosts_.empty()) return std::nullopt;
    return hosts_.random(rng);
  }

 private:
  HostList hosts_;
};

class Picker {
 public:
  explicit Picker(const config::Cluster& cluster) : policy_(make(cluster)) {}

  /// Room for that many endpoints.
  void reserve(std::size_t hosts) {
    std::visit([&](auto& policy) { policy.reserve(hosts); }, policy_);
  }
  /// From now on these, with their weights in `cluster`.
  void assign(std::span<const std::uint32_t> hosts, const config::Cluster& cluster, Rng& rng) {
    std::visit([&](auto& policy) { policy.assign(hosts, cluster, rng); }, policy_);
  }
  /// The endpoint for one request; nothing when there is none.
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Rng& rng, const Facts& facts) {
    if (auto* round_robin = std::get_if<RoundRobin>(&policy_)) return round_robin->choose(rng, facts);
    if (auto* least = std::get_if<LeastRequest>(&policy_)) return least->choose(rng, facts);
    return std::get_if<RandomChoice>(&policy_)->choose(rng, facts);
  }

 private:
  using Policy = std::variant<RoundRobin, LeastRequest, RandomChoice>;
  [[nodiscard]] static Policy make(const config::Cluster& cluster);

  Policy policy_;
};

}  // namespace millrace::proxy
