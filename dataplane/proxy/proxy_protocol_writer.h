// Writes the header of the PROXY protocol (haproxy.org's proxy-protocol.txt, 2.1 and 2.2).
#pragma once

#include <string_view>

#include "config/model/proxy_protocol.h"
#include "dataplane/base/addresses.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

/// The client that a connection to an endpoint is made for.
struct ProxiedClient {
  SocketAddress source;
  SocketAddress destination;         ///< what it has connected to
  std::string_view extensions = {};  ///< of its own header: ProxyProtocolReader::extensions()
};

/// Appends the header to `to`. `client`: null when the connection is for nobody's sake: LOCAL, or UNKNOWN in version 1. Addresses
/// of different families are both written as IPv6. Extensions that would make it too long are left out. False: no memory.
[[nodiscard]] bool write_proxy_header(const config::ProxyProtocolOut& config, const ProxiedClient* client, stream::Chain& to);

}  // namespace millrace::proxy
