// Which cluster of an aggregate gets a request, and which priority of it: the priorities of its members, one member behind the
// other, share the requests as those of one cluster do (priority_load.h). Those without endpoints do not count. Who of a priority
// it is, the member's own balancer decides. Only the constructor allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/priority_load.h"

namespace millrace::proxy {

class AggregateChoice {
 public:
  explicit AggregateChoice(const config::Cluster& aggregate);

  /// The priorities of all members anew: clear(), then add() for each of them in their order, then share(). Those beyond
  /// kMaxPriorities get nothing.
  void clear();
  void add(std::size_t member, std::span<const PriorityHosts> priorities);
  void share();

  struct Choice {
    std::size_t member = 0;
    PriorityChoice at = {};  ///< of the member's priorities
  };
  /// Nothing: no member has an endpoint. `avoid`: as ChoiceContext::avoid_priorities, among the priorities of all members.
  [[nodiscard]] std::optional<Choice> choose(PriorityMask* avoid, Rng& rng);
  /// Where a priority of a member stands among those of all; nothing: it does not count.
  [[nodiscard]] std::optional<std::size_t> place_of(std::size_t member, std::size_t priority) const;

 private:
  struct Place {
    std::size_t member;
    std::size_t priority;
    bool operator==(const Place&) const = default;
  };

  std::uint32_t panic_threshold_;
  // By priority among all.
  std::vector<Place> places_;
  std::vector<PriorityHosts> counts_;
  std::vector<PriorityLoad> loads_;
  std::vector<PriorityLoad> adjusted_;  // of one choice, with priorities to avoid
};

}  // namespace millrace::proxy
