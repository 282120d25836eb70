// As many bytes as one vector register holds, looked at all at once.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace {

/// Bit i of a mask stands for byte i.
class ByteBlock {
 public:
#ifdef __AVX2__
  static constexpr std::size_t kBytes = 32;
#else
  static constexpr std::size_t kBytes = 16;
#endif

  /// Reads kBytes from `from`.
  explicit ByteBlock(const char* from) { std::memcpy(&bytes_, from, kBytes); }

  /// Of the first `count` bytes; all for kBytes and more.
  [[nodiscard]] static constexpr std::uint32_t first(std::size_t count) {
    return count >= kBytes ? ~std::uint32_t{0} : (std::uint32_t{1} << count) - 1;
  }
  [[nodiscard]] std::uint32_t equal(char c) const { return mask_of(bytes_ == static_cast<signed char>(c)); }
  /// Stores the block at `to`, its first `count` bytes (fewer than kBytes) in lower case.
  void store_lower(char* to, std::size_t count) const {
    Vector counts;
    std::memcpy(&counts, kOnesThenZeros.data() + kBytes - count, kBytes);
    const Vector lower = bytes_ | (counts & (bytes_ >= 'A') & (bytes_ <= 'Z') & 0x20);
    std::memcpy(to, &lower, kBytes);
  }

 private:
  using Vector [[gnu::vector_size(kBytes)]] = signed char;

  [[nodiscard]] static std::uint32_t mask_of(Vector all_or_none) {
#ifdef __AVX2__
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(reinterpret_cast<__m256i>(all_or_none)));
#else
    return static_cast<std::uint32_t>(_mm_movemask_epi8(reinterpret_cast<__m128i>(all_or_none)));
#endif
  }

  static constexpr auto kOnesThenZeros = [] {
    std::array<unsigned char, 2 * kBytes> bytes{};
    std::fill_n(bytes.begin(), kBytes, 0xff);
    return bytes;
  }();

  Vector bytes_;
};

}  // namespace millrace
