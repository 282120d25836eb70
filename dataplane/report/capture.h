// Frames on their way from a worker to who looks at them: what is wanted, and a single-producer single-consumer ring. The worker
// never waits: a frame that does not fit is dropped and counted.
//
// The filter runs in the worker, before anything is copied: a frame that nobody wants costs a run over its header, not a copy,
// and only frames that are wanted compete for the ring. What evaluates it is the agent's (it is libpcap's): here it is an
// interface.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/base/limits.h"
#include "dataplane/report/counter.h"

namespace millrace::report {

/// Called by workers, by several at once; allocates nothing.
class FrameFilter {
 public:
  virtual ~FrameFilter() = default;
  /// `bytes` are the first of the frame's `size`.
  [[nodiscard]] virtual bool accepts(std::span<const std::uint8_t> bytes, std::size_t size) const = 0;
};

struct CaptureOrder {
  std::uint32_t ports = 0;                    ///< a bit for each port, in the order of the configuration
  std::size_t snap_bytes = 0;                 ///< of each frame, at most limits::kCaptureFrameBytes
  std::shared_ptr<const FrameFilter> filter;  ///< null: every frame
};

class CaptureRing {
 public:
  struct Record {
    std::int64_t wall_nanoseconds = 0;  ///< since the epoch: the start of the turn that saw the frame
    std::uint32_t captured = 0;         ///< bytes that follow
    std::uint32_t size = 0;             ///< of the whole frame
  };

  /// `capacity` in bytes, a power of two. All of it is touched here, not page by page by the worker.
  explicit CaptureRing(std::size_t capacity = limits::kCaptureRingBytes) : capacity_(capacity), bytes_(capacity) {
    MR_ASSERT(capacity >= 4'096 && (capacity & (capacity - 1)) == 0);
  }

  /// Producer: false when there is no room.
  bool push(std::int64_t wall_nanoseconds, std::span<const std::uint8_t> bytes, std::size_t size) {
    const Record record{wall_nanoseconds, static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint32_t>(size)};
    const std::size_t head = head_.load(std::memory_order_relaxed);
    const std::size_t used = head - tail_.load(std::memory_order_acquire);
    if (sizeof(record) + bytes.size() > capacity_ - used) {
      dropped_.add();
      return false;
    }
    write(head, &record, sizeof(record));
    write(head + sizeof(record), bytes.data(), bytes.size());
    head_.store(head + sizeof(record) + bytes.size(), std::memory_order_release);
    return true;
  }

  /// Consumer: calls visit(record, first_part, second_part) for each frame while it returns true; the two parts together are the
  /// captured bytes. A frame for which it returns false stays.
  template <typename Visit>
  void drain(Visit&& visit) {
    std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t head = head_.load(std::memory_order_acquire);
    while (tail != head) {
      Record record;
      read(tail, &record, sizeof(record));
      const std::size_t start = (tail + sizeof(record)) & (capacity_ - 1);
      const std::size_t first = record.captured < capacity_ - start ? record.captured : capacity_ - start;
      const std::span<const std::uint8_t> all(bytes_);
      if (!visit(record, all.subspan(start, first), all.first(record.captured - first))) break;
      tail += sizeof(record) + record.captured;
    }
    tail_.store(tail, std::memory_order_release);
  }

  [[nodiscard]] std::uint64_t dropped() const { return dropped_.value(); }

 private:
  void write(std::size_t position, const void* from, std::size_t count) {
    const std::size_t start = position & (capacity_ - 1);
    const std::size_t first = count < capacity_ - start ? count : capacity_ - start;
    if (first > 0) std::memcpy(bytes_.data() + start, from, first);
    if (count > first) std::memcpy(bytes_.data(), static_cast<const std::uint8_t*>(from) + first, count - first);
  }
  void read(std::size_t position, void* to, std::size_t count) const {
    const std::size_t start = position & (capacity_ - 1);
    const std::size_t first = count < capacity_ - start ? count : capacity_ - start;
    std::memcpy(to, bytes_.data() + start, first);
    if (count > first) std::memcpy(static_cast<std::uint8_t*>(to) + first, bytes_.data(), count - first);
  }

  const std::size_t capacity_;
  std::vector<std::uint8_t> bytes_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  Counter dropped_;
};

}  // namespace millrace::report
