// Where the agent leaves the configuration for the workers: publishing is one pointer, noticing it is one atomic read a turn.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "config/model/snapshot.h"

namespace millrace::config {

/// One writer (the agent), any number of readers. The agent keeps every snapshot until collect() hears that all workers are past
/// it, so that no worker ever pays for freeing one.
class SnapshotSlot {
 public:
  /// Agent: makes `snapshot` the current one. Versions must grow.
  void publish(std::shared_ptr<const Snapshot> snapshot) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t version = snapshot->version;
    kept_.push_back(current_);
    current_ = std::move(snapshot);
    version_.store(version, std::memory_order_release);
  }

  /// Worker: the version to compare with the one it runs.
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// Worker, after version() has changed. The lock is held for the copy of one pointer.
  [[nodiscard]] std::shared_ptr<const Snapshot> current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  /// Agent: lets go of snapshots older than `oldest_in_use`, the lowest version that any worker reports.
  void collect(std::uint64_t oldest_in_use) {
    std::vector<std::shared_ptr<const Snapshot>> freed;
    const std::lock_guard lock(mutex_);
    std::erase_if(kept_, [&](auto& old) {
      if (old != nullptr && old->version >= oldest_in_use) return false;
      freed.push_back(std::move(old));
      return true;
    });
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> version_{0};
  std::shared_ptr<const Snapshot> current_;
  std::vector<std::shared_ptr<const Snapshot>> kept_;
};

}  // namespace millrace::config
