// The closed set of congestion controls, sized statically: a variant behind one concept. A control decides how far the window
// falls at a sign of congestion and how it grows in congestion avoidance. Slow start, recovery and their windows are
// recovery.h's.
#pragma once

#include <concepts>
#include <cstdint>
#include <variant>

#include "dataplane/base/time.h"
#include "dataplane/tcp/congestion/cubic.h"
#include "dataplane/tcp/congestion/new_reno.h"
#include "dataplane/tcp/congestion/path_view.h"

namespace millrace::tcp {

template <typename T>
concept CongestionControl = std::copyable<T> && requires(T control, const PathView& path, std::uint32_t bytes, Duration time) {
  { control.on_congestion(path) } -> std::same_as<std::uint32_t>;  // the new ssthresh, bytes
  { control.grow(path, bytes) } -> std::same_as<std::uint32_t>;    // bytes to add to cwnd for `bytes` acknowledged
  control.on_timeout();
  control.on_idle(time);
};

template <CongestionControl... Controls>
using CongestionVariant = std::variant<Controls...>;

using Congestion = CongestionVariant<Cubic, NewReno>;

/// Which of them.
enum class CongestionKind : std::uint8_t { kCubic, kNewReno };

[[nodiscard]] inline Congestion make_congestion(CongestionKind kind) {
  return kind == CongestionKind::kCubic ? Congestion(Cubic()) : Congestion(NewReno());
}

}  // namespace millrace::tcp
