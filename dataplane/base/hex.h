// Bytes as hexadecimal text: two digits each, lower case.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace millrace {

[[nodiscard]] constexpr std::array<char, 2> hex_digits(std::uint8_t byte) {
  constexpr const char* kDigits = "0123456789abcdef";
  return {kDigits[byte >> 4], kDigits[byte & 15]};
}

[[nodiscard]] inline std::string to_hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    const auto digits = hex_digits(byte);
    text.append(digits.data(), digits.size());
  }
  return text;
}

}  // namespace millrace
