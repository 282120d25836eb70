// Oracles over a host's stack: that no timer is lost, and that nothing is left when all is over.
#pragma once

#include "tests/simulation/findings.h"
#include "tests/simulation/host.h"

namespace millrace::sim {

/// Whoever waits for something must have a timer: a connection with bytes not yet acknowledged or a handshake or an end under
/// way, a half-open entry, a TIME-WAIT. And the stack's next_due() must not be later than what its connections ask for.
void audit_timers(const Host& host, Findings& findings);

/// After the last connection and its TIME-WAIT: no connection, no chain node, no packet.
void audit_leaks(Host& host, Findings& findings);

}  // namespace millrace::sim
