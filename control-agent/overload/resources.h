// Reads what the overload manager watches.
#pragma once

#include <cstdint>
#include <string>

#include "control-agent/overload/overload_manager.h"

namespace millrace::agent {

/// envoy.resource_monitors.fixed_heap: what malloc has given out, as a part of `max_bytes`. Packet memory is none of it.
[[nodiscard]] PressureReader heap_reader(std::uint64_t max_bytes);
/// envoy.resource_monitors.injected_resource: the number in a file, 0 to 1.
[[nodiscard]] PressureReader injected_reader(std::string path);

/// Gives free memory of the heap back to the system.
void shrink_heap();

}  // namespace millrace::agent
