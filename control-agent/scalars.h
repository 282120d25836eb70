// Scalars of the proto3 JSON mapping: text in, value out. Used in both directions (loader.h, to_json.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::agent {

/// A signed or unsigned whole number; "1.0" and "1e3" are whole too. Nothing when it is not one or does not fit.
[[nodiscard]] std::optional<std::int64_t> parse_int64(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> parse_uint64(std::string_view text);
/// A number in JSON's grammar, or "NaN", "Infinity", "-Infinity".
[[nodiscard]] std::optional<double> parse_double(std::string_view text);
/// Is this plain text a number to JSON?
[[nodiscard]] bool is_json_number(std::string_view text);

/// Standard and URL-safe alphabet, with or without padding.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
[[nodiscard]] std::string encode_base64(std::string_view bytes);

struct DurationParts {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;  ///< of the same sign
};
/// "1.5s", "-0.25s"; at most nine digits after the point, at most 315,576,000,000 seconds.
[[nodiscard]] std::optional<DurationParts> parse_duration(std::string_view text);
[[nodiscard]] std::string print_duration(std::int64_t seconds, std::int32_t nanos);

[[nodiscard]] bool is_valid_utf8(std::string_view text);

}  // namespace millrace::agent
