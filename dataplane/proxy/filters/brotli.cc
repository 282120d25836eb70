#include "dataplane/proxy/filters/brotli.h"

#include <algorithm>
#include <span>

namespace millrace::proxy {
namespace {

constexpr std::uint64_t kWindowGap = 16;  // RFC 7932 9.1: a window of W bits holds so much less than 2^W bytes

// Input after which all comes out: what is not flushed costs up to 90 bytes of memory for each.
constexpr std::size_t kFlushBytes = 64 * 1024;

void* allocate(void* heap, std::size_t bytes) { return static_cast<BlockHeap*>(heap)->allocate(bytes); }
// Debian's encoder ends the process when it does not get what it asks for.
void* allocate_reserved(void* heap, std::size_t bytes) { return static_cast<BlockHeap*>(heap)->allocate_reserved(bytes); }
void release(void* heap, void* start) { static_cast<BlockHeap*>(heap)->release(start); }

/// The smallest window that `length` bytes fit into, at most `wanted`.
int fitting_window_bits(int wanted, std::optional<std::uint64_t> length) {
  if (!length) return wanted;
  int bits = BROTLI_MIN_WINDOW_BITS;
  while (bits < wanted && (std::uint64_t{1} << bits) - kWindowGap < *length) ++bits;
  return bits;
}

/// Of a stream that begins with this byte, where they are more than 17: RFC 7932 9.1.
int wide_window_bits(std::uint8_t first) { return (first & 1) == 0 ? 0 : 17 + (first >> 1 & 7); }

/// What an encoder of version 1.0.9 takes at the most where no more than kFlushBytes wait in it: its window, its hash tables, and
/// what it needs while it compresses. Measured, rounded up.
std::size_t expected_bytes(int quality, int window_bits, int block_bits, std::uint64_t length) {
  constexpr std::size_t kKilobyte = 1024;
  if (quality < 2) return 64 * kKilobyte;
  const std::size_t window = std::size_t{2} << std::max(window_bits, block_bits);
  if (quality < 4) return window + 700 * kKilobyte;
  const std::size_t block = std::size_t{1} << block_bits;
  if (quality == 4) return window + block + (length < 1'000'000 ? 1'700 : 5'300) * kKilobyte;
  if (quality < 10) return window + block + (window_bits <= 16 ? 2'600 * kKilobyte : (1'200 + (64u << quality)) * kKilobyte);
  return window + block + (std::size_t{8} << window_bits) + 6'000 * kKilobyte;
}

bool is_allocation_error(BrotliDecoderErrorCode code) {
  return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
}

}  // namespace

BrotliCompressor::~BrotliCompressor() {
  state_.reset();
  memory_.cancel(reserved_);
}

bool BrotliCompressor::start(const config::BrotliCompression& settings, std::optional<std::uint64_t> length) {
  const int window_bits = fitting_window_bits(settings.window_bits, length);
  // What went in comes out after each run, so that blocks larger than the window would only take memory.
  const int block_bits = std::max(std::min(settings.block_bits, window_bits), BROTLI_MIN_INPUT_BLOCK_BITS);
  const std::size_t expected = expected_bytes(settings.quality, window_bits, block_bits, length.value_or(0));
  if (!memory_.reserve(expected)) return false;
  reserved_ = expected;
  state_.reset(BrotliEncoderCreateInstance(allocate_reserved, release, &memory_));
  if (state_ == nullptr) return false;
  const auto set = [&](BrotliEncoderParameter parameter, std::uint64_t value) {
    return BrotliEncoderSetParameter(state_.get(), parameter, static_cast<std::uint32_t>(value)) == BROTLI_TRUE;
  };
  return set(BROTLI_PARAM_QUALITY, static_cast<std::uint64_t>(settings.quality)) &&
         set(BROTLI_PARAM_MODE, static_cast<std::uint64_t>(settings.mode)) &&
         set(BROTLI_PARAM_LGWIN, static_cast<std::uint64_t>(window_bits)) &&
         set(BROTLI_PARAM_LGBLOCK, static_cast<std::uint64_t>(block_bits)) &&
         set(BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING, settings.literal_context_modeling ? 0 : 1) &&
         set(BROTLI_PARAM_SIZE_HINT, std::min<std::uint64_t>(length.value_or(0), UINT32_MAX));
}

