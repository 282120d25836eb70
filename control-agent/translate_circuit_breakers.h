// envoy.config.cluster.v3.CircuitBreakers -> config::CircuitBreakers.
#pragma once

#include <string>

#include "config/model/circuit_breakers.h"
#include "control-agent/diagnostics.h"
#include "envoy/config/cluster/v3/circuit_breaker.pb.h"
#include "envoy/config/core/v3/base.pb.h"

namespace millrace::agent {

[[nodiscard]] config::RoutingPriority translate_priority(envoy::config::core::v3::RoutingPriority priority);

/// Of several thresholds of a priority the first counts, as in Envoy.
[[nodiscard]] config::CircuitBreakers translate_circuit_breakers(const envoy::config::cluster::v3::CircuitBreakers& breakers,
                                                                 const std::string& path, Diagnostics& diagnostics);

}  // namespace millrace::agent
