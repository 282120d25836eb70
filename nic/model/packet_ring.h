// A bounded queue of packets between two cores: one thread at a time pushes, one pops.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "dataplane/base/assert.h"
#include "nic/packet.h"

namespace millrace::nic {

class PacketRing {
 public:
  /// `size` is a power of two.
  explicit PacketRing(std::size_t size) : mask_(size - 1), slots_(std::make_unique<Packet[]>(size)) {
    MR_ASSERT(size > 0 && (size & mask_) == 0);
  }

  /// False, with the packet untouched, when the ring is full.
  [[nodiscard]] bool push(Packet& packet) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) > mask_) return false;
    slots_[head & mask_] = std::move(packet);
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  /// Fills `out` from the front; returns how many.
  std::size_t pop(std::span<Packet> out) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t count = std::min(out.size(), head_.load(std::memory_order_acquire) - tail);
    for (std::size_t i = 0; i < count; ++i) out[i] = std::move(slots_[(tail + i) & mask_]);
    tail_.store(tail + count, std::memory_order_release);
    return count;
  }

 private:
  const std::size_t mask_;
  std::unique_ptr<Packet[]> slots_;
  alignas(64) std::atomic<std::size_t> head_{0};  // of all ever pushed
  alignas(64) std::atomic<std::size_t> tail_{0};  // of all ever popped
};

}  // namespace millrace::nic
