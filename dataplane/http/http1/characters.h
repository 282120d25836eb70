// The character classes of HTTP/1 as tables (RFC 9110 5.5 and 5.6.2, RFC 3986 appendix A).
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::http::http1 {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
/// The value of a hexadecimal digit; -1 for anything else.
constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

namespace detail {
constexpr std::array<char, 256> make_token_table() {
  std::array<char, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const char ch = static_cast<char>(c);
    if (is_alpha(ch) || is_digit(ch) || std::string_view("!#$%&'*+-.^_`|~").contains(ch))
      table[static_cast<std::size_t>(c)] = to_lower(ch);
  }
  return table;
}
inline constexpr std::array<char, 256> kTokenTable = make_token_table();
}  // namespace detail

/// The character in lower case if it may stand in a token (methods, field names), else 0.
constexpr char token_char(char c) { return detail::kTokenTable[static_cast<std::uint8_t>(c)]; }
constexpr bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return token_char(c) != 0; });
}

/// HTAB, SP, visible characters and obs-text: all but NUL, CR, LF, DEL and the other control characters.
constexpr bool is_value_char(char c) {
  const auto byte = static_cast<std::uint8_t>(c);
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}
inline bool is_field_value(std::string_view text) {
  const char* at = text.data();
  const std::size_t size = text.size();
  __m128i bad = _mm_setzero_si128();
  const auto look_at = [&bad](__m128i bytes) {
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    bad = _mm_or_si128(bad, _mm_or_si128(_mm_andnot_si128(tab, control), _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f))));
  };
  // The last bytes are looked at together with some that were already.
  if (size >= 16) {
    for (std::size_t done = 0; done + 16 < size; done += 16)
      look_at(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + done)));
    look_at(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + size - 16)));
  } else if (size >= 8) {
    look_at(_mm_unpacklo_epi64(_mm_loadu_si64(at), _mm_loadu_si64(at + size - 8)));
  } else if (size >= 4) {
    const __m128i both = _mm_unpacklo_epi32(_mm_loadu_si32(at), _mm_loadu_si32(at + size - 4));
    look_at(_mm_unpacklo_epi64(both, both));
  } else {
    return std::all_of(text.begin(), text.end(), is_value_char);
  }
  return _mm_movemask_epi8(bad) == 0;
}

/// What a request target may hold: visible ASCII but "#". Wider than RFC 3986, which browsers exceed in queries.
constexpr bool is_target_char(char c) { return c > 0x20 && c < 0x7f && c != '#'; }

constexpr std::string_view trim_whitespace(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}
constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

/// Calls visit(element) for the elements of a comma-separated list, empty ones left out (RFC 9110 5.6.1.2); stops at false.
template <typename Visit>
constexpr bool for_each_element(std::string_view list, Visit&& visit) {
  while (true) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim_whitespace(list.substr(0, comma));
    if (!element.empty() && !visit(element)) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace millrace::http::http1
