// uri-host [ ":" port ], as in Host and in targets (RFC 9110 7.2, RFC 3986 3.2.2). Checks characters and shape, resolves nothing.
#pragma once

#include <string_view>

namespace millrace::http::http1 {

/// May be empty, as Host may; the port may be missing or empty. No userinfo.
[[nodiscard]] bool is_authority(std::string_view text);
/// The same with a host and a port that are not empty (RFC 9112 3.2.3).
[[nodiscard]] bool is_authority_with_port(std::string_view text);

}  // namespace millrace::http::http1
