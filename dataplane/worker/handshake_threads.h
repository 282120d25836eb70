// Threads beside the workers that run TLS handshakes: one costs as much as hundreds of requests, and those should not wait for
// it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
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

  /// For the thread of this worker alone.
  [[nodiscard]] secure::HandshakeRunner& runner(std::size_t worker);

 private:
  class Runner;
  struct Order {
    Runner* from = nullptr;
    std::unique_ptr<secure::HandshakeStep> step;
  };
  void post(Order order);
  void run(std::size_t index);

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<Order> orders_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::vector<std::thread> threads_;
};

}  // namespace millrace::worker
