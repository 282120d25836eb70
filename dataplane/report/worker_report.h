// What one worker tells the world about itself; read by the admin server at any time.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "dataplane/report/counter.h"
#include "dataplane/report/log_ring.h"
#include "dataplane/report/turn_histogram.h"

namespace millrace::report {

/// A number with the name under which the admin pages show it ("tcp.segments_received"). The worker copies its own plain
/// counters here from time to time.
struct NamedValue {
  std::string name;
  bool is_gauge = false;
  Gauge value;
};

struct WorkerReport {
  WorkerReport(std::uint32_t worker_index, std::size_t log_bytes) : index(worker_index), log(log_bytes) {}

  const std::uint32_t index;
  int core = -1;                  ///< the CPU that it is pinned to
  std::deque<NamedValue> values;  ///< complete before the worker's first turn, then only their numbers change

  Counter turns;        ///< turns of the loop
  Counter busy_turns;   ///< turns that found something to do
  Counter busy_cycles;  ///< TSC cycles spent in busy turns
  TurnHistogram busy_turn_time;
  Gauge instructions{-1};       ///< executed, idle turns included; -1: nobody counts them here
  Counter requests;             ///< requests completed
  Counter watchdog_miss;        ///< turns over 200 ms
  Counter watchdog_mega_miss;   ///< turns over 1 s
  Gauge last_turn_nanoseconds;  ///< monotonic time at the start of the last turn: an old one shows a stalled worker
  Gauge snapshot_version;       ///< the configuration that it runs

  LogRing log;
};

}  // namespace millrace::report
