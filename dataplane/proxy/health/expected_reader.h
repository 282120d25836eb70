// Looks for byte strings in an answer that comes in parts: each one behind the one before, with anything in between. One pass,
// nothing is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "config/model/health_check.h"

namespace millrace::proxy {

class ExpectedReader {
 public:
  /// Begins a new answer. `expected` outlives the reading.
  void start(const std::vector<config::ExpectedBytes>& expected) {
    expected_ = &expected;
    found_ = matched_ = 0;
    skip_empty();
  }

  void read(std::span<const std::uint8_t> part) {
    for (const std::uint8_t byte : part) {
      if (has_all()) return;
      const config::ExpectedBytes& wanted = (*expected_)[found_];
      while (matched_ > 0 && static_cast<std::uint8_t>(wanted.bytes[matched_]) != byte) matched_ = wanted.borders[matched_ - 1];
      if (static_cast<std::uint8_t>(wanted.bytes[matched_]) == byte) ++matched_;
      if (matched_ < wanted.bytes.size()) continue;
      ++found_;
      matched_ = 0;
      skip_empty();
    }
  }

  [[nodiscard]] bool has_all() const { return found_ == expected_->size(); }

 private:
  void skip_empty() {
    while (!has_all() && (*expected_)[found_].bytes.empty()) ++found_;
  }

  const std::vector<config::ExpectedBytes>* expected_ = nullptr;
  std::size_t found_ = 0;    // of them
  std::size_t matched_ = 0;  // bytes of the next
};

}  // namespace millrace::proxy
