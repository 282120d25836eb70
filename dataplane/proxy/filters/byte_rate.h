// How many bytes may pass by now, at a steady rate.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::proxy {

class ByteRate {
 public:
  /// What may pass at once after a pause.
  static constexpr Duration kBurst = Duration::milliseconds(100);

  /// `kibibytes_per_second`: at least 1.
  ByteRate(std::uint64_t kibibytes_per_second, Instant now)
      : bytes_per_second_(std::min<std::uint64_t>(kibibytes_per_second, std::uint64_t{1} << 30) * 1024), filled_(now) {}

  /// Takes what may pass of `wanted` bytes.
  [[nodiscard]] std::size_t take(std::size_t wanted, Instant now) {
    filled_ = std::max(filled_, now - kBurst);
    const auto allowed = static_cast<std::uint64_t>(static_cast<double>((now - filled_).to_nanoseconds()) * 1e-9 *
                                                    static_cast<double>(bytes_per_second_));
    const std::uint64_t taken = std::min<std::uint64_t>(wanted, allowed);
    // To the nanosecond of the last byte: what is less than a byte is not lost.
    filled_ = filled_ + Duration::nanoseconds(
                            static_cast<std::int64_t>(static_cast<double>(taken) * 1e9 / static_cast<double>(bytes_per_second_)));
    return static_cast<std::size_t>(taken);
  }

 private:
  std::uint64_t bytes_per_second_;
  Instant filled_;  // everything up to here is used
};

}  // namespace millrace::proxy
