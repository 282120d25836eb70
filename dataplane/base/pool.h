// Objects of one type, allocated in slabs and reused: steady state takes nothing from the heap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "dataplane/base/assert.h"

namespace millrace {

/// Owned by one core. Starts with `initial` slots; grows by slabs up to `limit`, then refuses. A slab is bounded: memory follows
/// what is in use, and no growth takes longer than a turn may.
template <typename T>
class Pool {
 public:
  Pool(std::size_t initial, std::size_t limit) : limit_(limit) {
    MR_ASSERT(initial <= limit);
    if (initial > 0) add_slab(initial);
  }
  ~Pool() { MR_ASSERT(in_use_ == 0); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// A new T, or null when `limit` objects are in use.
  template <typename... Args>
  [[nodiscard]] T* make(Args&&... args) {
    if (free_ == nullptr && !grow()) return nullptr;
    Slot* slot = free_;
    free_ = slot->next;
    ++in_use_;
    return ::new (static_cast<void*>(slot->storage)) T(std::forward<Args>(args)...);
  }

  /// Destroys an object that this pool made.
  void destroy(T* object) {
    MR_ASSERT(object != nullptr && in_use_ > 0);
    object->~T();
    Slot* slot = reinterpret_cast<Slot*>(object);
    slot->next = free_;
    free_ = slot;
    --in_use_;
  }

  [[nodiscard]] std::size_t in_use() const { return in_use_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t limit() const { return limit_; }

 private:
  union Slot {
    Slot() : next(nullptr) {}
    ~Slot() {}
    Slot* next;
    alignas(T) std::byte storage[sizeof(T)];
  };

  bool grow() {
    constexpr std::size_t kSlabBytes = 128 * 1024;
    constexpr std::size_t kSlabSlots = std::max<std::size_t>(kSlabBytes / sizeof(Slot), 16);
    if (capacity_ >= limit_) return false;
    add_slab(std::min({std::max<std::size_t>(capacity_, 64), kSlabSlots, limit_ - capacity_}));
    return true;
  }

  void add_slab(std::size_t count) {
    slabs_.push_back(std::make_unique<Slot[]>(count));
    Slot* slab = slabs_.back().get();
    for (std::size_t i = count; i-- > 0;) {
      slab[i].next = free_;
      free_ = &slab[i];
    }
    capacity_ += count;
  }

  std::vector<std::unique_ptr<Slot[]>> slabs_;
  Slot* free_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t in_use_ = 0;
  std::size_t limit_;
};

}  // namespace millrace
