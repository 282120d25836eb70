// The PROXY protocol, by which a proxy tells the next one who its client is: what a listener takes of it, and what endpoints are
// told. Sources: envoy.config.core.v3.ProxyProtocolConfig, envoy.extensions.filters.listener.proxy_protocol.v3,
// envoy.extensions.transport_sockets.proxy_protocol.v3.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>

#include "dataplane/report/cells.h"

namespace millrace::config {

/// Which of version 2's extensions (TLVs) are kept, by their type.
using ProxyTlvTypes = std::bitset<256>;

/// What a listener expects of its connections, before anything else.
struct ProxyProtocolIn {
  bool optional = false;  ///< connections without a header are served as they are
  bool v1 = true;         ///< the version is taken; with `optional`, what looks like one that is not is no header
  bool v2 = true;
  ProxyTlvTypes kept;                               ///< for the endpoints
  std::shared_ptr<report::ProxyProtocolCell> cell;  ///< by stat_prefix
};

/// What an endpoint is told at the beginning of each connection.
struct ProxyProtocolOut {
  enum class Version : std::uint8_t { kV1, kV2 };
  Version version = Version::kV1;
  ProxyTlvTypes passed;  ///< of what the client's own header held

  bool operator==(const ProxyProtocolOut&) const = default;
};

}  // namespace millrace::config
