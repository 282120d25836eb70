#include "dataplane/base/arena.h"

namespace millrace {

void* Arena::allocate_in_new_chunk(std::size_t bytes) {
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

std::string_view Arena::concat(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  if (size == 0) return "";
  auto* memory = static_cast<char*>(allocate(size, 1));
  if (memory == nullptr) return {};
  char* next = memory;
  for (std::string_view part : parts) {
    copy_short(next, part.data(), part.size());
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
