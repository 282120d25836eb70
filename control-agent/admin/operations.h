// What the pages do that change something and take parameters; admin_server.cc has the others. Texts and statuses are Envoy's.
#pragma once

#include <string>

#include "control-agent/admin/gateway_view.h"
#include "control-agent/admin/parameters.h"

namespace millrace::agent {

struct Answer {
  int status = 200;
  std::string text = "OK\n";
};

/// /logging: level=LEVEL, paths=NAME:LEVEL[,NAME:LEVEL] or NAME=LEVEL; without any it shows the levels.
[[nodiscard]] Answer change_logging(GatewayView& gateway, const Parameters& parameters);

/// /drain_listeners: graceful, inboundonly, skip_exit. Listeners are all drained or none: a drain of the inbound ones alone is
/// refused where there are others, too.
[[nodiscard]] Answer drain_listeners(GatewayView& gateway, const Parameters& parameters);

/// /runtime_modify: KEY=VALUE[&KEY=VALUE].
[[nodiscard]] Answer modify_runtime(GatewayView& gateway, const Parameters& parameters);

}  // namespace millrace::agent
