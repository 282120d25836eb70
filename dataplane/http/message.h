// Requests and responses as every codec presents them and every filter sees them, whatever the version on the wire.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/header_map.h"

namespace millrace::http {

enum class Version : std::uint8_t { kHttp10, kHttp11, kHttp2 };

/// Texts live in the stream's arena. The pseudo fields are not in `headers`: no Host, no ":path".
struct RequestHead {
  RequestHead(Arena& arena, std::size_t field_limit) : headers(arena, field_limit) {}

  std::string_view method;     ///< as sent; case-sensitive (RFC 9110 9.1)
  std::string_view scheme;     ///< from an absolute-form target or :scheme; empty when the wire does not say
  std::string_view authority;  ///< Host, or the target's authority, which wins (RFC 9112 3.2.2); may be empty in HTTP/1.0
  std::string_view path;       ///< origin form with query: "/a?b"; "*" for OPTIONS *; empty for CONNECT
  std::string_view upgrade;    ///< the protocol asked for by Upgrade (RFC 9110 7.8), "CONNECT" for CONNECT; else empty
  Version version = Version::kHttp11;
  HeaderMap headers;
};

struct ResponseHead {
  ResponseHead(Arena& arena, std::size_t field_limit) : headers(arena, field_limit) {}

  std::uint16_t status = 0;
  Version version = Version::kHttp11;
  HeaderMap headers;
};

}  // namespace millrace::http
