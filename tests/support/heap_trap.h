// Counts what the code inside a scope takes from the heap. Include in one source of a test program only: it replaces malloc (in
// plain builds; sanitizers have their own) and operator new.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>

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

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);

void* malloc(std::size_t size) {
  millrace::test::note_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  millrace::test::note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  millrace::test::note_allocation();
  return __libc_realloc(memory, size);
}
}
#else
void* operator new(std::size_t size) {
  millrace::test::note_allocation();
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  millrace::test::note_allocation();
  return std::malloc(size);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
