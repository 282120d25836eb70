// Loads and stores of big-endian integers at any alignment. Bounds are the caller's business.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace millrace::wire {

/// The same value with its bytes in the other order.
template <typename Int>
[[nodiscard]] constexpr Int network_order(Int value) {
  if constexpr (std::endian::native == std::endian::little) return std::byteswap(value);
  return value;
}

template <typename Int>
[[nodiscard]] inline Int load_be(const std::uint8_t* from) {
  Int value;
  std::memcpy(&value, from, sizeof(value));
  return network_order(value);
}
[[nodiscard]] inline std::uint16_t load_be16(const std::uint8_t* from) { return load_be<std::uint16_t>(from); }
[[nodiscard]] inline std::uint32_t load_be32(const std::uint8_t* from) { return load_be<std::uint32_t>(from); }

template <typename Int>
inline void store_be(std::uint8_t* to, Int value) {
  const Int ordered = network_order(value);
  std::memcpy(to, &ordered, sizeof(ordered));
}
inline void store_be16(std::uint8_t* to, std::uint16_t value) { store_be(to, value); }
inline void store_be32(std::uint8_t* to, std::uint32_t value) { store_be(to, value); }

}  // namespace millrace::wire
