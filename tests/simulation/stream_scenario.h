// Two or more stacks that exchange raw byte streams under faults: everything about a run is drawn from its seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nic/packet.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/link.h"
#include "tests/simulation/stream_program.h"

namespace millrace::sim {

struct StreamScenario {
  std::uint64_t seed = 0;
  bool v6 = false;
  LinkConfig forward;  ///< client to server; partitions are relative to the start
  LinkConfig backward;
  std::array<std::uint16_t, 2> host_mtu{1'500, 1'500};
  nic::TxOffloads tx = {};  ///< of every port
  std::size_t packets = 4'096;
  std::size_t transmit_limit = 0;
  std::array<std::size_t, 2> receive_buffer{limits::kTcpReceiveBufferBytes, limits::kTcpReceiveBufferBytes};
  std::array<std::size_t, 2> send_buffer{limits::kTcpSendBufferBytes, limits::kTcpSendBufferBytes};
  /// The one connection's sequence numbers, of the client or the server, wrap around in the middle.
  enum class Wrap : std::uint8_t { kNone, kClient, kServer } wrap = Wrap::kNone;
  std::vector<StreamPlan> plans;

  enum class Fault : std::uint8_t { kPause, kCrash, kHog };
  struct Event {
    Duration at;
    Fault fault = Fault::kPause;
    std::size_t host = 0;
    Duration time = {};    ///< kPause, kHog: how long
    std::size_t left = 0;  ///< kHog: packets left
  };
  std::vector<Event> events;  ///< in order of time

  [[nodiscard]] static StreamScenario draw(std::uint64_t seed);
  /// Partitions, crashes and exhaustion may break connections; everything else must not.
  [[nodiscard]] bool may_break() const;
  [[nodiscard]] std::string describe() const;
};

/// What happened, for those who want to know whether a run was worth it.
struct StreamOutcome {
  Findings findings;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::size_t graceful = 0;  ///< ends
  std::size_t broken = 0;    ///< ends told so, or that gave up
  Duration time;             ///< virtual, until the last end was over
};

[[nodiscard]] StreamOutcome run(const StreamScenario& scenario, bool trace = false);

}  // namespace millrace::sim
