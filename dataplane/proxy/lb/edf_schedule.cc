#include "dataplane/proxy/lb/edf_schedule.h"

#include <algorithm>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

EdfSchedule::EdfSchedule(const config::Cluster& cluster, Rng& rng) {
  constexpr double kUnit = 1.0 / 9007199254740992.0;  // 2^-53: a double in [0, 1) from 53 random bits
  for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) {
    const config::Endpoint& endpoint = cluster.endpoints[i];
    if (!endpoint.healthy || endpoint.weight == 0) continue;
    const double place = static_cast<double>(rng.next() >> 11) * kUnit;
    heap_.push_back({place / endpoint.weight, next_order_++, static_cast<std::uint32_t>(i), endpoint.weight});
  }
  std::ranges::make_heap(heap_, later);
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
