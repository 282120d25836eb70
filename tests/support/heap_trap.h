// Counts what the code inside a scope takes from the heap. A test program that uses it has heap_trap.cc among its sources, which
// replaces malloc (in plain builds; sanitizers have their own) or operator new.
#pragma once

#include <cstddef>

namespace millrace::test {

inline bool heap_trap_armed = false;
inline std::size_t heap_trap_allocations = 0;

inline void note_allocation() {
  if (heap_trap_armed) ++heap_trap_allocations;
}

/// While it lives, every allocation of the program is counted; tests that use it run on one thread.
class HeapTrap {
 public:
  HeapTrap() { heap_trap_armed = true; }
  ~HeapTrap() { heap_trap_armed = false; }
  HeapTrap(const HeapTrap&) = delete;
  HeapTrap& operator=(const HeapTrap&) = delete;
};

}  // namespace millrace::test
