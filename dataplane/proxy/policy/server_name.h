// The name that a request asks its server for in TLS. Envoy: auto_sni, override_auto_sni_header.
#pragma once

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

/// Of the field `header` (lower case) where the request has it, else of its host: without a port, in lower case. Empty where that
/// is an address, which RFC 6066 3 does not allow as a name. Lives as long as the request.
[[nodiscard]] std::string_view server_name_of(const http::RequestHead& head, std::string_view header, Arena& arena);

}  // namespace millrace::proxy
