// Names of ciphers, curves, signature algorithms and protocols, as the configuration writes them, set in an SSL_CTX. A name that
// OpenSSL does not know is told.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "tls/context.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

/// Versions, ciphers, curves, signature algorithms. Empty: all is set.
[[nodiscard]] std::optional<ContextError> set_parameters(SSL_CTX* context, const ContextConfig& config);

/// As ALPN has them on the wire (RFC 7301 3.1); the error names one that is empty or longer than 255 bytes.
[[nodiscard]] Result<std::vector<std::uint8_t>, std::string> protocols_on_wire(std::span<const std::string> protocols);

}  // namespace millrace::tls
