// How a simulated port with several queues chooses among them, as devices do: by the flow of a TCP packet that is whole, else the
// first queue.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/flow_steering.h"

namespace millrace::sim {

[[nodiscard]] std::uint16_t queue_of(const FlowSteering& rule, std::span<const std::uint8_t> frame);

}  // namespace millrace::sim
