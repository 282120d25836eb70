// The thread that runs a worker: pinned to its core, reads the clock once a turn, sleeps when there is nothing to do, counts
// turns that took too long. The only place where a worker meets the operating system.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "config/model/dataplane.h"
#include "dataplane/worker/worker.h"

namespace millrace::worker {

/// The monotonic clock of the machine (CLOCK_MONOTONIC).
[[nodiscard]] Instant monotonic_now();
/// What to add to monotonic_now() for the wall clock, nanoseconds.
[[nodiscard]] std::int64_t wall_clock_offset();

struct WorkerThreadConfig {
  WorkerConfig worker;
  int core = -1;  ///< CPU to pin to; -1: wherever the system puts it
  config::Dataplane::Idle idle = config::Dataplane::Idle::kAdaptive;
  /// Called on the thread with the loop as its argument, which it must call: what DPDK needs around a thread. Null: nothing.
  std::function<void(const std::function<void()>&)> run_inside;
};

class WorkerThread {
 public:
  /// Everything passed must outlive this object.
  WorkerThread(WorkerThreadConfig config, nic::PacketPool& packets, const config::SnapshotSlot& snapshots, Control& control,
               report::WorkerReport& report);
  /// As stop().
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// Once; when the WorkerThreads of the whole team have been made.
  void start();
  /// Asks for kStopped and joins. A team is stopped together, before the first of its WorkerThreads goes.
  void stop();

 private:
  void run();
  void serve();
  void loop(Worker& worker);
  /// Sleeps until a frame arrives or `until`, as far as the ports allow; the `naps`th time in a row.
  void sleep(Instant now, Instant until, std::uint32_t naps);

  WorkerThreadConfig config_;
  int bell_ = -1;  ///< eventfd: another worker has put something into our rings
  nic::PacketPool& packets_;
  const config::SnapshotSlot& snapshots_;
  Control& control_;
  report::WorkerReport& report_;
  std::thread thread_;
};

}  // namespace millrace::worker
