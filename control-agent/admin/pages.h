// What the admin pages say, as text or JSON: pure functions of what the gateway shows of itself.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control-agent/admin/gateway_view.h"

namespace millrace::agent {

[[nodiscard]] std::string clusters_text(const config::Snapshot& snapshot);
[[nodiscard]] nlohmann::ordered_json clusters_json(const config::Snapshot& snapshot);
[[nodiscard]] std::string listeners_text(const config::Snapshot& snapshot);
[[nodiscard]] nlohmann::ordered_json listeners_json(const config::Snapshot& snapshot);
/// envoy.admin.v3.ConfigDump; endpoints that discovery brought only on request, as in Envoy.
[[nodiscard]] nlohmann::ordered_json config_dump_json(const GatewayView& gateway, bool include_eds);
/// envoy.admin.v3.Certificates of the contexts that run; `now` is for the days that are left.
[[nodiscard]] nlohmann::ordered_json certificates_json(const std::vector<MadeContext>& contexts,
                                                       std::chrono::system_clock::time_point now);
/// envoy.admin.v3.ServerInfo
[[nodiscard]] nlohmann::ordered_json server_info_json(const GatewayView& gateway);

}  // namespace millrace::agent
