// gzip (RFC 1952) over chains: zlib, with memory from the stream's arena. Nothing is taken from the heap, and all is given back
// when the stream ends. Input comes under any split; what comes out is bounded in each run.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>

#include "config/model/filters/compression.h"
#include "dataplane/base/arena.h"
#include "dataplane/proxy/filters/coding_result.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

/// zlib's allocator: blocks of an arena, which nothing is given back to before the arena ends.
class ZlibMemory {
 public:
  explicit ZlibMemory(Arena& arena) : arena_(arena) {}
  ZlibMemory(const ZlibMemory&) = delete;
  ZlibMemory& operator=(const ZlibMemory&) = delete;

  void serve(z_stream& stream);

 private:
  static void* allocate(void* self, unsigned items, unsigned size);

  Arena& arena_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

class GzipCompressor {
 public:
  explicit GzipCompressor(Arena& arena) : memory_(arena) {}

  /// First. False: no memory.
  [[nodiscard]] bool start(const config::GzipCompression& settings);
  /// Compresses from the front of `in`, until it is empty or about `room` bytes have come out. All that went in comes out at
  /// once: who waits for a part of a response sees it. kEnd: `ended`, and nothing follows.
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);

 private:
  ZlibMemory memory_;
  z_stream stream_{};
  bool pending_ = false;  // zlib holds back output
};

class GzipDecompressor {
 public:
  GzipDecompressor(const config::GzipDecompression& settings, Arena& arena) : settings_(settings), memory_(arena) {}

  /// First. False: no memory.
  [[nodiscard]] bool start();
  /// As GzipCompressor::run(), the other way round. kBadData: it is not gzip, ends in the middle, or more comes out of it than
  /// max_inflate_ratio allows.
  [[nodiscard]] CodingResult run(stream::Chain& in, bool ended, stream::Chain& out, std::size_t room);

 private:
  const config::GzipDecompression& settings_;
  ZlibMemory memory_;
  z_stream stream_{};
  std::uint64_t total_in_ = 0;
  std::uint64_t total_out_ = 0;
  bool pending_ = false;
  bool between_members_ = false;  // a member has ended; another one may follow (RFC 1952 2.2)
};

}  // namespace millrace::proxy
