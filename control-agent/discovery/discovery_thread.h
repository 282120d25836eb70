// The thread that follows files of discovery: sleeps until one is moved into place, and writes a log line for every file it
// reads.
#pragma once

#include <string>
#include <thread>

#include "control-agent/discovery/file_discovery.h"

namespace millrace::agent {

class DiscoveryThread {
 public:
  /// `discovery` has started, and must outlive this.
  explicit DiscoveryThread(FileDiscovery& discovery);
  /// Waits for the update that is under way.
  ~DiscoveryThread();
  DiscoveryThread(const DiscoveryThread&) = delete;
  DiscoveryThread& operator=(const DiscoveryThread&) = delete;

 private:
  void run();

  FileDiscovery& discovery_;
  int stop_;  // an eventfd
  std::thread thread_;
};

}  // namespace millrace::agent
