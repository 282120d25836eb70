// Threads beside the workers that run TLS handshakes: one costs as much as hundreds of requests, and those should not wait for
// it. Nor does a worker wait for a lock that a thread holds, which may have lost its CPU: they meet in rings.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/secure/handshake_runner.h"

namespace millrace::worker {

/// Shared by all workers; outlives them.
class HandshakeThreads {
 public:
  /// Starts `threads` (at least 1) threads for `workers` workers.
  HandshakeThreads(std::size_t threads, std::size_t workers);
  /// Ends when what is being run has finished; what waits is dropped.
  ~HandshakeThreads();
  HandshakeThreads(const HandshakeThreads&) = delete;
  HandshakeThreads& operator=(const HandshakeThreads&) = delete;

  /// For the thread of this worker alone, with at most TlsLayer::kMostSteps steps under way.
  [[nodiscard]] secure::HandshakeRunner& runner(std::size_t worker);

 private:
  class Runner;
  void run(std::size_t index);
  [[nodiscard]] bool run_one(std::size_t index);

  std::vector<std::unique_ptr<Runner>> runners_;
  std::atomic<std::uint32_t> posted_{0};  // steps, by all workers: what threads wait for
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace millrace::worker
