// What a run of a content coding came to: of gzip.h, brotli.h and zstd.h.
#pragma once

#include <cstdint>

namespace millrace::proxy {

enum class CodingResult : std::uint8_t {
  kMore,  ///< all that was there has gone through, or there is no room
  kEnd,   ///< nothing follows
  kNoMemory,
  kBadData,  ///< it is not what it says to be, or more comes out of it than may
};

}  // namespace millrace::proxy
