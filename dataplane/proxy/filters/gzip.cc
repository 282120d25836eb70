#include "dataplane/proxy/filters/gzip.h"

#include <algorithm>
#include <array>
#include <span>

namespace millrace::proxy {
namespace {

constexpr std::size_t kStepBytes = 4096;  // of output at a time
constexpr std::size_t kAlignment = 16;
constexpr int kGzipFormat = 16;  // added to windowBits: zlib.h, deflateInit2
constexpr unsigned kLargestStep = 1 << 30;

using Step = std::array<std::uint8_t, kStepBytes>;

/// Gives zlib the front of `in` and all of `step`.
void feed(z_stream& stream, std::span<const std::uint8_t> part, Step& step) {
  stream.next_in = const_cast<Bytef*>(part.data());  // z_const is not defined: zlib reads only
  stream.avail_in = static_cast<unsigned>(std::min<std::size_t>(part.size(), kLargestStep));
  stream.next_out = step.data();
  stream.avail_out = kStepBytes;
}

}  // namespace

void ZlibMemory::serve(z_stream& stream) {
  stream.zalloc = allocate;
  stream.zfree = [](void*, void*) {};
  stream.opaque = this;
}

void* ZlibMemory::allocate(void* self, unsigned items, unsigned size) {
  auto& memory = *static_cast<ZlibMemory*>(self);
  const std::size_t wanted = (std::size_t{items} * size + kAlignment - 1) / kAlignment * kAlignment;
  if (wanted > ChunkPool::kLargeBytes) return nullptr;
  if (wanted > memory.left_) {
    memory.next_ = static_cast<std::byte*>(memory.arena_.allocate(ChunkPool::kLargeBytes, kAlignment));
    memory.left_ = memory.next_ == nullptr ? 0 : ChunkPool::kLargeBytes;
    if (memory.next_ == nullptr) return nullptr;
  }
  void* start = memory.next_;
  memory.next_ += wanted;
  memory.left_ -= wanted;
  return start;
}

bool GzipCompressor::start(const config::GzipCompression& settings) {
  memory_.serve(stream_);
  return deflateInit2(&stream_, settings.level, Z_DEFLATED, settings.window_bits + kGzipFormat, settings.memory_level,
                      settings.strategy) == Z_OK;
}

CodingResult GzipCompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  Step step;
  for (std::size_t produced = 0; produced < room;) {
    const std::span<const std::uint8_t> part = in.front();
    if (part.empty() && !ended && !pending_) break;
    feed(stream_, part, step);
    const bool last = stream_.avail_in == in.size();
    const unsigned offered = stream_.avail_in;
    const int status = deflate(&stream_, !last ? Z_NO_FLUSH : ended ? Z_FINISH : Z_SYNC_FLUSH);
    in.remove_prefix(offered - stream_.avail_in);
    const std::size_t now_produced = kStepBytes - stream_.avail_out;
    if (!out.append_copy(std::span(step).first(now_produced))) return CodingResult::kNoMemory;
    if (status == Z_STREAM_END) return CodingResult::kEnd;
    produced += now_produced;
    pending_ = stream_.avail_out == 0;
  }
  return CodingResult::kMore;
}

bool GzipDecompressor::start() {
  memory_.serve(stream_);
  return inflateInit2(&stream_, settings_.window_bits + kGzipFormat) == Z_OK;
}

CodingResult GzipDecompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  Step step;
  for (std::size_t produced = 0; produced < room;) {
    const std::span<const std::uint8_t> part = in.front();
    if (part.empty() && !pending_) break;
    if (between_members_ && inflateReset(&stream_) != Z_OK) return CodingResult::kBadData;
    between_members_ = false;
    feed(stream_, part, step);
    const unsigned offered = stream_.avail_in;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      return status == Z_MEM_ERROR ? CodingResult::kNoMemory : CodingResult::kBadData;
    const std::size_t taken = offered - stream_.avail_in;
    const std::size_t now_produced = kStepBytes - stream_.avail_out;
    in.remove_prefix(taken);
    total_in_ += taken;
    total_out_ += now_produced;
    if (total_out_ > total_in_ * settings_.max_inflate_ratio) return CodingResult::kBadData;
    if (!out.append_copy(std::span(step).first(now_produced))) return CodingResult::kNoMemory;
    produced += now_produced;
    between_members_ = status == Z_STREAM_END;
    pending_ = stream_.avail_out == 0 && !between_members_;
  }
  if (!ended || !in.empty() || pending_) return CodingResult::kMore;
  return between_members_ || total_in_ == 0 ? CodingResult::kEnd : CodingResult::kBadData;
}

}  // namespace millrace::proxy
