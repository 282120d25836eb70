#include "dataplane/base/arena.h"

#include <cstdint>
#include <cstring>

namespace millrace {

void* Arena::allocate(std::size_t bytes, std::size_t alignment) {
  const auto aligned = [alignment](std::byte* p) {
    return reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(p) + alignment - 1) & ~(alignment - 1));
  };
  MR_ASSERT(alignment <= 16);
  if (next_ != nullptr) {
    std::byte* start = aligned(next_);
    if (start <= end_ && static_cast<std::size_t>(end_ - start) >= bytes) {
      next_ = start + bytes;
      return start;
    }
  }
  // What would fill most of a small chunk gets a large one of its own, so that the rest of the current chunk is not lost.
  if (bytes > ChunkPool::kSmallBytes) {
    if (bytes > ChunkPool::kLargeBytes) return nullptr;
    auto* chunk = pool_.large_.make();
    if (chunk == nullptr) return nullptr;
    chunk->next = large_;
    large_ = chunk;
    return chunk->bytes;
  }
  auto* chunk = pool_.small_.make();
  if (chunk == nullptr) return nullptr;
  chunk->next = small_;
  small_ = chunk;
  next_ = chunk->bytes + bytes;
  end_ = chunk->bytes + ChunkPool::kSmallBytes;
  return chunk->bytes;
}

std::string_view Arena::copy(std::string_view text) { return concat({text}); }

std::string_view Arena::concat(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  if (size == 0) return "";
  auto* memory = static_cast<char*>(allocate(size, 1));
  if (memory == nullptr) return {};
  char* next = memory;
  for (std::string_view part : parts) {
    if (part.empty()) continue;
    std::memcpy(next, part.data(), part.size());
    next += part.size();
  }
  return {memory, size};
}

void Arena::clear() {
  while (small_ != nullptr) {
    auto* chunk = small_;
    small_ = chunk->next;
    pool_.small_.destroy(chunk);
  }
  while (large_ != nullptr) {
    auto* chunk = large_;
    large_ = chunk->next;
    pool_.large_.destroy(chunk);
  }
  next_ = end_ = nullptr;
}

}  // namespace millrace
