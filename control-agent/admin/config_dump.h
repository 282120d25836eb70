// /config_dump and /init_dump: what runs and what is waited for, with Envoy's parameters. Pure functions of what the gateway
// shows.
#pragma once

#include <optional>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/base/result.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/admin/v3/init_dump.pb.h"

namespace millrace::agent {

/// Why there is no page, and the status that says so.
struct PageError {
  int status = 400;
  std::string text;
};

struct ConfigDumpQuery {
  std::optional<std::string> resource = {};  ///< the name of a repeated field of one of the sections: its elements alone
  std::optional<std::string> mask = {};      ///< a FieldMask: for each section, or with `resource` for each element
  std::string name_regex = {};               ///< RE2, for the whole name of clusters, listeners, routes...; empty: all
  bool include_eds = false;
};

/// Secrets are in it: to_json() makes them unreadable. Errors: 400 for an expression or a mask that cannot be used, 404 for a
/// resource that no section has.
[[nodiscard]] Result<envoy::admin::v3::ConfigDump, PageError> config_dump(const GatewayView& gateway,
                                                                          const ConfigDumpQuery& query);

/// What listeners wait for; `mask`, where it is given, is "listener" for the same, or anything else for nothing.
[[nodiscard]] envoy::admin::v3::UnreadyTargetsDumps init_dump(const GatewayView& gateway, const std::optional<std::string>& mask);

}  // namespace millrace::agent
