// Endpoints of one health, in all and by locality, and which locality is next where localities are weighted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/edf_schedule.h"
#include "dataplane/proxy/lb/host_facts.h"
#include "dataplane/proxy/lb/picker.h"

namespace millrace::proxy {

/// What a locality's weight counts: in proportion to those of its endpoints that are available, up to the whole; with 140 percent
/// of overprovisioning two sevenths may fail before it counts less. `counted`: its endpoints without excluded ones.
[[nodiscard]] double effective_locality_weight(double weight, std::size_t available, std::size_t counted,
                                               std::uint32_t overprovisioning_factor);

/// The endpoints of one locality and priority, whatever their health.
struct LocalityHosts {
  std::vector<std::uint32_t> hosts;
  double weight = 0;        ///< 0: it gets nothing
  std::size_t counted = 0;  ///< of `hosts`, those that are not excluded
};

class LocalityChoice {
 public:
  /// Among `hosts`. Unless localities are weighted, `localities` is empty.
  LocalityChoice(const config::Cluster& cluster, std::size_t hosts, std::span<const LocalityHosts> localities);

  /// From now on those of `hosts`, and of `localities` with their counts, whose health is `wanted`.
  void assign(const config::Cluster& cluster, std::span<const std::uint32_t> hosts, std::span<const LocalityHosts> localities,
              std::span<const HostHealth> health, HostHealth wanted, Rng& rng);

  [[nodiscard]] std::span<const std::uint32_t> hosts() const { return hosts_; }
  /// All of them, however localities are weighted.
  [[nodiscard]] Picker& picker() { return picker_; }
  /// No locality with a weight has anybody, or localities are not weighted: the choice is among all.
  [[nodiscard]] bool is_flat() const { return schedule_.empty(); }

  /// How many there are of each locality.
  [[nodiscard]] std::span<const std::size_t> sizes() const { return sizes_; }
  /// One of that locality; where it has nobody, of all.
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose_in(std::size_t locality, Rng& rng, const Facts& facts) {
    return (sizes_[locality] == 0 ? picker_ : parts_[locality].picker).choose(rng, facts);
  }
  template <HostFacts Facts>
  [[nodiscard]] std::optional<std::uint32_t> choose(Rng& rng, const Facts& facts) {
    if (schedule_.empty()) return picker_.choose(rng, facts);
    Part& part = parts_[schedule_.front()];
    schedule_.advance(part.weight);
    return part.picker.choose(rng, facts);
  }

 private:
  struct Part {
    Picker picker;
    double weight = 0;
  };

  std::vector<std::uint32_t> hosts_;
  Picker picker_;
  std::vector<Part> parts_;  // as the localities
  std::vector<std::size_t> sizes_;
  EdfSchedule schedule_;  // of parts
  std::vector<std::uint32_t> scratch_;
};

}  // namespace millrace::proxy
