// Copies of a few bytes, as header fields are: without a call, and never beyond either end.
#pragma once

#include <cstddef>
#include <cstring>

namespace millrace {

namespace detail {
// A call of its own: compilers would warn of objects that are shorter, although the branch is never taken for them.
[[gnu::noinline]] inline void copy_long(void* to, const void* from, std::size_t size) { std::memcpy(to, from, size); }
}  // namespace detail

/// As memcpy(). Up to 32 bytes go as two copies of fixed size that overlap.
[[gnu::always_inline]] inline void copy_short(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const unsigned char*>(from);
  const auto both_ends = [&]<std::size_t N>() __attribute__((always_inline)) {
    unsigned char first[N];
    unsigned char last[N];
    std::memcpy(first, in, N);
    std::memcpy(last, in + size - N, N);
    std::memcpy(out, first, N);
    std::memcpy(out + size - N, last, N);
  };
  if (__builtin_constant_p(size)) {
    std::memcpy(to, from, size);
  } else if (size > 32) {
    detail::copy_long(to, from, size);
  } else if (size >= 16) {
    both_ends.template operator()<16>();
  } else if (size >= 8) {
    both_ends.template operator()<8>();
  } else if (size >= 4) {
    both_ends.template operator()<4>();
  } else if (size >= 2) {
    both_ends.template operator()<2>();
  } else if (size == 1) {
    *out = *in;
  }
}

}  // namespace millrace
