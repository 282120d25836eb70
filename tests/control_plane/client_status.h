// Asks a client what it has: the client status discovery service, by a real client of gRPC. Blocks, ten seconds at the most.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "envoy/service/status/v3/csds.pb.h"

namespace millrace::test {

/// {"response": ...}, or {"code", "message"} of the status that the call ended with. `streamed`: asked twice on one stream, and
/// the second answer counts.
[[nodiscard]] nlohmann::ordered_json ask_for_status(const std::string& address,
                                                    const envoy::service::status::v3::ClientStatusRequest& request,
                                                    bool streamed);

}  // namespace millrace::test
