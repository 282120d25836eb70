#include "dataplane/proxy/lb/edf_schedule.h"

#include <algorithm>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

void EdfSchedule::add(std::uint32_t item, double weight, Rng& rng) {
  constexpr double kUnit = 1.0 / 9007199254740992.0;  // 2^-53: a double in [0, 1) from 53 random bits
  MR_ASSERT(weight > 0);
  const double place = static_cast<double>(rng.next() >> 11) * kUnit;
  heap_.push_back({place / weight, next_order_++, item});
  std::ranges::push_heap(heap_, later);
}

void EdfSchedule::advance(double weight) {
  MR_ASSERT(!heap_.empty() && weight > 0);
  std::ranges::pop_heap(heap_, later);
  Entry& served = heap_.back();
  served.deadline += 1.0 / weight;
  served.order = next_order_++;
  std::ranges::push_heap(heap_, later);
}

}  // namespace millrace::proxy
