#include "dataplane/http/http1/body_writer.h"

#include <algorithm>
#include <charconv>

#include "dataplane/http/http1/head_writer.h"
#include "dataplane/http/http1/text_builder.h"

namespace millrace::http::http1 {

void BodyWriter::start(Framing framing) {
  *this = {};
  kind_ = framing.kind;
  remaining_ = framing.length;
}

bool BodyWriter::write(stream::Chain& data, std::size_t credit, bool end_stream, stream::Chain& out) {
  MR_ASSERT(!ended_);
  std::size_t bytes = std::min(credit, data.size());
  switch (kind_) {
    case BodyKind::kNone: data.clear(); break;
    case BodyKind::kLength: {
      bytes = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, remaining_));
      if (!data.move_prefix(bytes, out)) return false;
      remaining_ -= bytes;
      if (remaining_ == 0 && !data.empty()) {
        data.clear();
        broken_ = true;
      }
      break;
    }
    case BodyKind::kChunked: {
      if (bytes == 0) break;  // a chunk of size 0 would end the body
      char line[20];
      char* end = std::to_chars(line, line + 16, bytes, 16).ptr;
      *end++ = '\r';
      *end++ = '\n';
      if (!out.append_copy(std::string_view(line, static_cast<std::size_t>(end - line)))) return false;
      if (!data.move_prefix(bytes, out) || !out.append_copy("\r\n")) return false;
      break;
    }
    case BodyKind::kUntilClose:
    case BodyKind::kOpaque:
      if (!data.move_prefix(bytes, out)) return false;
      break;
  }
  if (!end_stream || !data.empty()) return true;
  std::uint64_t none = 0;
  return finish(nullptr, out, none);
}

bool BodyWriter::finish(const HeaderMap* trailers, stream::Chain& out, std::uint64_t& refused) {
  MR_ASSERT(!ended_);
  if (kind_ == BodyKind::kChunked) {
    if (trailers == nullptr || trailers->size() == 0) {
      if (!out.append_copy("0\r\n\r\n")) return false;
    } else {
      TextBuilder text(out.pool());
      text.put("0\r\n");
      put_fields(text, *trailers, refused);
      text.put("\r\n");
      if (!text.finish(out)) return false;
    }
  }
  ended_ = true;
  broken_ |= kind_ == BodyKind::kLength && remaining_ > 0;
  return true;
}

}  // namespace millrace::http::http1
