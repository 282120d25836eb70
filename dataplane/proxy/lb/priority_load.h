// Which part of the requests each priority gets, by the health of its endpoints: the arithmetic of Envoy's overprovisioning,
// degraded endpoints and panic threshold. All parts are whole percents.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>

namespace millrace::proxy {

/// Envoy knows priorities 0 to 128.
inline constexpr std::size_t kMaxPriorities = 129;
using PriorityMask = std::bitset<kMaxPriorities>;

/// What there is of a priority.
struct PriorityHosts {
  std::uint64_t all = 0;       ///< endpoints
  std::uint64_t excluded = 0;  ///< of them; neither healthy nor degraded
  std::uint64_t healthy = 0;
  std::uint64_t degraded = 0;
  // What health is measured in: endpoints, or their weights (weighted_priority_health).
  std::uint64_t measured = 0;  ///< of all that are not excluded
  std::uint64_t measured_healthy = 0;
  std::uint64_t measured_degraded = 0;
  std::uint32_t overprovisioning_factor = 140;  ///< percent
};

struct PriorityLoad {
  std::uint32_t healthy = 0;   ///< percent of all requests that its healthy endpoints get
  std::uint32_t degraded = 0;  ///< and its degraded ones
  bool panic = false;          ///< those that it gets go to any of its endpoints
  // With overprovisioning, at most 100: what the parts were computed from.
  std::uint32_t healthy_available = 0;
  std::uint32_t degraded_available = 0;
};

/// Fewer than `threshold` percent of those that count are healthy or degraded.
[[nodiscard]] bool is_in_panic(const PriorityHosts& hosts, std::uint32_t threshold);

/// Fills `loads`, one for each of `hosts`, in order of priority. The parts add up to 100; with nobody available and no panic all
/// of it falls to priority 0, which has nobody for it. `panic_threshold`: percent; 0: no panic.
void share_load(std::span<const PriorityHosts> hosts, std::uint32_t panic_threshold, std::span<PriorityLoad> loads);

/// For another try of a request: `loads` with the parts of the priorities in `tried` given to the others. When the others have
/// nobody, `tried` is emptied and all count. False: nobody is available anywhere; `loads` stays as it is.
[[nodiscard]] bool avoid_priorities(PriorityMask& tried, std::span<PriorityLoad> loads);

struct PriorityChoice {
  std::size_t priority = 0;
  bool degraded = false;
};
/// The priority of a request; `hash` is random, or the request's.
[[nodiscard]] PriorityChoice choose_priority(std::span<const PriorityLoad> loads, std::uint64_t hash);

}  // namespace millrace::proxy
