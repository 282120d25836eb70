// Takes the bytes of one body off the input, whatever its framing (RFC 9112 6 and 7.1). Body bytes are moved by reference,
// never copied but for tiny chunks, which are compacted. Chunk extensions are checked, bounded and dropped.
// Trailers are not read here: kTrailers says that they (or the final empty line) come next.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/http/http1/framing.h"
#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class BodyDecoder {
 public:
  enum class Status : std::uint8_t {
    kNeedMore,    ///< all input was taken
    kWindowFull,  ///< `window` bytes were moved and the next input is a body byte
    kEnd,         ///< the body is complete; the input behind it was not touched
    kTrailers,    ///< the last chunk was read
    kError,       ///< error() says which
    kOutOfMemory,
  };

  void start(Framing framing);
  /// Moves up to `window` body bytes from `input` to the end of `body`.
  [[nodiscard]] Status decode(stream::Chain& input, stream::Chain& body, std::size_t window);
  [[nodiscard]] ProtocolError error() const { return error_; }
  [[nodiscard]] BodyKind kind() const { return kind_; }

 private:
  enum class State : std::uint8_t { kSizeStart, kSize, kSpace, kExtension, kSizeLf, kData, kDataCr, kDataLf };

  [[nodiscard]] Status decode_chunked(stream::Chain& input, stream::Chain& body, std::size_t window);
  [[nodiscard]] bool read_framing(char c);
  [[nodiscard]] bool move(stream::Chain& input, stream::Chain& body, std::size_t bytes);
  bool fail(ProtocolError error) {
    error_ = error;
    return false;
  }

  BodyKind kind_ = BodyKind::kNone;
  State state_ = State::kSizeStart;
  ProtocolError error_ = ProtocolError::kNone;
  std::uint64_t remaining_ = 0;      // of the body, or of the chunk
  std::size_t extension_bytes_ = 0;  // in all chunks so far
  unsigned digits_ = 0;              // of this chunk's size
};

}  // namespace millrace::http::http1
