#include "dataplane/proxy/lb/priority_load.h"

#include <algorithm>

#include "dataplane/base/assert.h"

namespace millrace::proxy {
namespace {

constexpr std::uint32_t kWhole = 100;

std::uint32_t available(std::uint64_t part, std::uint64_t whole, std::uint32_t overprovisioning) {
  if (whole == 0) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(kWhole, overprovisioning * part / whole));
}

std::uint32_t total_available(std::span<const PriorityLoad> loads) {
  std::uint32_t sum = 0;
  for (const PriorityLoad& load : loads) sum += load.healthy_available + load.degraded_available;
  return std::min(sum, kWhole);
}

// By their availability, first the healthy of all priorities; what rounding leaves is for the first that has anybody.
void share_by_health(std::span<PriorityLoad> loads, std::uint32_t total) {
  std::uint32_t left = kWhole;
  const auto take = [&](std::uint32_t availability) {
    const std::uint32_t part = std::min(left, availability * kWhole / total);
    left -= part;
    return part;
  };
  for (PriorityLoad& load : loads) load.healthy = take(load.healthy_available);
  for (PriorityLoad& load : loads) load.degraded = take(load.degraded_available);
  if (left == 0) return;
  if (const auto first = std::ranges::find_if(loads, [](const auto& load) { return load.healthy_available > 0; });
      first != loads.end()) {
    first->healthy += left;
  } else {
    std::ranges::find_if(loads, [](const auto& load) { return load.degraded_available > 0; })->degraded += left;
  }
}

// By their number of endpoints: nobody's health counts.
void share_by_size(std::span<const PriorityHosts> hosts, std::span<PriorityLoad> loads) {
  std::uint64_t all = 0;
  for (const PriorityHosts& of_priority : hosts) all += of_priority.all;
  std::uint32_t left = kWhole;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    loads[i].healthy = all == 0 ? 0 : static_cast<std::uint32_t>(kWhole * hosts[i].all / all);
    loads[i].degraded = 0;
    left -= loads[i].healthy;
  }
  const auto first = std::ranges::find_if(hosts, [](const auto& of_priority) { return of_priority.all > 0; });
  loads[first == hosts.end() ? 0 : static_cast<std::size_t>(first - hosts.begin())].healthy += left;
}

}  // namespace

bool is_in_panic(const PriorityHosts& hosts, std::uint32_t threshold) {
  const std::uint64_t counted = hosts.all - hosts.excluded;
  const std::uint64_t good = hosts.healthy + hosts.degraded;
  return counted == 0 ? threshold > 0 : kWhole * good < threshold * counted;
}

void share_load(std::span<const PriorityHosts> hosts, std::uint32_t panic_threshold, std::span<PriorityLoad> loads) {
  MR_ASSERT(!hosts.empty() && hosts.size() == loads.size());
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    loads[i] = {};
    loads[i].healthy_available = available(hosts[i].measured_healthy, hosts[i].measured, hosts[i].overprovisioning_factor);
    loads[i].degraded_available = available(hosts[i].measured_degraded, hosts[i].measured, hosts[i].overprovisioning_factor);
  }
  const std::uint32_t total = total_available(loads);
  if (total > 0) share_by_health(loads, total);
  if (total < kWhole) {
    for (std::size_t i = 0; i < hosts.size(); ++i) loads[i].panic = is_in_panic(hosts[i], panic_threshold);
  }
  if (std::ranges::all_of(loads, &PriorityLoad::panic)) {
    share_by_size(hosts, loads);
  } else if (total == 0) {
    loads[0].healthy = kWhole;
  }
}

bool avoid_priorities(PriorityMask& tried, std::span<PriorityLoad> loads) {
  const auto total_of_others = [&] {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < loads.size(); ++i) {
      if (!tried.test(i)) sum += loads[i].healthy_available + loads[i].degraded_available;
    }
    return std::min(sum, kWhole);
  };
  std::uint32_t total = total_of_others();
  if (total == 0) {
    tried.reset();
    total = total_of_others();
  }
  if (total == 0) return false;
  for (PriorityLoad& load : loads) load.healthy = load.degraded = 0;
  // Again, until rounding leaves nothing.
  for (std::uint32_t left = kWhole; left > 0;) {
    const auto take = [&](std::size_t priority, std::uint32_t availability) {
      const std::uint32_t part = tried.test(priority) ? 0 : std::min(left, availability * kWhole / total);
      left -= part;
      return part;
    };
    for (std::size_t i = 0; i < loads.size(); ++i) loads[i].healthy += take(i, loads[i].healthy_available);
    for (std::size_t i = 0; i < loads.size(); ++i) loads[i].degraded += take(i, loads[i].degraded_available);
  }
  return true;
}

PriorityChoice choose_priority(std::span<const PriorityLoad> loads, std::uint64_t hash) {
  const std::uint64_t at = hash % kWhole;
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < loads.size(); ++i) {
    end += loads[i].healthy;
    if (at < end) return {i, false};
  }
  for (std::size_t i = 0; i < loads.size(); ++i) {
    end += loads[i].degraded;
    if (at < end) return {i, true};
  }
  return {};
}

}  // namespace millrace::proxy
