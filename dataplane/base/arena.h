// A bump allocator for what lives exactly as long as one request: header fields, rewritten paths, formatted values.
// Chunks come from a per-worker ChunkPool, so that a steady state takes nothing from the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "dataplane/base/assert.h"
#include "dataplane/base/copy_short.h"
#include "dataplane/base/pool.h"

namespace millrace {

/// Chunks of two sizes, owned by one core.
class ChunkPool {
 public:
  static constexpr std::size_t kSmallBytes = 4 * 1024;
  static constexpr std::size_t kLargeBytes = 128 * 1024;  ///< above the largest header section that limits.h allows

  ChunkPool(std::size_t small_initial, std::size_t small_limit, std::size_t large_limit)
      : small_(small_initial, small_limit), large_(0, large_limit) {}

  [[nodiscard]] std::size_t chunks_in_use() const { return small_.in_use() + large_.in_use(); }

 private:
  friend class Arena;
  template <std::size_t Bytes>
  struct Chunk {
    Chunk* next = nullptr;
    alignas(16) std::byte bytes[Bytes];
    Chunk() {}  // the bytes stay uninitialised
  };
  Pool<Chunk<kSmallBytes>> small_;
  Pool<Chunk<kLargeBytes>> large_;
};

/// Not copyable, not movable; frees all at once. Every allocation may fail: null when the pool is exhausted or more than
/// kLargeBytes is asked for, and the caller then answers 503 or resets, it never crashes.
class Arena {
 public:
  explicit Arena(ChunkPool& pool) : pool_(pool) {}
  ~Arena() { clear(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment) {
    MR_ASSERT(alignment <= 16);
    const std::size_t padding = -reinterpret_cast<std::uintptr_t>(next_) & (alignment - 1);
    if (next_ == nullptr || static_cast<std::size_t>(end_ - next_) < padding + bytes) [[unlikely]]
      return allocate_in_new_chunk(bytes);
    void* start = next_ + padding;
    next_ += padding + bytes;
    return start;
  }

  /// Room for `count` objects without constructors or destructors to speak of, not initialised; empty on failure.
  template <typename T>
  [[nodiscard]] std::span<T> make_array(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    void* memory = allocate(count * sizeof(T), alignof(T));
    if (memory == nullptr) return {};
    return {static_cast<T*>(memory), count};
  }

  /// A copy of `text` that lives as long as the arena; a view with null data() on failure (an empty text never fails).
  [[nodiscard]] std::string_view copy(std::string_view text) {
    if (text.empty()) return "";
    auto* memory = static_cast<char*>(allocate(text.size(), 1));
    if (memory == nullptr) return {};
    copy_short(memory, text.data(), text.size());
    return {memory, text.size()};
  }

  /// The same for the concatenation of several texts.
  [[nodiscard]] std::string_view concat(std::initializer_list<std::string_view> parts);

  /// Gives everything back to the pool.
  void clear();

 private:
  [[nodiscard]] void* allocate_in_new_chunk(std::size_t bytes);

  ChunkPool& pool_;
  ChunkPool::Chunk<ChunkPool::kSmallBytes>* small_ = nullptr;  // newest first
  ChunkPool::Chunk<ChunkPool::kLargeBytes>* large_ = nullptr;
  std::byte* next_ = nullptr;  // free part of the newest small chunk
  std::byte* end_ = nullptr;
};

}  // namespace millrace
