// brotli (RFC 7932) over chains: libbrotli, with memory from the worker's BlockHeap. Input comes under any split; what comes out
// is bounded in each run. A compressor holds about 1.1 MB with the default settings, 30 kB with quality 0 or 1, and the more the
// larger quality and window are (34 MB with quality 9 and a window of 18 bits). A decompressor holds what the window of its
// stream takes as far as it has got: at most 16 MB. libbrotli decodes as much in one go, whatever comes out of it:
// zeros, which take 14 bytes, in 38 ms. Those who are not trusted get a quarter of that.
#pragma once

#include <brotli/decode.h>
#include <brotli/encode.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "config/model/filters/compression.h"
#include "dataplane/base/block_heap.h"
#include "dataplane/proxy/filters/coding_result.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class BrotliCompressor {
 public:
  explicit BrotliCompressor(BlockHeap& memory) : memory_(memory) {}
  ~BrotliCompressor();
  BrotliCompressor(const BrotliCompressor&) = delete;
  BrotliCompressor& operator=(const BrotliCompressor&) = delete;

  /// First. `length`: of what comes, in bytes, where it is known; less memory is taken for little. False: memory is scarce.
  [[nodiscard]] bool start(const config::BrotliCompression& settings, std::optional<std::uint64_t> length);
  /// As GzipCompressor::run().
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);
  /// What it expects to need, in bytes; 0 before start(). Blocks of a BlockHeap may add a quarter.
  [[nodiscard]] std::size_t reserved() const { return reserved_; }

 private:
  struct Destroy {
    void operator()(BrotliEncoderState* state) const { BrotliEncoderDestroyInstance(state); }
  };

  BlockHeap& memory_;
  std::unique_ptr<BrotliEncoderState, Destroy> state_;
  std::size_t reserved_ = 0;  // bytes of memory_
  std::size_t since_flush_ = 0;
  bool unflushed_ = false;  // some of what went in may not have come out yet
};

class BrotliDecompressor {
 public:
  static constexpr int kTrustedWindowBits = BROTLI_MAX_WINDOW_BITS;
  static constexpr int kUntrustedWindowBits = BROTLI_DEFAULT_WINDOW;

  BrotliDecompressor(BlockHeap& memory, int widest_window_bits) : memory_(memory), widest_window_bits_(widest_window_bits) {}

  /// First. False: no memory.
  [[nodiscard]] bool start(const config::BrotliDecompression& settings);
  /// As GzipDecompressor::run(). kBadData: it is not brotli, has a wider window, ends in the middle, goes on behind its end, or
  /// more than kMaxInflateRatio times as much comes out of it.
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);

 private:
  struct Destroy {
    void operator()(BrotliDecoderState* state) const { BrotliDecoderDestroyInstance(state); }
  };

  BlockHeap& memory_;
  const int widest_window_bits_;
  std::unique_ptr<BrotliDecoderState, Destroy> state_;
  std::uint64_t total_in_ = 0;
  std::uint64_t total_out_ = 0;
  bool stalled_ = false;  // it goes on without input once its output is taken
};

}  // namespace millrace::proxy
