// Envoy's substitution format strings, compiled: "%REQ(X-REQUEST-ID?:PATH):20%" between literals, "%%" for a percent sign.
// An operator that config/model/format_command.def does not list is an error: a log line must not silently lose a column.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "config/model/format.h"
#include "dataplane/base/result.h"

namespace millrace::config {

/// What Envoy writes when an access log names no format.
inline constexpr std::string_view kDefaultAccessLogFormat =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

inline constexpr std::size_t kMaxFormatElements = 1'000;

/// The error is a text that names the operator (or the column, for a stray "%") and what is wrong with it.
[[nodiscard]] Result<Format, std::string> compile_format(std::string_view source);

/// The text of a literal, whatever signs it holds: for values that are not formats.
[[nodiscard]] Format literal_format(std::string_view text);

}  // namespace millrace::config
