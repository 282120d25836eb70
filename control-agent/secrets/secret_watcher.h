// The thread that looks after files of secrets: once a second, and a log line for every change.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "control-agent/secrets/secret_store.h"

namespace millrace::agent {

class SecretWatcher {
 public:
  explicit SecretWatcher(std::shared_ptr<SecretStore> store);
  /// Waits for the look that is under way.
  ~SecretWatcher();
  SecretWatcher(const SecretWatcher&) = delete;
  SecretWatcher& operator=(const SecretWatcher&) = delete;

 private:
  void run();

  const std::shared_ptr<SecretStore> store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace millrace::agent
