// Earliest deadline first: whoever is at the front is served, and comes again after 1/weight. Over time each gets its weight's
// share, spread as evenly as weights allow. A heap that allocates in reserve() alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::proxy {

class EdfSchedule {
 public:
  /// Room for that many items.
  void reserve(std::size_t items) { heap_.reserve(items); }
  void clear() { heap_.clear(); }
  /// Adds an item at a random place of its first period; `weight` is above 0.
  void add(std::uint32_t item, double weight, Rng& rng);

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  /// The next to be served; must not be empty.
  [[nodiscard]] std::uint32_t front() const { return heap_.front().item; }
  /// The front was served: puts it back at its deadline plus 1/weight.
  void advance(double weight);

 private:
  struct Entry {
    double deadline;
    std::uint64_t order;  // of equal deadlines the one that was served longer ago
    std::uint32_t item;
  };
  [[nodiscard]] static bool later(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order;
  }

  std::vector<Entry> heap_;  // std::push_heap's order: the earliest deadline at index 0
  std::uint64_t next_order_ = 0;
};

}  // namespace millrace::proxy
