// The network filters that stand before the one that serves a connection.
#pragma once

#include <span>

#include "config/model/network_filter.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// Whether a connection is served, asked once, when its transport is ready (after a TLS handshake, and before its first byte,
/// which Envoy's filters wait for: what they decide by does not change). Each filter counts what it says. `info`: the addresses,
/// the TLS session and the server name.
[[nodiscard]] bool admit(std::span<const config::NetworkFilter> filters, const StreamInfo& info, std::uint32_t worker);

}  // namespace millrace::proxy
