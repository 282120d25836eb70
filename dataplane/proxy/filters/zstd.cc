#include "dataplane/proxy/filters/zstd.h"

#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

namespace millrace::proxy {
namespace {

constexpr std::size_t kStepBytes = 4096;  // of output at a time
constexpr unsigned kWindowBits = 23;      // RFC 9659 3
// Of the tables, where a level would have a wider window: as the highest level with a window of kWindowBits has them.
constexpr unsigned kHashBits = 22;
constexpr unsigned kChainBits = 24;

using Step = std::array<std::uint8_t, kStepBytes>;

ZSTD_customMem allocator(BlockHeap& memory) {
  return {.customAlloc = [](void* heap, std::size_t bytes) { return static_cast<BlockHeap*>(heap)->allocate(bytes); },
          .customFree = [](void* heap, void* start) { static_cast<BlockHeap*>(heap)->release(start); },
          .opaque = &memory};
}

}  // namespace

bool ZstdCompressor::start(const config::ZstdCompression& settings, std::optional<std::uint64_t> length) {
  if (memory_.is_scarce()) return false;
  context_.reset(ZSTD_createCCtx_advanced(allocator(memory_)));
  if (context_ == nullptr) return false;
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    return ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), parameter, value)) == 0;
  };
  const int hint = static_cast<int>(std::min<std::uint64_t>(length.value_or(0), std::numeric_limits<int>::max()));
  if (!set(ZSTD_c_compressionLevel, settings.level) || !set(ZSTD_c_strategy, settings.strategy) ||
      !set(ZSTD_c_checksumFlag, settings.checksum ? 1 : 0) || !set(ZSTD_c_srcSizeHint, hint))
    return false;
  const bool too_wide = ZSTD_getCParams(settings.level, static_cast<unsigned long long>(hint), 0).windowLog > kWindowBits;
  if (too_wide && !(set(ZSTD_c_windowLog, kWindowBits) && set(ZSTD_c_hashLog, kHashBits) && set(ZSTD_c_chainLog, kChainBits)))
    return false;
  // With nothing to compress it only takes its memory, so that a body which has begun does not fail for the lack of it.
  ZSTD_inBuffer nothing{nullptr, 0, 0};
  ZSTD_outBuffer nowhere{nullptr, 0, 0};
  return ZSTD_isError(ZSTD_compressStream2(context_.get(), &nowhere, &nothing, ZSTD_e_continue)) == 0;
}

CodingResult ZstdCompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  Step step;
  for (std::size_t produced = 0; produced < room;) {
    const std::span<const std::uint8_t> part = in.front();
    if (part.empty() && !ended && !unflushed_) break;
    const bool last = part.size() == in.size();
    ZSTD_inBuffer from{part.data(), part.size(), 0};
    ZSTD_outBuffer to{step.data(), step.size(), 0};
    const std::size_t left = ZSTD_compressStream2(context_.get(), &to, &from,
                                                  !last   ? ZSTD_e_continue
                                                  : ended ? ZSTD_e_end
                                                          : ZSTD_e_flush);
    if (ZSTD_isError(left) != 0) return CodingResult::kNoMemory;
    in.remove_prefix(from.pos);
    if (!out.append_copy(std::span(step).first(to.pos))) return CodingResult::kNoMemory;
    if (last && ended && left == 0) return CodingResult::kEnd;
    produced += to.pos;
    unflushed_ = !last || left > 0;
  }
  return CodingResult::kMore;
}

bool ZstdDecompressor::start(const config::ZstdDecompression&) {
  context_.reset(ZSTD_createDCtx_advanced(allocator(memory_)));
  return context_ != nullptr && ZSTD_isError(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kWindowBits)) == 0;
}

CodingResult ZstdDecompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  Step step;
  for (std::size_t produced = 0; produced < room;) {
    const std::span<const std::uint8_t> part = in.front();
    if (part.empty() && !pending_) break;
    ZSTD_inBuffer from{part.data(), part.size(), 0};
    ZSTD_outBuffer to{step.data(), step.size(), 0};
    const std::size_t left = ZSTD_decompressStream(context_.get(), &to, &from);
    if (ZSTD_isError(left) != 0)
      return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? CodingResult::kNoMemory : CodingResult::kBadData;
    in.remove_prefix(from.pos);
    total_in_ += from.pos;
    total_out_ += to.pos;
    if (total_out_ > total_in_ * config::kMaxInflateRatio) return CodingResult::kBadData;
    if (!out.append_copy(std::span(step).first(to.pos))) return CodingResult::kNoMemory;
    produced += to.pos;
    between_frames_ = left == 0;
    pending_ = to.pos == to.size && !between_frames_;
  }
  if (!ended || !in.empty() || pending_) return CodingResult::kMore;
  return between_frames_ || total_in_ == 0 ? CodingResult::kEnd : CodingResult::kBadData;
}

}  // namespace millrace::proxy
