// The first line of a response (RFC 9112 4). The reason phrase is checked and forgotten; it and the SP before it may be missing.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/base/result.h"
#include "dataplane/http/codec.h"

namespace millrace::http::http1 {

struct StatusLine {
  Version version = Version::kHttp11;
  std::uint16_t status = 0;  ///< 100 to 999
};

[[nodiscard]] Result<StatusLine, ProtocolError> parse_status_line(std::string_view line);

/// The phrase of RFC 9110 15 and its registry for `status`; empty for an unknown one.
[[nodiscard]] std::string_view reason_phrase(std::uint16_t status);

}  // namespace millrace::http::http1
