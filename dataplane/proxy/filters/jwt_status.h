// What comes of looking at a JSON Web Token. Rows: jwt_status.def.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::proxy {

enum class JwtStatus : std::uint8_t {
#define MR_JWT_STATUS(name, code, text) name,
#include "dataplane/proxy/filters/jwt_status.def"
#undef MR_JWT_STATUS
  kNoMemory,  ///< nothing is known of the token; the request is answered with 503
};

// Not of kNoMemory.
[[nodiscard]] std::uint32_t code_of(JwtStatus status);
[[nodiscard]] std::string_view text_of(JwtStatus status);

}  // namespace millrace::proxy
