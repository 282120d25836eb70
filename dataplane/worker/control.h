// What the agent asks of a worker, and what it answers. Plain atomics and a mailbox: a stuck worker blocks nobody.
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/worker/mailbox.h"

namespace millrace::worker {

/// Only ever moves forward.
enum class Lifecycle : std::uint8_t {
  kServing,
  kDraining,  ///< listeners refuse, keep-alive ends, what is in flight finishes
  kStopped,
};

/// One per worker; written by both sides, each its own fields.
struct Control {
  // Agent to worker.
  std::atomic<Lifecycle> wanted{Lifecycle::kServing};
  std::atomic<bool> close_listeners{false};      ///< refuse new connections, go on serving the others
  std::atomic<bool> connections_leave{false};    ///< end keep-alive, of new connections too; listeners go on accepting
  std::atomic<bool> fails_health_checks{false};  ///< /healthcheck/fail

  // Both ways.
  Mailbox mailbox;

  // Worker to agent.
  std::atomic<bool> listening{false};              ///< the first snapshot's listeners are open
  std::atomic<std::uint32_t> listeners_failed{0};  ///< addresses that could not be opened, since the start
  std::atomic<bool> drained{false};                ///< draining, and no connection is left
};

}  // namespace millrace::worker
