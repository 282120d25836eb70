// A bounded queue from one thread to one other. What is put becomes visible with publish(), so that a burst costs one store that
// the other side sees; each side keeps a copy of the other's place, and looks again only when that is not enough.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "dataplane/base/assert.h"

namespace millrace {

template <typename T>
class SpscRing {
 public:
  /// `slots`: a power of two. T's default value holds nothing: slots that were taken from are left so.
  explicit SpscRing(std::size_t slots) : slots_(std::make_unique<T[]>(slots)), mask_(slots - 1) {
    MR_ASSERT(std::has_single_bit(slots));
  }

  /// Producer: false, with `value` untouched, when the ring is full.
  [[nodiscard]] bool put(T&& value) {
    if (head_ - tail_seen_ > mask_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head_ - tail_seen_ > mask_) return false;
    }
    slots_[head_++ & mask_] = std::move(value);
    return true;
  }
  /// Producer: everything put so far may be taken. False when there was nothing new.
  bool publish() {
    if (head_ == published_) return false;
    published_ = head_;
    shared_head_.store(head_, std::memory_order_release);
    return true;
  }

  /// Consumer: the oldest one, or null; until drop_front().
  [[nodiscard]] T* front() {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_seen_) {
      head_seen_ = shared_head_.load(std::memory_order_acquire);
      if (tail == head_seen_) return nullptr;
    }
    return &slots_[tail & mask_];
  }
  /// Consumer: only after front() has given one.
  void drop_front() {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    slots_[tail & mask_] = T();
    tail_.store(tail + 1, std::memory_order_release);
  }
  /// Consumer: whether front() would give one, as far as is visible now.
  [[nodiscard]] bool empty() const {
    return tail_.load(std::memory_order_relaxed) == shared_head_.load(std::memory_order_acquire);
  }

 private:
  std::unique_ptr<T[]> slots_;
  std::uint64_t mask_;

  // The producer's line.
  alignas(64) std::uint64_t head_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t tail_seen_ = 0;
  std::atomic<std::uint64_t> shared_head_{0};

  // The consumer's.
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::uint64_t head_seen_ = 0;
};

}  // namespace millrace
