#include "control-agent/scalars.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace millrace::agent {
namespace {

constexpr std::int64_t kMaxDurationSeconds = 315'576'000'000;

std::size_t digits_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  return end - at;
}

template <typename T>
std::optional<T> parse_whole(std::string_view text) {
  T value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure == std::errc() && end == text.data() + text.size()) return value;
  if (failure != std::errc() && failure != std::errc::invalid_argument) return std::nullopt;
  if (!is_json_number(text)) return std::nullopt;
  const auto real = parse_double(text);
  // The bounds as doubles: 2^63 and 2^64 are exact, the values below them are what fits.
  const double low = static_cast<double>(std::numeric_limits<T>::min());
  const double high = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (!real || std::trunc(*real) != *real || *real < low || *real >= high) return std::nullopt;
  return static_cast<T>(*real);
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

bool is_json_number(std::string_view text) {
  std::size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
  const std::size_t whole = digits_at(text, at);
  if (whole == 0 || (whole > 1 && text[at] == '0')) return false;
  at += whole;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = digits_at(text, at + 1);
    if (fraction == 0) return false;
    at += 1 + fraction;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const std::size_t exponent = digits_at(text, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == text.size();
}

std::optional<std::int64_t> parse_int64(std::string_view text) { return parse_whole<std::int64_t>(text); }
std::optional<std::uint64_t> parse_uint64(std::string_view text) { return parse_whole<std::uint64_t>(text); }

std::optional<double> parse_double(std::string_view text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (!is_json_number(text)) return std::nullopt;
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> decode_base64(std::string_view text) {
  const std::size_t length = text.size();
  while (!text.empty() && text.back() == '=' && length - text.size() < 2) text.remove_suffix(1);
  if (length != text.size() && length % 4 != 0) return std::nullopt;
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> count) & 0xff);
    }
  }
  return out;
}

std::string encode_base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = (bits << 8) | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += at + i <= bytes.size() ? kAlphabet[(bits >> (18 - 6 * i)) & 0x3f] : '=';
    }
  }
  return out;
}

std::optional<DurationParts> parse_duration(std::string_view text) {
  if (text.empty() || text.back() != 's') return std::nullopt;
  text.remove_suffix(1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::size_t whole = digits_at(text, 0);
  if (whole == 0 || whole > 12) return std::nullopt;
  DurationParts parts;
  std::from_chars(text.data(), text.data() + whole, parts.seconds);
  if (whole < text.size()) {
    const std::size_t fraction = text[whole] == '.' ? digits_at(text, whole + 1) : 0;
    if (fraction == 0 || fraction > 9 || whole + 1 + fraction != text.size()) return std::nullopt;
    std::from_chars(text.data() + whole + 1, text.data() + text.size(), parts.nanos);
    for (std::size_t i = fraction; i < 9; ++i) parts.nanos *= 10;
  }
  if (parts.seconds > kMaxDurationSeconds || (parts.seconds == kMaxDurationSeconds && parts.nanos > 0)) return std::nullopt;
  if (negative) {
    parts.seconds = -parts.seconds;
    parts.nanos = -parts.nanos;
  }
  return parts;
}

std::string print_duration(std::int64_t seconds, std::int32_t nanos) {
  std::array<char, 64> text{};
  const bool negative = seconds < 0 || nanos < 0;
  const auto magnitude = static_cast<long long>(seconds < 0 ? -seconds : seconds);
  const int fraction = nanos < 0 ? -nanos : nanos;
  const char* sign = negative ? "-" : "";
  if (fraction == 0) {
    std::snprintf(text.data(), text.size(), "%s%llds", sign, magnitude);
  } else if (fraction % 1'000'000 == 0) {
    std::snprintf(text.data(), text.size(), "%s%lld.%03ds", sign, magnitude, fraction / 1'000'000);
  } else if (fraction % 1'000 == 0) {
    std::snprintf(text.data(), text.size(), "%s%lld.%06ds", sign, magnitude, fraction / 1'000);
  } else {
    std::snprintf(text.data(), text.size(), "%s%lld.%09ds", sign, magnitude, fraction);
  }
  return text.data();
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t more = lead < 0x80 ? 0 : (lead >> 5) == 6 ? 1 : (lead >> 4) == 14 ? 2 : (lead >> 3) == 30 ? 3 : 4;
    if (more == 4 || at + more >= text.size()) return false;
    std::uint32_t code = more == 0 ? lead : lead & (0x3fU >> more);
    for (std::size_t i = 1; i <= more; ++i) {
      const auto byte = static_cast<unsigned char>(text[at + i]);
      if ((byte >> 6) != 2) return false;
      code = (code << 6) | (byte & 0x3fU);
    }
    static constexpr std::array<std::uint32_t, 4> kSmallest{0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    at += more + 1;
  }
  return true;
}

}  // namespace millrace::agent
