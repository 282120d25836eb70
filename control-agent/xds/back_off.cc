#include "control-agent/xds/back_off.h"

#include <algorithm>

namespace millrace::agent {
namespace {

constexpr std::uint32_t kMostDoublings = 16;

}  // namespace

Duration jittered_back_off(Duration base, Duration longest, std::uint32_t failures, Rng& rng) {
  const std::int64_t doubled = base.to_nanoseconds() << std::min(failures - 1, kMostDoublings);
  const std::int64_t most = std::clamp<std::int64_t>(doubled, 1, longest.to_nanoseconds());
  return Duration::nanoseconds(static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(most)));
}

}  // namespace millrace::agent
