// envoy.config.endpoint.v3.ClusterLoadAssignment -> the endpoints and localities of a config::Cluster, and its hash tables.
#pragma once

#include <string>

#include "config/model/cluster.h"
#include "control-agent/translate.h"
#include "control-agent/translate_dns.h"
#include "control-agent/translate_health_check.h"
#include "control-agent/translate_load_balancing.h"
#include "control-agent/translate_tls.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace millrace::agent {

/// How names among the endpoints become addresses.
struct EndpointNames {
  const DnsPlan* plan;            ///< null: there are no names
  const ResolvedNames* resolved;  ///< null: nothing is known yet
};

/// `out` has its name and says how it balances.
void translate_assignment(const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment, const std::string& path,
                          const UpstreamSockets& sockets, const HealthTargets& targets, const BalancingPlan& plan,
                          const EndpointNames& names, config::Cluster& out, TranslateContext& context);

}  // namespace millrace::agent
