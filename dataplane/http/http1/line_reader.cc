#include "dataplane/http/http1/line_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "dataplane/base/byte_block.h"

namespace millrace::http::http1 {
namespace {

constexpr std::size_t kFirstBlockBytes = 1024;
static_assert(LineReader::kPaddingBytes >= ByteBlock::kBytes);

}  // namespace

void LineReader::start(Arena& arena, std::size_t max_bytes) {
  MR_ASSERT(max_bytes + kPaddingBytes <= ChunkPool::kLargeBytes);
  *this = {};
  arena_ = &arena;
  max_bytes_ = max_bytes;
}

// Blocks of 1 KiB, then a small chunk's worth, then room for the largest section: at most one large chunk per section.
bool LineReader::reserve(std::size_t bytes) {
  if (capacity_ - end_ >= bytes) return true;
  const std::size_t partial = end_ - line_start_;
  const std::size_t needed = partial + bytes + kPaddingBytes;
  const std::size_t wanted = needed <= kFirstBlockBytes         ? kFirstBlockBytes
                             : needed <= ChunkPool::kSmallBytes ? ChunkPool::kSmallBytes
                                                                : std::max(needed, max_bytes_ + kPaddingBytes);
  auto* block = static_cast<char*>(arena_->allocate(wanted, 1));
  if (block == nullptr) return false;
  if (partial > 0) std::memcpy(block, text_ + line_start_, partial);
  text_ = block;
  scanned_ -= line_start_;
  if (first_cr_ != kNowhere) first_cr_ -= line_start_;
  line_start_ = 0;
  end_ = partial;
  capacity_ = wanted - kPaddingBytes;
  return true;
}

LineReader::Status LineReader::read(stream::Chain& input) {
  while (true) {
    if (has_unread()) {
      const Status status = scan();
      if (status != Status::kNeedMore) return status;
    }
    if (input.empty()) return Status::kNeedMore;
    const Status taken = take(input);
    if (taken != Status::kNeedMore) return taken;
  }
}

LineReader::Status LineReader::take(stream::Chain& input) {
  const std::size_t most = std::min(input.front().size(), budget_ - (end_ - line_start_));
  if (most == 0) return Status::kTooLong;
  const std::span<const std::uint8_t> part = input.front().first(most);
  const std::size_t taken = section_bytes(part);
  if (!reserve(taken)) return Status::kOutOfMemory;
  std::memcpy(text_ + end_, part.data(), taken);
  end_ += taken;
  input.remove_prefix(taken);
  return Status::kNeedMore;
}

// Up to the empty line, LF CR LF with the end of the line before it: the first bit of the window stands for the block before.
std::size_t LineReader::section_bytes(std::span<const std::uint8_t> part) const {
  constexpr std::size_t kBefore = 2;  // bytes that the window shows of what came before the block
  const std::size_t partial = end_ - line_start_;
  const bool after_cr = partial == 1 && text_[line_start_] == '\r';
  std::uint64_t lf_before = after_cr ? 0b01 : partial == 0 ? 0b10 : 0;
  std::uint64_t cr_before = after_cr ? 0b10 : 0;
  for (std::size_t at = 0; at < part.size(); at += ByteBlock::kBytes) {
    char tail[ByteBlock::kBytes] = {};
    const char* bytes = reinterpret_cast<const char*>(part.data()) + at;
    const std::size_t left = part.size() - at;
    if (left < ByteBlock::kBytes) bytes = static_cast<const char*>(std::memcpy(tail, bytes, left));
    const ByteBlock block(bytes);
    const std::uint64_t lf = lf_before | std::uint64_t{block.equal('\n') & ByteBlock::first(left)} << kBefore;
    const std::uint64_t cr = cr_before | std::uint64_t{block.equal('\r') & ByteBlock::first(left)} << kBefore;
    if (const std::uint64_t ends = lf & (cr << 1) & (lf << 2); ends != 0) {
      return at + static_cast<std::size_t>(std::countr_zero(ends)) - kBefore + 1;
    }
    lf_before = lf >> ByteBlock::kBytes;
    cr_before = cr >> ByteBlock::kBytes;
  }
  return part.size();
}

LineReader::Status LineReader::scan() {
  for (; scanned_ < end_; scanned_ += ByteBlock::kBytes) {
    const ByteBlock block(text_ + scanned_);
    const std::uint32_t valid = ByteBlock::first(end_ - scanned_);
    const std::uint32_t lf = block.equal('\n') & valid;
    const std::uint32_t cr = block.equal('\r') & valid & ((lf - 1) & ~lf);  // in front of the first LF, or all
    if (cr != 0 && first_cr_ == kNowhere) first_cr_ = scanned_ + static_cast<std::size_t>(std::countr_zero(cr));
    if (lf != 0) return end_line(scanned_ + static_cast<std::size_t>(std::countr_zero(lf)));
  }
  scanned_ = end_;
  return Status::kNeedMore;
}

LineReader::Status LineReader::end_line(std::size_t line_feed) {
  char* const begin = text_ + line_start_;
  const std::size_t size = line_feed - line_start_;  // with CR
  const bool cr_before = line_feed > line_start_ && text_[line_feed - 1] == '\r';
  const std::size_t first_cr = std::exchange(first_cr_, kNowhere);
  line_start_ = scanned_ = line_feed + 1;
  budget_ -= size + 1;
  if (first_cr == kNowhere) return Status::kBareLf;
  if (!cr_before || first_cr + 1 < line_feed) return Status::kBareCr;
  line_ = {begin, size - 1};
  return Status::kLine;
}

}  // namespace millrace::http::http1
