// The thread that keeps the last good configuration on disk (`mr-snapshot`): waits until changes have settled, writes the file,
// and says so in the log.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/last_good/last_good.h"

namespace millrace::agent {

struct LastGoodPlan {
  std::string path;
  bool with_private_data = false;
  std::string node_id;
  std::string node_cluster;
};

/// For the admin pages: numbers since the start.
struct LastGoodStats {
  std::uint64_t written = 0;
  std::uint64_t failed = 0;
  std::uint64_t resources = 0;  ///< in the file
  std::uint64_t bytes = 0;
  std::uint64_t left_out = 0;  ///< resources that hold private data, which the file must not
};

class LastGoodKeeper {
 public:
  /// `is_complete`: whether what runs is worth to be kept; called from the thread. What is given outlives this.
  LastGoodKeeper(LastGoodPlan plan, SnapshotPublisher& publisher, const DiscoveredSecrets& secrets,
                 std::function<bool()> is_complete);
  /// Writes what has not been written yet.
  ~LastGoodKeeper();
  LastGoodKeeper(const LastGoodKeeper&) = delete;
  LastGoodKeeper& operator=(const LastGoodKeeper&) = delete;

  /// Any thread.
  [[nodiscard]] LastGoodStats stats() const;

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void write();

  const LastGoodPlan plan_;
  SnapshotPublisher& publisher_;
  const DiscoveredSecrets& secrets_;
  const std::function<bool()> is_complete_;
  std::string written_;  // the checksum of the file, as its first line
  std::size_t left_out_ = 0;

  mutable std::mutex mutex_;  // of what is below
  std::condition_variable wake_;
  std::uint64_t changes_ = 1;
  bool stopping_ = false;
  LastGoodStats stats_;
  std::thread thread_;
};

}  // namespace millrace::agent
