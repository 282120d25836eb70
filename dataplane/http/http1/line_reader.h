// Takes lines off a Chain, whatever its segments: the bytes of a head, in the arena of its stream, one line after another.
// What a segment holds of a section (all up to its empty line) is copied at once, and every byte is looked at twice: a vector at
// a time, so that neither many short lines nor segments of one byte cost more than linear time. RFC 9112 2.2: lines end in CRLF;
// a bare CR or LF is an error.
//
//   text_            line_start_         scanned_           end_          capacity_
//     |<- earlier lines ->|<- no line end ->|<- not looked at ->|<--- free --->|
#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "dataplane/base/arena.h"
#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class LineReader {
 public:
  /// So many bytes behind a line are there to be read and written back, whatever they are.
  static constexpr std::size_t kPaddingBytes = 32;

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
  /// What may still be read, line ends included, before kTooLong. At least what was taken and not read yet: more than before, but
  /// for the last line, or at the end of a section.
  void set_budget(std::size_t bytes) { budget_ = bytes; }

  /// Takes no byte behind the section's empty line.
  [[nodiscard]] Status read(stream::Chain& input);
  /// Bytes were taken that read() has not looked at yet: it goes on without further input.
  [[nodiscard]] bool has_unread() const { return scanned_ < end_; }
  [[nodiscard]] std::span<char> line() const { return line_; }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] bool reserve(std::size_t bytes);
  [[nodiscard]] Status take(stream::Chain& input);
  [[nodiscard]] Status scan();
  [[nodiscard]] Status end_line(std::size_t line_feed);
  [[nodiscard]] std::size_t section_bytes(std::span<const std::uint8_t> part) const;

  Arena* arena_ = nullptr;
  char* text_ = nullptr;
  std::size_t line_start_ = 0;
  std::size_t scanned_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
  std::size_t max_bytes_ = 0;
  std::size_t budget_ = 0;           // at least end_ - line_start_
  std::size_t first_cr_ = kNowhere;  // of the line that is being read
  std::span<char> line_;
};

}  // namespace millrace::http::http1
