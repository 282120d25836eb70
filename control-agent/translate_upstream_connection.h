// Cluster.upstream_connection_options: keep-alive, and the order in which an endpoint's addresses are tried.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/model/cluster.h"
#include "control-agent/diagnostics.h"

namespace envoy::config::cluster::v3 {
class UpstreamConnectionOptions;
}

namespace millrace::agent {

/// Fills what of `out` they are about.
void translate_upstream_connection(const envoy::config::cluster::v3::UpstreamConnectionOptions& options, const std::string& path,
                                   config::Cluster& out, Diagnostics& diagnostics);

/// What config::Endpoint::attempts becomes of an endpoint's addresses, which stand in the order of preference: null of a single
/// one.
[[nodiscard]] std::shared_ptr<const std::vector<SocketAddress>> order_attempts(const std::vector<SocketAddress>& addresses,
                                                                               const config::HappyEyeballs& order);

}  // namespace millrace::agent
