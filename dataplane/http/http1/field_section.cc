#include "dataplane/http/http1/field_section.h"

#include <algorithm>
#include <bit>

#include "dataplane/base/byte_block.h"
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

// What stands before the colon, made lower case in its place; empty when there is none. Most names are shorter than a block: the
// line's padding is read and written back with them.
std::string_view take_name(std::span<char> line) {
  static_assert(LineReader::kPaddingBytes >= ByteBlock::kBytes);
  const ByteBlock block(line.data());
  const std::uint32_t colons = block.equal(':') & ByteBlock::first(line.size());
  if (colons != 0) {
    const auto size = static_cast<std::size_t>(std::countr_zero(colons));
    block.store_lower(line.data(), size);
    return {line.data(), size};
  }
  const std::size_t size = std::string_view(line.data(), line.size()).find(':');
  if (size == std::string_view::npos) return {};
  std::transform(line.data(), line.data() + size, line.data(), to_lower);
  return {line.data(), size};
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

  const std::string_view name = take_name(line);
  const HeaderId id = header_id(name);
  if (id == HeaderId::kOther && !is_token(name)) return fail(ProtocolError::kBadHeaderName);
  const std::string_view rest(line.data() + name.size() + 1, line.size() - name.size() - 1);
  const std::string_view value = trim_whitespace(rest);
  if (!is_field_value(value)) return fail(ProtocolError::kBadHeaderValue);

  if (settings.headers_with_underscores_action != UnderscoreAction::kAllow && name.contains('_')) {
    if (settings.headers_with_underscores_action == UnderscoreAction::kReject) return fail(ProtocolError::kUnderscoreInName);
    return Status::kDone;
  }
  if (kind_ == Kind::kTrailers && !may_be_trailer(id)) return Status::kDone;
  // "name: value" CRLF, as it would be written.
  const bool verbatim = value.size() + 1 == rest.size() && rest.front() == ' ';
  return fields_->add_line(id, name, value, verbatim) ? Status::kDone : Status::kOutOfMemory;
}

}  // namespace millrace::http::http1
