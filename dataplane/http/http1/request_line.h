// The first line of a request: method, target in its four forms, version (RFC 9112 3, RFC 3986).
// Stricter than it must be: exactly one SP between the parts, no userinfo, no fragment, no scheme but http and https.
#pragma once

#include <string_view>

#include "dataplane/base/result.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/http1/settings.h"

namespace millrace::http::http1 {

enum class TargetForm : std::uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

/// Views into the line, or constants.
struct RequestLine {
  std::string_view method;
  TargetForm form = TargetForm::kOrigin;
  std::string_view scheme;     ///< absolute form only: "http" or "https"
  std::string_view authority;  ///< absolute and authority form
  std::string_view path;       ///< origin form of the target, empty for kAuthority; for "http://h?q" only "?q": see needs_slash
  bool needs_slash = false;    ///< the path lacks its leading "/" ("http://h?q")
  Version version = Version::kHttp11;
};

[[nodiscard]] Result<RequestLine, ProtocolError> parse_request_line(std::string_view line, const Settings& settings);

}  // namespace millrace::http::http1
