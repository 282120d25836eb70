// An OCSP response as it is stapled to a handshake (RFC 6066 8). Its signature is not checked: clients do that, and the response
// comes from where the certificate comes from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

struct OcspStaple {
  std::string der;
  std::optional<std::int64_t> next_update;  ///< seconds since 1970; one without it counts as expired, as Envoy has it

  /// The error: what is wrong with it. It has to be a successful response for `certificate` alone.
  [[nodiscard]] static Result<OcspStaple, std::string> read(std::string_view der, X509* certificate);
  [[nodiscard]] bool expired(std::int64_t now) const { return !next_update || *next_update < now; }
};

/// The TLS feature extension with status_request in it (RFC 7633).
[[nodiscard]] bool must_staple(X509* certificate);

}  // namespace millrace::tls
