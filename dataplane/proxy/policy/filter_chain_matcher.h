// Which filter chain a connection gets. Order and precedence: config/model/filter_chain_table.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/model/filter_chain_table.h"
#include "dataplane/base/addresses.h"

namespace millrace::proxy {

/// What listener filters and addresses tell of a connection.
struct ConnectionTraits {
  SocketAddress local = {};   ///< these three: as ClientAddresses
  SocketAddress remote = {};  ///< the source
  SocketAddress direct_remote = {};
  std::string_view server_name = {};                        ///< lower case; empty: none
  std::string_view transport_protocol = "raw_buffer";       ///< or "tls"
  std::span<const std::string> application_protocols = {};  ///< in the client's order
};

/// The index of the chain; nothing when none fits and there is no default.
[[nodiscard]] std::optional<std::uint32_t> find_filter_chain(const config::FilterChainTable& table,
                                                             const ConnectionTraits& traits);

}  // namespace millrace::proxy
