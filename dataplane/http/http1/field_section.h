// Field lines up to the empty line, into a HeaderMap (RFC 9112 5, 7.1.2; RFC 9110 5 and 6.5.1): the rest of a head after its
// first line, or the trailers of a chunked body.
// Names become lower case, values lose their surrounding whitespace and may hold obs-text. Refused: an empty or non-token name,
// whitespace before the colon, line folding, control characters, too many fields, too many bytes. A field that has no place in
// trailers is dropped from them.
#pragma once

#include "dataplane/http/codec.h"
#include "dataplane/http/http1/line_reader.h"
#include "dataplane/http/http1/settings.h"

namespace millrace::http::http1 {

class FieldSection {
 public:
  enum class Kind : std::uint8_t { kHead, kTrailers };
  enum class Status : std::uint8_t { kNeedMore, kDone, kError, kOutOfMemory };

  /// `fields` lives in the arena of the stream.
  void start(Kind kind, HeaderMap& fields) {
    kind_ = kind;
    fields_ = &fields;
    count_ = 0;
  }
  /// kError: error() says which.
  [[nodiscard]] Status read(LineReader& lines, stream::Chain& input, const Settings& settings);
  [[nodiscard]] ProtocolError error() const { return error_; }

 private:
  Status fail(ProtocolError error) {
    error_ = error;
    return Status::kError;
  }
  Status add_line(std::span<char> line, const Settings& settings);

  Kind kind_ = Kind::kHead;
  HeaderMap* fields_ = nullptr;
  std::size_t count_ = 0;
  ProtocolError error_ = ProtocolError::kNone;
};

/// What a failed line means inside a head or trailers; kNone for kLine, kNeedMore and kOutOfMemory.
[[nodiscard]] ProtocolError error_of(LineReader::Status status);

}  // namespace millrace::http::http1
