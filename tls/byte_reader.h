// Reads the presentation language of RFC 8446 3: numbers in network order, vectors behind their length. One that goes beyond the
// end leaves ok() false for ever, and all that is read from then on is empty or 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::tls {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  /// All was read, and nothing more.
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

  std::uint32_t number(std::size_t size) {
    std::uint32_t value = 0;
    for (const std::uint8_t byte : bytes(size)) value = value << 8 | byte;
    return value;
  }
  std::span<const std::uint8_t> bytes(std::size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  /// A vector whose length stands before it in `length_bytes`.
  ByteReader vector(std::size_t length_bytes) {
    const std::size_t size = number(length_bytes);
    ByteReader inner(bytes(size));
    inner.ok_ = ok_;
    return inner;
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }

 private:
  std::span<const std::uint8_t> rest_;
  bool ok_ = true;
};

}  // namespace millrace::tls
