#include "dataplane/http/http1/line_reader.h"

#include <algorithm>
#include <cstring>

namespace millrace::http::http1 {
namespace {

constexpr std::size_t kFirstBlockBytes = 1024;

}  // namespace

void LineReader::start(Arena& arena, std::size_t max_bytes) {
  MR_ASSERT(max_bytes <= ChunkPool::kLargeBytes);
  *this = {};
  arena_ = &arena;
  max_bytes_ = max_bytes;
}

// Blocks of 1 KiB, then a small chunk's worth, then room for the largest section: at most one large chunk per section.
bool LineReader::reserve(std::size_t bytes) {
  if (capacity_ - end_ >= bytes) return true;
  const std::size_t partial = end_ - line_start_;
  const std::size_t needed = partial + bytes;
  const std::size_t wanted = needed <= kFirstBlockBytes         ? kFirstBlockBytes
                             : needed <= ChunkPool::kSmallBytes ? ChunkPool::kSmallBytes
                                                                : std::max(needed, max_bytes_);
  auto* block = static_cast<char*>(arena_->allocate(wanted, 1));
  if (block == nullptr) return false;
  if (partial > 0) std::memcpy(block, text_ + line_start_, partial);
  text_ = block;
  line_start_ = 0;
  end_ = partial;
  capacity_ = wanted;
  return true;
}

LineReader::Status LineReader::read(stream::Chain& input) {
  while (!input.empty()) {
    const std::span<const std::uint8_t> part = input.front();
    const std::size_t scan = std::min(part.size(), budget_);
    const void* found = scan == 0 ? nullptr : std::memchr(part.data(), '\n', scan);
    if (found == nullptr && scan < part.size()) return Status::kTooLong;
    const std::size_t taken =
        found == nullptr ? scan : static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - part.data()) + 1;
    if (!reserve(taken)) return Status::kOutOfMemory;
    std::memcpy(text_ + end_, part.data(), taken);
    end_ += taken;
    budget_ -= taken;
    input.remove_prefix(taken);
    if (found == nullptr) continue;

    char* const begin = text_ + line_start_;
    const std::size_t size = end_ - line_start_ - 1;
    line_start_ = end_;
    if (size == 0 || begin[size - 1] != '\r') {
      return size > 0 && std::memchr(begin, '\r', size) != nullptr ? Status::kBareCr : Status::kBareLf;
    }
    line_ = {begin, size - 1};
    return size > 1 && std::memchr(begin, '\r', size - 1) != nullptr ? Status::kBareCr : Status::kLine;
  }
  return Status::kNeedMore;
}

}  // namespace millrace::http::http1
