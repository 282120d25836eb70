// The closed set of congestion controls, sized statically: a variant behind one concept.
#pragma once

#include <concepts>
#include <cstdint>
#include <variant>

#include "dataplane/tcp/congestion/reno.h"

namespace millrace::tcp {

template <typename T>
concept CongestionControl =
    std::constructible_from<T, std::uint32_t> && requires(T control, const T& view, std::uint32_t bytes, bool first) {
      control.on_ack(bytes);
      control.enter_recovery(bytes);
      control.on_recovery_duplicate();
      control.on_partial_ack(bytes);
      control.leave_recovery(bytes);
      control.on_timeout(bytes, first);
      control.on_idle();
      control.set_mss(bytes);
      { view.cwnd() } -> std::same_as<std::uint32_t>;
      { view.ssthresh() } -> std::same_as<std::uint32_t>;
    };

template <CongestionControl... Controls>
using CongestionVariant = std::variant<Controls...>;

using Congestion = CongestionVariant<Reno>;

}  // namespace millrace::tcp
