// What a worker can tell of a connection: reads tcp's objects, changes nothing.
#pragma once

#include "dataplane/base/time.h"
#include "dataplane/report/connection_info.h"
#include "dataplane/tcp/endpoint.h"
#include "dataplane/tcp/listener.h"
#include "dataplane/tcp/time_wait.h"

namespace millrace::worker {

// What can be said without a look into the connection: filters first, since most of a million connections are not wanted.
[[nodiscard]] inline report::ConnectionState state_of(const tcp::Endpoint& endpoint) {
  return static_cast<report::ConnectionState>(endpoint.connection().state());
}
[[nodiscard]] inline report::ConnectionState state_of(const tcp::HalfOpenEntry&) { return report::ConnectionState::kSynReceived; }
[[nodiscard]] inline report::ConnectionState state_of(const tcp::TimeWait&) { return report::ConnectionState::kTimeWait; }

/// Fill in everything but `worker`.
void describe(const tcp::Endpoint& endpoint, report::ConnectionInfo& info, Instant now);
void describe(const tcp::HalfOpenEntry& entry, report::ConnectionInfo& info, Instant now);
void describe(const tcp::TimeWait& entry, report::ConnectionInfo& info, Instant now);

}  // namespace millrace::worker
