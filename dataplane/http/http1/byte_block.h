// As many bytes as one vector register holds, looked at all at once.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::http::http1 {

/// Bit i of a mask stands for byte i.
class ByteBlock {
 public:
#ifdef __AVX2__
  static constexpr std::size_t kBytes = 32;
#else
  static constexpr std::size_t kBytes = 16;
#endif
  /// Of the first `count` bytes; all for kBytes and more.
  [[nodiscard]] static constexpr std::uint32_t first(std::size_t count) {
    return count >= kBytes ? ~std::uint32_t{0} : (std::uint32_t{1} << count) - 1;
  }

#ifdef __AVX2__
  /// Reads kBytes from `from`.
  explicit ByteBlock(const char* from) : bytes_(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))) {}
  [[nodiscard]] std::uint32_t equal(char c) const {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes_, _mm256_set1_epi8(c))));
  }
  /// Stores the block at `to`, its first `count` bytes (fewer than kBytes) in lower case.
  void store_lower(char* to, std::size_t count) const {
    const __m256i letter = _mm256_and_si256(_mm256_cmpgt_epi8(bytes_, _mm256_set1_epi8('A' - 1)),
                                            _mm256_cmpgt_epi8(_mm256_set1_epi8('Z' + 1), bytes_));
    const auto* ones = reinterpret_cast<const __m256i*>(kMask.data() + kBytes - count);
    const __m256i bits = _mm256_and_si256(_mm256_loadu_si256(ones), _mm256_and_si256(letter, _mm256_set1_epi8(0x20)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_or_si256(bytes_, bits));
  }

 private:
  __m256i bytes_;
#else
  explicit ByteBlock(const char* from) : bytes_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))) {}
  [[nodiscard]] std::uint32_t equal(char c) const {
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes_, _mm_set1_epi8(c))));
  }
  void store_lower(char* to, std::size_t count) const {
    const __m128i letter =
        _mm_and_si128(_mm_cmpgt_epi8(bytes_, _mm_set1_epi8('A' - 1)), _mm_cmpgt_epi8(_mm_set1_epi8('Z' + 1), bytes_));
    const auto* ones = reinterpret_cast<const __m128i*>(kMask.data() + kBytes - count);
    const __m128i bits = _mm_and_si128(_mm_loadu_si128(ones), _mm_and_si128(letter, _mm_set1_epi8(0x20)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_or_si128(bytes_, bits));
  }

 private:
  __m128i bytes_;
#endif

  // Bytes 0 to kBytes - 1 are 0xff.
  static constexpr auto kMask = [] {
    std::array<unsigned char, 2 * kBytes> bytes{};
    std::fill_n(bytes.begin(), kBytes, 0xff);
    return bytes;
  }();
};

}  // namespace millrace::http::http1
