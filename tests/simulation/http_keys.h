// Whose bytes a body's are: shared by clients and origins.
#pragma once

#include <cstdint>

#include "tests/simulation/pattern.h"

namespace millrace::sim {

[[nodiscard]] constexpr std::uint64_t request_key(std::uint64_t number) { return mix(number * 2); }
[[nodiscard]] constexpr std::uint64_t response_key(std::uint64_t number) { return mix(number * 2 + 1); }

}  // namespace millrace::sim
