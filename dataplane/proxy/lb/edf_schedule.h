// Earliest deadline first: whoever is at the front is served, and comes again after 1/weight. Over time each gets its weight's
// share, spread as evenly as weights allow. A heap of fixed size: nothing allocates after the constructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"

namespace millrace::proxy {

class EdfSchedule {
 public:
  /// The healthy endpoints of `cluster`, each at a random place of its first period.
  EdfSchedule(const config::Cluster& cluster, Rng& rng);

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  /// The slot of the next to be served; must not be empty.
  [[nodiscard]] std::size_t front() const { return 0; }
  [[nodiscard]] std::size_t endpoint(std::size_t slot) const { return heap_[slot].endpoint; }
  [[nodiscard]] std::uint32_t weight(std::size_t slot) const { return heap_[slot].weight; }
  /// The front was served: puts it back at its deadline plus 1/weight.
  void advance(double weight);

 private:
  struct Entry {
    double deadline;
    std::uint64_t order;  // of equal deadlines the one that was served longer ago
    std::uint32_t endpoint;
    std::uint32_t weight;
  };
  [[nodiscard]] static bool later(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order;
  }

  std::vector<Entry> heap_;  // std::push_heap's order: the earliest deadline at index 0
  std::uint64_t next_order_ = 0;
};

}  // namespace millrace::proxy
