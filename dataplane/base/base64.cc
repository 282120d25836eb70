#include "dataplane/base/base64.h"

#include <array>

#include "dataplane/base/assert.h"

namespace millrace {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kNoDigit = 0x80;  // outside of six bits: one test finds it among several digits

constexpr std::array<std::uint8_t, 256> kUrlDigits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < kUrlAlphabet.size(); ++i)
    digits[static_cast<unsigned char>(kUrlAlphabet[i])] = static_cast<std::uint8_t>(i);
  return digits;
}();

std::uint32_t url_digit(char c) { return kUrlDigits[static_cast<unsigned char>(c)]; }
char byte_of(std::uint32_t bits) { return static_cast<char>(bits & 0xff); }

}  // namespace

std::optional<std::size_t> decode_base64url(std::string_view text, std::span<char> out) {
  MR_ASSERT(out.size() >= base64_decoded_size(text.size()));
  std::uint32_t seen = 0;
  std::size_t size = 0;
  for (; text.size() >= 4; text.remove_prefix(4)) {
    const std::uint32_t a = url_digit(text[0]), b = url_digit(text[1]), c = url_digit(text[2]), d = url_digit(text[3]);
    seen |= a | b | c | d;
    out[size++] = byte_of(a << 2 | b >> 4);
    out[size++] = byte_of(b << 4 | c >> 2);
    out[size++] = byte_of(c << 6 | d);
  }
  if (text.size() == 1) return std::nullopt;
  if (!text.empty()) {
    const std::uint32_t a = url_digit(text[0]), b = url_digit(text[1]), c = text.size() == 3 ? url_digit(text[2]) : 0;
    seen |= a | b | c;
    if (text.size() == 2 ? (b & 0xf) != 0 : (c & 3) != 0) return std::nullopt;
    out[size++] = byte_of(a << 2 | b >> 4);
    if (text.size() == 3) out[size++] = byte_of(b << 4 | c >> 2);
  }
  if ((seen & kNoDigit) != 0) return std::nullopt;
  return size;
}

std::string_view encode_base64(std::string_view bytes, std::span<char> out) {
  MR_ASSERT(out.size() >= base64_encoded_size(bytes.size()));
  const auto byte = [&](std::size_t at) { return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0u; };
  std::size_t size = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::uint32_t bits = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
    out[size++] = kAlphabet[bits >> 18];
    out[size++] = kAlphabet[bits >> 12 & 63];
    out[size++] = at + 1 < bytes.size() ? kAlphabet[bits >> 6 & 63] : '=';
    out[size++] = at + 2 < bytes.size() ? kAlphabet[bits & 63] : '=';
  }
  return {out.data(), size};
}

}  // namespace millrace
