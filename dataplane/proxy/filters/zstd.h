// zstd (RFC 8878) over chains: libzstd, with memory from the worker's BlockHeap. Input comes under any split; what comes out is
// bounded in each run. Windows are 8 MB at the most (RFC 9659), in both directions.
// A compressor holds 3.7 MB at the default level where nobody knows how much comes, 40 kB for a kilobyte, 94 MB at level 19. A
// decompressor holds 230 kB and the window of its frame.
#pragma once

// For what takes an allocator, and for the estimate of what comes: there in every version since 1.4.0.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "config/model/filters/compression.h"
#include "dataplane/base/block_heap.h"
#include "dataplane/proxy/filters/coding_result.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class ZstdCompressor {
 public:
  explicit ZstdCompressor(BlockHeap& memory) : memory_(memory) {}

  /// First. `length`: of what comes, in bytes, where it is known; less memory is taken for little. False: memory is scarce.
  [[nodiscard]] bool start(const config::ZstdCompression& settings, std::optional<std::uint64_t> length);
  /// As GzipCompressor::run().
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);

 private:
  struct Destroy {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };

  BlockHeap& memory_;
  std::unique_ptr<ZSTD_CCtx, Destroy> context_;
  bool unflushed_ = false;  // some of what went in may not have come out yet
};

class ZstdDecompressor {
 public:
  explicit ZstdDecompressor(BlockHeap& memory) : memory_(memory) {}

  /// First. False: no memory.
  [[nodiscard]] bool start(const config::ZstdDecompression& settings);
  /// As GzipDecompressor::run(). kBadData: it is not zstd, wants a dictionary or a larger window, ends in the middle, or more
  /// than kMaxInflateRatio times as much comes out of it.
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);

 private:
  struct Destroy {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  BlockHeap& memory_;
  std::unique_ptr<ZSTD_DCtx, Destroy> context_;
  std::uint64_t total_in_ = 0;
  std::uint64_t total_out_ = 0;
  bool pending_ = false;         // libzstd holds back output
  bool between_frames_ = false;  // a frame has ended; another one may follow
};

}  // namespace millrace::proxy
