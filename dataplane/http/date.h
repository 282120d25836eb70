// IMF-fixdate, the form of dates in HTTP fields (RFC 9110 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT".
// Formats only; the clock belongs to the caller, who also caches the text of the current second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::http {

inline constexpr std::size_t kDateBytes = 29;

/// Writes the date of `seconds` since 1970-01-01 UTC into `out` and returns a view of it. Times outside the years 0 to 9999,
/// which the form cannot express, are moved to the nearest it can.
std::string_view format_date(std::int64_t seconds, std::span<char, kDateBytes> out);

}  // namespace millrace::http
