// The format of the gateway's own log as application_log_config gives it.
#pragma once

#include <string>

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace millrace::agent {

/// The pattern for spdlog; empty: the bootstrap says nothing of it.
[[nodiscard]] std::string log_pattern(const envoy::config::bootstrap::v3::Bootstrap& bootstrap);

}  // namespace millrace::agent
