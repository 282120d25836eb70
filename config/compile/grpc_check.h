// What a gRPC health check says: grpc.health.v1.HealthCheckRequest, as a message of gRPC over HTTP/2 ("Length-Prefixed-Message").
#pragma once

#include <string>
#include <string_view>

namespace millrace::config {

[[nodiscard]] std::string grpc_check_request(std::string_view service);

}  // namespace millrace::config
