// Cluster.type ORIGINAL_DST with original_dst_lb_config and cleanup_interval -> config::OriginalDst.
#pragma once

#include <memory>
#include <string>

#include "config/model/cluster.h"
#include "control-agent/diagnostics.h"
#include "control-agent/translate_tls.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace millrace::agent {

/// Null: `cluster` is of another type. `sockets`: its own.
[[nodiscard]] std::shared_ptr<const config::OriginalDst> translate_original_dst(
    const envoy::config::cluster::v3::Cluster& cluster, const std::string& path, const UpstreamSockets& sockets,
    Diagnostics& diagnostics);

}  // namespace millrace::agent
