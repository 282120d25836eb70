// Bytes that nobody may find in memory afterwards: keys and what they are derived from.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/assert.h"

namespace millrace::tls {

/// Overwrites `bytes`; not optimised away.
void wipe(std::span<std::uint8_t> bytes);

/// The same number of bytes, compared in a time that does not depend on their values.
[[nodiscard]] bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

/// Up to kMostBytes, wiped when it goes. Copies are secrets of their own.
class Secret {
 public:
  static constexpr std::size_t kMostBytes = 48;  ///< what SHA-384 makes, and the master secret of TLS 1.2

  Secret() = default;
  /// Zeroes, to be filled.
  explicit Secret(std::size_t size) : size_(static_cast<std::uint8_t>(size)) { MR_ASSERT(size <= kMostBytes); }
  explicit Secret(std::span<const std::uint8_t> bytes) : Secret(bytes.size()) { std::ranges::copy(bytes, bytes_.begin()); }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { wipe(bytes_); }

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return std::span(bytes_).first(size_); }
  [[nodiscard]] std::span<std::uint8_t> bytes() { return std::span(bytes_).first(size_); }

 private:
  std::array<std::uint8_t, kMostBytes> bytes_{};
  std::uint8_t size_ = 0;
};

}  // namespace millrace::tls