CodingResult BrotliCompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  for (std::size_t produced = 0; produced < room;) {
    if (BrotliEncoderHasMoreOutput(state_.get()) != BROTLI_FALSE) {
      std::size_t size = room - produced;
      const std::uint8_t* data = BrotliEncoderTakeOutput(state_.get(), &size);
      if (!out.append_copy(std::span(data, size))) return CodingResult::kNoMemory;
      produced += size;
      continue;
    }
    if (BrotliEncoderIsFinished(state_.get()) != BROTLI_FALSE) return CodingResult::kEnd;
    const std::span<const std::uint8_t> part = in.front();
    if (part.empty() && !ended && !unflushed_) break;
    const bool last = part.size() == in.size();
    const bool flush = last || since_flush_ >= kFlushBytes;
    const BrotliEncoderOperation operation = !flush          ? BROTLI_OPERATION_PROCESS
                                             : last && ended ? BROTLI_OPERATION_FINISH
                                                             : BROTLI_OPERATION_FLUSH;
    std::size_t left = part.size();
    std::size_t no_room = 0;  // it is taken above
    const std::uint8_t* next = part.data();
    if (BrotliEncoderCompressStream(state_.get(), operation, &left, &next, &no_room, nullptr, nullptr) == BROTLI_FALSE)
      return CodingResult::kNoMemory;
    in.remove_prefix(part.size() - left);
    since_flush_ = flush && left == 0 ? 0 : since_flush_ + part.size() - left;
    unflushed_ = !last || left > 0 || BrotliEncoderHasMoreOutput(state_.get()) != BROTLI_FALSE;
  }
  return CodingResult::kMore;
}

bool BrotliDecompressor::start(const config::BrotliDecompression& settings) {
  state_.reset(BrotliDecoderCreateInstance(allocate, release, &memory_));
  return state_ != nullptr && BrotliDecoderSetParameter(state_.get(), BROTLI_DECODER_PARAM_DISABLE_RING_BUFFER_REALLOCATION,
                                                        settings.grows_window ? 0 : 1) == BROTLI_TRUE;
}

CodingResult BrotliDecompressor::run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room) {
  for (std::size_t produced = 0; produced < room;) {
    if (BrotliDecoderHasMoreOutput(state_.get()) != BROTLI_FALSE) {
      std::size_t size = room - produced;
      const std::uint8_t* data = BrotliDecoderTakeOutput(state_.get(), &size);
      total_out_ += size;
      if (total_out_ > total_in_ * config::kMaxInflateRatio) return CodingResult::kBadData;
      if (!out.append_copy(std::span(data, size))) return CodingResult::kNoMemory;
      produced += size;
      continue;
    }
    const std::span<const std::uint8_t> part = in.front();
    if (BrotliDecoderIsFinished(state_.get()) != BROTLI_FALSE || (part.empty() && !stalled_)) break;
    if (total_in_ == 0 && wide_window_bits(part.front()) > widest_window_bits_) return CodingResult::kBadData;
    std::size_t left = part.size();
    std::size_t no_room = 0;
    const std::uint8_t* next = part.data();
    const BrotliDecoderResult result = BrotliDecoderDecompressStream(state_.get(), &left, &next, &no_room, nullptr, nullptr);
    if (result == BROTLI_DECODER_RESULT_ERROR)
      return is_allocation_error(BrotliDecoderGetErrorCode(state_.get())) ? CodingResult::kNoMemory : CodingResult::kBadData;
    stalled_ = result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
    in.remove_prefix(part.size() - left);
    total_in_ += part.size() - left;
  }
  if (BrotliDecoderIsFinished(state_.get()) != BROTLI_FALSE) {
    if (!in.empty()) return CodingResult::kBadData;
    return ended ? CodingResult::kEnd : CodingResult::kMore;
  }
  if (!ended || !in.empty() || stalled_ || BrotliDecoderHasMoreOutput(state_.get()) != BROTLI_FALSE) return CodingResult::kMore;
  return total_in_ == 0 ? CodingResult::kEnd : CodingResult::kBadData;
}

}  // namespace millrace::proxy
