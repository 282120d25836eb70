#include "dataplane/http/http1/field_section.h"

#include "dataplane/http/http1/characters.h"

namespace millrace::http::http1 {
namespace {

// RFC 9110 6.5.1: framing, routing, authentication, request modifiers, content format. Merged into a head by somebody behind
// us, each would change the meaning of a message that was already judged.
bool may_be_trailer(HeaderId id) {
  switch (id) {
    case HeaderId::kAuthorization:
    case HeaderId::kCacheControl:
    case HeaderId::kConnection:
    case HeaderId::kContentEncoding:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kCookie:
    case HeaderId::kExpect:
    case HeaderId::kHost:
    case HeaderId::kKeepAlive:
    case HeaderId::kLocation:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kRetryAfter:
    case HeaderId::kSetCookie:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade: return false;
    default: return true;
  }
}

}  // namespace

ProtocolError error_of(LineReader::Status status) {
  switch (status) {
    case LineReader::Status::kTooLong: return ProtocolError::kHeadersTooLarge;
    case LineReader::Status::kBareCr: return ProtocolError::kBareCr;
    case LineReader::Status::kBareLf: return ProtocolError::kBareLf;
    default: return ProtocolError::kNone;
  }
}

FieldSection::Status FieldSection::read(LineReader& lines, stream::Chain& input, const Settings& settings) {
  while (true) {
    const LineReader::Status status = lines.read(input);
    if (status == LineReader::Status::kNeedMore) return Status::kNeedMore;
    if (status == LineReader::Status::kOutOfMemory) return Status::kOutOfMemory;
    if (status != LineReader::Status::kLine) return fail(error_of(status));
    if (lines.line().empty()) return Status::kDone;
    const Status added = add_line(lines.line(), settings);
    if (added != Status::kDone) return added;
  }
}

FieldSection::Status FieldSection::add_line(std::span<char> line, const Settings& settings) {
  if (line.front() == ' ' || line.front() == '\t') return fail(ProtocolError::kObsoleteFolding);
  if (++count_ > settings.max_header_count) return fail(ProtocolError::kTooManyHeaders);

  std::size_t colon = 0;
  bool underscore = false;
  for (; colon < line.size() && line[colon] != ':'; ++colon) {
    const char lower = token_char(line[colon]);
    if (lower == 0) return fail(ProtocolError::kBadHeaderName);
    underscore |= lower == '_';
    line[colon] = lower;
  }
  if (colon == 0 || colon == line.size()) return fail(ProtocolError::kBadHeaderName);
  const std::string_view name(line.data(), colon);
  const std::string_view value = trim_whitespace({line.data() + colon + 1, line.size() - colon - 1});
  if (!is_field_value(value)) return fail(ProtocolError::kBadHeaderValue);

  if (underscore && settings.headers_with_underscores_action != UnderscoreAction::kAllow) {
    if (settings.headers_with_underscores_action == UnderscoreAction::kReject) return fail(ProtocolError::kUnderscoreInName);
    return Status::kDone;
  }
  const HeaderId id = header_id(name);
  if (kind_ == Kind::kTrailers && !may_be_trailer(id)) return Status::kDone;
  return fields_->add_reference(id, name, value) ? Status::kDone : Status::kOutOfMemory;
}

}  // namespace millrace::http::http1
