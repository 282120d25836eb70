#include "dataplane/base/block_heap.h"

#include <algorithm>
#include <bit>
#include <new>

#include "dataplane/base/assert.h"

namespace millrace {

// Four sizes for each doubling: 256, 320, 384, 448, 512, 640, ...
constexpr std::size_t BlockHeap::bytes_of(std::size_t size_class) {
  return (kSteps + size_class % kSteps) * (kSmallestBytes / kSteps << size_class / kSteps);
}

constexpr std::size_t BlockHeap::class_of(std::size_t bytes) {
  if (bytes <= kSmallestBytes) return 0;
  const std::size_t doublings = static_cast<std::size_t>(std::bit_width((bytes - 1) / kSmallestBytes)) - 1;
  const std::size_t step = kSmallestBytes / kSteps << doublings;
  const std::size_t size_class = doublings * kSteps + (bytes + step - 1) / step - kSteps;  // rounded up
  return size_class < kClasses ? size_class : kClasses;
}

BlockHeap::~BlockHeap() {
  MR_ASSERT(in_use_ == 0 && reserved_ == 0);
  free_idle(held_);
}

void* BlockHeap::allocate(std::size_t bytes) {
  if (bytes > limit_) return nullptr;
  const std::size_t size_class = class_of(bytes + sizeof(Block));
  if (size_class == kClasses || bytes_of(size_class) > limit_ - std::min(limit_, in_use_)) return nullptr;
  return allocate_class(size_class);
}

void* BlockHeap::allocate_reserved(std::size_t bytes) {
  const std::size_t size_class = class_of(bytes + sizeof(Block));
  return size_class == kClasses ? nullptr : allocate_class(size_class);
}

bool BlockHeap::reserve(std::size_t bytes) {
  if (is_too_much(bytes)) return false;
  reserved_ += bytes;
  return true;
}

// What is in use without a reservation counts as if it were part of one: the last quarter makes up for that.
bool BlockHeap::is_too_much(std::size_t more) const {
  const std::size_t most = limit_ / 4 * 3;
  return more > most || std::max(in_use_, reserved_) > most - more;
}

void* BlockHeap::allocate_class(std::size_t size_class) {
  static_assert(alignof(Block) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  const std::size_t size = bytes_of(size_class);
  Block* block = idle_[size_class];
  if (block != nullptr) {
    idle_[size_class] = block->next;
  } else {
    if (held_ + size > limit_) free_idle(held_ + size - limit_);
    void* memory = ::operator new(size, std::nothrow);
    if (memory == nullptr) return nullptr;
    block = ::new (memory) Block;
    block->size_class = size_class;
    held_ += size;
  }
  in_use_ += size;
  return block + 1;
}

void BlockHeap::release(void* start) {
  if (start == nullptr) return;
  Block* block = static_cast<Block*>(start) - 1;
  in_use_ -= bytes_of(block->size_class);
  block->next = idle_[block->size_class];
  idle_[block->size_class] = block;
}

// The largest first: they are the fewest.
void BlockHeap::free_idle(std::size_t wanted) {
  std::size_t freed = 0;
  for (std::size_t size_class = kClasses; size_class-- > 0 && freed < wanted;) {
    while (idle_[size_class] != nullptr && freed < wanted) {
      Block* block = idle_[size_class];
      idle_[size_class] = block->next;
      ::operator delete(static_cast<void*>(block));
      freed += bytes_of(size_class);
    }
  }
  held_ -= freed;
}

}  // namespace millrace
