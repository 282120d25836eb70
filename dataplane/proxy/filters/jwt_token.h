// A JSON Web Token in its compact form (RFC 7515 7.1, RFC 7519): taken apart and read, its form and the types of the registered
// claims checked. Nothing that it says is true yet: jwt_verifier.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/proxy/filters/jwt_status.h"
#include "dataplane/proxy/policy/json.h"
#include "dataplane/proxy/policy/metadata.h"
#include "tls/signature.h"

namespace millrace::proxy {

/// Parts of the text and of the arena. Times are seconds since 1970.
struct JwtToken {
  std::string_view signed_part;     ///< header and payload as they were sent, with the dot
  std::string_view payload_base64;  ///< without padding
  std::string_view signature;
  const MetadataValue* header = nullptr;   ///< a struct
  const MetadataValue* payload = nullptr;  ///< a struct
  tls::SignatureAlgorithm algorithm = {};
  std::string_view algorithm_name;
  std::string_view key_id;   ///< kid; empty: none
  std::string_view issuer;   ///< iss; empty: none
  std::string_view subject;  ///< sub; empty: none
  std::optional<std::uint64_t> not_before;
  std::optional<std::uint64_t> expires;
};

/// kOk, kNoMemory or what is wrong with the form of `text`. Longer than limits::kJwtBytes is kBadFormat.
[[nodiscard]] JwtStatus parse_jwt(std::string_view text, JsonReader& json, Arena& arena, JwtToken& out);

}  // namespace millrace::proxy
