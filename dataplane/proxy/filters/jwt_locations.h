// Tokens in a request: in fields (RFC 6750 2.1 and others), query parameters (RFC 6750 2.3) and cookies.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "config/model/filters/jwt_authn.h"
#include "dataplane/base/limits.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

struct FoundJwt {
  std::string_view text;
  const config::JwtLocation* location = nullptr;
};

/// In the order of their locations, and of their fields.
struct FoundJwts {
  std::array<FoundJwt, limits::kJwtsPerRequest> tokens;
  std::size_t count = 0;
  bool too_many = false;  ///< there are more
};

/// False: no memory.
[[nodiscard]] bool find_jwts(std::span<const config::JwtLocation> locations, const http::RequestHead& head, FoundJwts& out);

/// Takes what stands at a location out of the request; a cookie stays, as in Envoy. False: no memory.
[[nodiscard]] bool remove_jwt(const config::JwtLocation& location, http::RequestHead& head);

}  // namespace millrace::proxy
