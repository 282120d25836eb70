// Assertions for programmers' errors, on in every build. Bad input is never a programmer's error: it gets a Result.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace millrace {

/// Prints the failed condition with its place and aborts; the crash handler adds version and backtrace.
[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "assertion failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace millrace

#define MR_ASSERT(condition) \
  (__builtin_expect(static_cast<bool>(condition), 1) ? void(0) : ::millrace::assertion_failed(#condition, __FILE__, __LINE__))
