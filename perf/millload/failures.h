// What must not happen while something is measured.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace millrace::perf {

/// Told of whatever is not as it must be. What was measured until then says nothing.
class Failures {
 public:
  void add(std::string what) {
    ++count_;
    if (first_.empty()) first_ = std::move(what);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] const std::string& first() const { return first_; }

 private:
  std::uint64_t count_ = 0;
  std::string first_;
};

}  // namespace millrace::perf
