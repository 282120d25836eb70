// Bytes that say where they belong: the byte at each position of each stream is a hash of both, so that a reader can check them
// as they come and notices a lost, repeated, exchanged or foreign byte.
#pragma once

#include <cstdint>
#include <span>

namespace millrace::sim {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

[[nodiscard]] constexpr std::uint8_t pattern_byte(std::uint64_t key, std::uint64_t position) {
  return static_cast<std::uint8_t>(mix(key ^ mix(position / 8)) >> (position % 8 * 8));
}

/// The bytes of stream `key` from `position` on.
inline void fill_pattern(std::uint64_t key, std::uint64_t position, std::span<std::uint8_t> out) {
  std::uint64_t word = mix(key ^ mix(position / 8));
  for (std::uint8_t& byte : out) {
    if (position % 8 == 0) word = mix(key ^ mix(position / 8));
    byte = static_cast<std::uint8_t>(word >> (position % 8 * 8));
    ++position;
  }
}

/// How many bytes of `bytes` are not those of stream `key` from `position` on.
[[nodiscard]] inline std::size_t count_wrong(std::uint64_t key, std::uint64_t position, std::span<const std::uint8_t> bytes) {
  std::uint64_t word = mix(key ^ mix(position / 8));
  std::size_t wrong = 0;
  for (const std::uint8_t byte : bytes) {
    if (position % 8 == 0) word = mix(key ^ mix(position / 8));
    wrong += byte != static_cast<std::uint8_t>(word >> (position % 8 * 8));
    ++position;
  }
  return wrong;
}

}  // namespace millrace::sim
