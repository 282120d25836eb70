// Replaces operator new for this test program, so that a test can say "nothing was allocated".
#include <cstdlib>
#include <new>

#include "tests/unit/dataplane/proxy/core/allocation_trap.h"

namespace {

void* counted(std::size_t size) {
  using millrace::proxy::test::AllocationTrap;
  if (AllocationTrap::armed) ++AllocationTrap::count;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
