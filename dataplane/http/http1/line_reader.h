// Takes lines off a Chain, whatever its segments: the bytes of a head, in the arena of its stream, one line after another.
// Every byte is looked at and copied once (a line cut by a segment border may be copied once more when the text grows), so that
// segments of one byte cost no more than linear time. RFC 9112 2.2: lines end in CRLF; a bare CR or LF is an error.
//
//   text_            line_start_          end_          capacity_
//     |<- earlier lines ->|<- partial line ->|<--- free --->|
#pragma once

#include <cstddef>
#include <span>

#include "dataplane/base/arena.h"
#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class LineReader {
 public:
  enum class Status {
    kLine,      ///< line() holds it, without CRLF; writable, lives as long as the arena
    kNeedMore,  ///< all input was taken and the line is not complete
    kTooLong,   ///< the line, or the section, is longer than allowed
    kBareCr,
    kBareLf,
    kOutOfMemory,
  };

  /// Begins with a fresh stream, whose text may need up to `max_bytes` at once.
  void start(Arena& arena, std::size_t max_bytes);
  /// What may still be read, line ends included, before kTooLong.
  void set_budget(std::size_t bytes) { budget_ = bytes; }
  [[nodiscard]] std::size_t budget() const { return budget_; }

  [[nodiscard]] Status read(stream::Chain& input);
  [[nodiscard]] std::span<char> line() const { return line_; }

 private:
  [[nodiscard]] bool reserve(std::size_t bytes);

  Arena* arena_ = nullptr;
  char* text_ = nullptr;
  std::size_t line_start_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
  std::size_t max_bytes_ = 0;
  std::size_t budget_ = 0;
  std::span<char> line_;
};

}  // namespace millrace::http::http1
