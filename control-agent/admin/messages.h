// What the messages of the admin pages have in common, and how they are printed: for the pages only.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <map>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "envoy/admin/v3/config_dump_shared.pb.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"

namespace millrace::agent {

/// Whether fields that are not set appear with their default. Envoy decides that page by page.
enum class Defaults : std::uint8_t { kLeftOut, kShown };

/// With line breaks and the field names of the .proto files. Secrets are made unreadable where defaults are left out.
[[nodiscard]] std::string print_json(const google::protobuf::Message& message, Defaults defaults);

[[nodiscard]] google::protobuf::Timestamp to_timestamp(std::chrono::system_clock::time_point time);
void set_refused(const RefusedUpdate& refused, envoy::admin::v3::UpdateFailureState& out);
/// `pipe`: the path of the Unix socket that the address stands for; empty: it is an IP address.
[[nodiscard]] envoy::config::core::v3::Address to_message(const SocketAddress& address, const std::string& pipe);
[[nodiscard]] envoy::config::core::v3::Locality to_message(const config::Locality& locality);

[[nodiscard]] std::map<std::string, const config::Cluster*> sorted_clusters(const config::Snapshot& snapshot);
/// By cluster: the eds_cluster_config.service_name of those that have one.
[[nodiscard]] std::map<std::string, std::string> service_names(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                               const DynamicResources& dynamic);

}  // namespace millrace::agent
