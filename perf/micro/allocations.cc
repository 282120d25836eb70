// Counts the calls of operator new. In a source of its own: a compiler that saw malloc behind new would warn of a mismatch.
#include "perf/micro/allocations.h"

#include <cstdlib>
#include <new>

namespace {
std::uint64_t allocation_count = 0;
}

void* operator new(std::size_t size) {
  ++allocation_count;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace millrace::perf {

std::uint64_t allocations() { return allocation_count; }

}  // namespace millrace::perf
