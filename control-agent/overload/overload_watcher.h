// The thread that asks the overload manager for its judgement, and a log line for every change.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "control-agent/overload/overload_manager.h"

namespace millrace::agent {

class OverloadWatcher {
 public:
  explicit OverloadWatcher(std::shared_ptr<const OverloadPlan> plan);
  /// Waits for the look that is under way.
  ~OverloadWatcher();
  OverloadWatcher(const OverloadWatcher&) = delete;
  OverloadWatcher& operator=(const OverloadWatcher&) = delete;

 private:
  void run();

  const std::shared_ptr<const OverloadPlan> plan_;
  OverloadManager manager_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace millrace::agent
