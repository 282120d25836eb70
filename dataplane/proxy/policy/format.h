// Fills in Envoy's substitution formats: access log lines and header values. Writes text only, never fails: what does not fit
// is cut off. The clock is StreamInfo's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "config/model/format.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

struct FormatEnvironment {
  std::string_view hostname;       ///< %HOSTNAME%
  std::string_view missing = "-";  ///< what stands for a value that is not there; header values use ""
};

/// Writes `format` for a stream; returns the length, at most out.size().
std::size_t evaluate(const config::Format& format, const StreamInfo& info, const FormatEnvironment& environment,
                     std::span<char> out);

/// The same into the arena, for header values: missing values are empty, control characters are removed (RFC 9110 5.5),
/// at most kMaxHeaderValueBytes. Null data(): the arena is exhausted.
inline constexpr std::size_t kMaxHeaderValueBytes = 8 * 1024;
[[nodiscard]] std::string_view evaluate_header_value(const config::Format& format, const StreamInfo& info,
                                                     const FormatEnvironment& environment, Arena& arena);

/// One access log line, ended by '\n' even when cut off; returns the length. `out` holds at least one byte.
std::size_t render_access_log(const config::Format& format, const StreamInfo& info, const FormatEnvironment& environment,
                              std::span<char> out);

/// Writes an instant given in nanoseconds since the Unix epoch, UTC. `pattern` is strftime's with Envoy's additions: %s (seconds
/// since the epoch), %f or %1f to %9f (fraction), %3s and the like (the epoch in that precision), %E3S. Empty: ISO 8601 with ms.
std::size_t format_time(std::int64_t wall_nanoseconds, std::string_view pattern, std::span<char> out);

}  // namespace millrace::proxy
