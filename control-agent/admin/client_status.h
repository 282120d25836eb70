// What the gateway has of its control planes, as a client tells it: the answer of the client status discovery service. A pure
// function of what the gateway shows. Source: envoy.service.status.v3.ClientStatusDiscoveryService.
#pragma once

#include <string>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/base/result.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace millrace::agent {

/// Without secrets: those are made unreadable as in /config_dump. No config where `request` asks for other nodes. An error says
/// why the request cannot be understood (INVALID_ARGUMENT): node_metadatas are not matched.
[[nodiscard]] Result<envoy::service::status::v3::ClientStatusResponse, std::string> client_status(
    const GatewayView& gateway, const envoy::service::status::v3::ClientStatusRequest& request);

}  // namespace millrace::agent
