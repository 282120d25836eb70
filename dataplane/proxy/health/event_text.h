// Lines of the health check event log: envoy.data.core.v3.HealthCheckEvent in JSON, as Envoy's file sink writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "config/model/cluster.h"
#include "dataplane/proxy/health/checker.h"

namespace millrace::proxy {

struct CheckEventFacts {
  CheckEvent event = CheckEvent::kAdd;
  CheckFailure failure = CheckFailure::kActive;  ///< of kEject, kFailure
  bool first = false;                            ///< of kAdd, kFailure
  std::int64_t wall_nanoseconds = 0;             ///< since the Unix epoch
};

/// One line, ended by '\n' even when cut off; returns its length. `out` holds at least one byte. `cluster` has a health_check.
std::size_t write_check_event(const CheckEventFacts& facts, const config::Cluster& cluster, const config::Endpoint& endpoint,
                              std::span<char> out);

}  // namespace millrace::proxy
