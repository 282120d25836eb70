#include "dataplane/proxy/expensive_streams.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

constexpr std::size_t kClasses = 8;
constexpr std::size_t kMostResets = 50;  // in one round, as in Envoy

/// The class of a stream that holds `bytes`; less than none: it is too small to be looked at.
int class_of(std::size_t bytes, std::uint32_t least_power) {
  const int power = static_cast<int>(std::bit_width(bytes)) - 1;
  return std::min(power - static_cast<int>(least_power), static_cast<int>(kClasses) - 1);
}

int first_class(std::uint32_t level) {
  using report::OverloadCell;
  const std::size_t classes = std::min<std::size_t>(level * kClasses / OverloadCell::kSaturated + 1, kClasses);
  return static_cast<int>(kClasses - classes);
}

}  // namespace

void reset_expensive_streams(Runtime& runtime, const config::Overload& overload, Instant now) {
  const std::uint32_t rounds = overload.cell->reset_rounds.load(std::memory_order_relaxed);
  if (std::exchange(runtime.reset_rounds, rounds) == rounds) return;
  const int least = first_class(overload.cell->level(report::OverloadAction::kResetHighMemoryStream));
  std::size_t resets = 0;
  for (int wanted = kClasses - 1; wanted >= least && resets < kMostResets; --wanted) {
    for_each(runtime.downstreams, [&](DownstreamConnection& connection) {
      if (resets >= kMostResets || connection.chain().listener().bypasses_overload) return;
      if (class_of(connection.held_bytes(), overload.least_account_power) != wanted) return;
      connection.reset_in_overload(now);
      ++resets;
    });
  }
  overload.cell->streams_reset[runtime.worker()].add(resets);
}

}  // namespace millrace::proxy
