// The name that a request asks its server for in TLS. Envoy: auto_sni, override_auto_sni_header.
#pragma once

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

/// Of the field `header` (lower case) where the request has it, else of its host: without a port and brackets, in lower case. May
/// be an address, which a certificate can name, and SNI not (RFC 6066 3). Empty: no memory. Lives as long as the request.
[[nodiscard]] std::string_view server_name_of(const http::RequestHead& head, std::string_view header, Arena& arena);

}  // namespace millrace::proxy
