// Writes text into a span that may be too small: what does not fit is cut off.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/base/copy_short.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {

class TextWriter {
 public:
  explicit TextWriter(std::span<char> out) : out_(out) {}

  void put(std::string_view text) {
    const std::size_t count = std::min(text.size(), out_.size() - size_);
    copy_short(out_.data() + size_, text.data(), count);
    size_ += count;
  }
  void put_number(std::uint64_t value) {
    std::array<char, kMaxDecimalBytes> digits;
    put(write_decimal(value, digits));
  }
  /// At least `width` characters, filled from the left.
  void put_padded(std::uint64_t value, std::size_t width, char fill = '0') {
    std::array<char, kMaxDecimalBytes> digits;
    const std::string_view text = write_decimal(value, digits);
    for (std::size_t i = text.size(); i < width; ++i) put({&fill, 1});
    put(text);
  }
  void put_address(const IpAddress& ip) {
    char text[IpAddress::kMaxText];
    put({text, ip.format_to(text)});
  }
  void put_address(const SocketAddress& address) {
    char text[SocketAddress::kMaxText];
    put({text, address.format_to(text)});
  }
  /// Forgets what was written behind the first `size` characters.
  void cut(std::size_t size) { size_ = std::min(size_, size); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::span<char> out_;
  std::size_t size_ = 0;
};

}  // namespace millrace::proxy
