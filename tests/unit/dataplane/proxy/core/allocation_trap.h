// Counts calls of operator new while armed (allocation_trap.cc replaces it).
#pragma once

#include <cstddef>

namespace millrace::proxy::test {

struct AllocationTrap {
  static inline bool armed = false;
  static inline std::size_t count = 0;
};

}  // namespace millrace::proxy::test
