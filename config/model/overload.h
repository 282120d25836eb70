// Overload as the workers see it. How it is judged is the agent's (control-agent/overload). Sources: envoy.config.overload.v3,
// envoy.extensions.resource_monitors.downstream_connections.v3.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/report/overload.h"

namespace millrace::config {

inline constexpr std::uint64_t kUnlimitedConnections = ~std::uint64_t{0};

struct Overload {
  std::uint64_t max_connections = kUnlimitedConnections;  ///< of clients, over all listeners and workers
  /// Streams that hold less than 2^ this many bytes are never reset for what they hold; 0: none is.
  std::uint32_t least_account_power = 0;
  std::vector<report::OverloadAction> actions;  ///< those that are configured
  std::shared_ptr<report::OverloadCell> cell;   ///< never null
};

}  // namespace millrace::config
