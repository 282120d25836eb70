// What the admin pages say, as text or as Envoy's messages: pure functions of what the gateway shows of itself. /config_dump is
// config_dump.h, /stats is stats.h.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control-agent/admin/gateway_view.h"
#include "envoy/admin/v3/certs.pb.h"
#include "envoy/admin/v3/clusters.pb.h"
#include "envoy/admin/v3/listeners.pb.h"
#include "envoy/admin/v3/memory.pb.h"
#include "envoy/admin/v3/server_info.pb.h"

namespace millrace::agent {

/// What Envoy says where there is no hot restart.
inline constexpr const char* kHotRestartVersion = "disabled";

[[nodiscard]] std::string clusters_text(const config::Snapshot& snapshot);
/// `service_names` is messages.h's.
[[nodiscard]] envoy::admin::v3::Clusters clusters_message(const config::Snapshot& snapshot,
                                                          const std::map<std::string, std::string>& service_names);
[[nodiscard]] std::string listeners_text(const config::Snapshot& snapshot);
[[nodiscard]] envoy::admin::v3::Listeners listeners_message(const config::Snapshot& snapshot);
/// Of the contexts that run; `now` is for the days that are left.
[[nodiscard]] envoy::admin::v3::Certificates certificates_message(const std::vector<MadeContext>& contexts,
                                                                  std::chrono::system_clock::time_point now);
[[nodiscard]] envoy::admin::v3::ServerInfo server_info_message(const GatewayView& gateway);
/// /runtime: {"layers": [names], "entries": {key: {"final_value", "layer_values": [a text for each layer; empty: none]}}}.
[[nodiscard]] nlohmann::ordered_json runtime_json(const std::vector<RuntimeLayer>& layers);
/// Of the heap; packet memory counts among the physical bytes only.
[[nodiscard]] envoy::admin::v3::Memory memory_message(const GatewayView& gateway);

}  // namespace millrace::agent
