// x-forwarded-client-cert: what is told upstream of the client's certificate. Envoy: forward_client_cert_details and
// set_current_client_cert_details of the connection manager.
#pragma once

#include <string>
#include <string_view>

#include "config/model/listener.h"
#include "dataplane/http/header_map.h"
#include "tls/handshake.h"

namespace millrace::proxy {

/// The element that we add for a client: "By=...;Hash=...;Subject=...". Empty: it has shown no certificate. Once a connection.
[[nodiscard]] std::string client_cert_element(const tls::SessionFacts& facts,
                                              const config::HttpConnectionManager::ClientCertDetails& details);

/// Applies the manager's mode to a request. `has_certificate`: its client has shown one; `element`: client_cert_element().
/// False: out of memory.
[[nodiscard]] bool forward_client_cert(config::HttpConnectionManager::ForwardClientCert mode, bool has_certificate,
                                       std::string_view element, http::HeaderMap& headers);

}  // namespace millrace::proxy
