#include "dataplane/http/http1/framing.h"

#include <limits>

#include "dataplane/http/http1/characters.h"

namespace millrace::http::http1 {
namespace {

constexpr std::uint64_t kMaxLength = std::numeric_limits<std::int64_t>::max();

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t value = 0;
  for (char c : digits) {
    if (!is_digit(c)) return std::nullopt;
    if (value > kMaxLength / 10) return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
    if (value > kMaxLength) return std::nullopt;
  }
  return value;
}

// All Content-Length fields must agree; then one is left, with a single number, so that nobody behind us sees several.
Result<std::optional<std::uint64_t>, ProtocolError> take_content_length(HeaderMap& headers) {
  std::optional<std::uint64_t> length;
  std::size_t fields = 0;
  for (const HeaderField& field : headers.fields()) {
    if (field.id != HeaderId::kContentLength) continue;
    const auto value = parse_content_length(field.value);
    if (!value || (length && *length != *value)) return Error(ProtocolError::kBadContentLength);
    length = value;
    ++fields;
  }
  const std::string_view text = headers.value(HeaderId::kContentLength);
  const std::string_view first = trim_whitespace(text.substr(0, text.find(',')));
  if (fields > 1 || first.size() != text.size()) {
    headers.remove(HeaderId::kContentLength);
    if (!headers.add_reference(HeaderId::kContentLength, first)) return Error(ProtocolError::kTooManyHeaders);
  }
  return length;
}

// RFC 9112 6.1 and 7: the only coding we know is chunked, once, alone.
Result<bool, ProtocolError> take_transfer_encoding(HeaderMap& headers, Version version) {
  if (!headers.contains(HeaderId::kTransferEncoding)) return false;
  if (version == Version::kHttp10) return Error(ProtocolError::kBadTransferEncoding);
  std::size_t chunked = 0;
  std::size_t others = 0;
  bool last_is_chunked = false;
  for (const HeaderField& field : headers.fields()) {
    if (field.id != HeaderId::kTransferEncoding) continue;
    for_each_element(field.value, [&](std::string_view coding) {
      last_is_chunked = equal_ignoring_case(coding, "chunked");
      ++(last_is_chunked ? chunked : others);
      return true;
    });
  }
  if (!last_is_chunked || chunked != 1) return Error(ProtocolError::kBadTransferEncoding);
  if (others > 0) return Error(ProtocolError::kUnknownTransferEncoding);
  headers.remove(HeaderId::kTransferEncoding);
  return true;
}

struct BodyFields {
  bool chunked = false;
  std::optional<std::uint64_t> length;
};

Result<BodyFields, ProtocolError> take_body_fields(HeaderMap& headers, Version version) {
  // The pair first: it is the attack, whatever else may be wrong with either.
  if (headers.contains(HeaderId::kTransferEncoding) && headers.contains(HeaderId::kContentLength)) {
    return Error(ProtocolError::kLengthAndChunked);
  }
  const auto chunked = take_transfer_encoding(headers, version);
  if (!chunked) return Error(chunked.error());
  const auto length = take_content_length(headers);
  if (!length) return Error(length.error());
  return BodyFields{*chunked, *length};
}

Framing framing_of(const BodyFields& fields, BodyKind without) {
  if (fields.chunked) return {BodyKind::kChunked, 0};
  if (!fields.length) return {without, 0};
  return {*fields.length == 0 ? BodyKind::kNone : BodyKind::kLength, *fields.length};
}

}  // namespace

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  std::optional<std::uint64_t> length;
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view element = trim_whitespace(value.substr(0, comma));
    if (element.empty()) return std::nullopt;
    const auto number = parse_number(element);
    if (!number || (length && *length != *number)) return std::nullopt;
    length = number;
    if (comma == std::string_view::npos) return length;
    value.remove_prefix(comma + 1);
  }
}

Result<Framing, ProtocolError> frame_request(RequestHead& head, bool is_connect) {
  const auto fields = take_body_fields(head.headers, head.version);
  if (!fields) return Error(fields.error());
  const Framing framing = framing_of(*fields, BodyKind::kNone);
  // A CONNECT request has no content (RFC 9110 9.3.6): a body would be read as the tunnel's first bytes by others.
  if (is_connect && framing.kind == BodyKind::kLength) return Error(ProtocolError::kBadContentLength);
  if (is_connect && framing.kind == BodyKind::kChunked) return Error(ProtocolError::kBadTransferEncoding);
  return framing;
}

Result<Framing, ProtocolError> frame_response(ResponseHead& head, RequestTraits request) {
  if (request.is_connect && head.status >= 200 && head.status < 300) {  // RFC 9112 6.3 rule 2: both fields are ignored
    head.headers.remove(HeaderId::kTransferEncoding);
    head.headers.remove(HeaderId::kContentLength);
    return Framing{BodyKind::kOpaque, 0};
  }
  if (head.status == 101) return Framing{BodyKind::kOpaque, 0};
  const auto fields = take_body_fields(head.headers, head.version);
  if (!fields) return Error(fields.error());
  if (is_bodyless(head.status, request.is_head)) return Framing{};
  return framing_of(*fields, BodyKind::kUntilClose);
}

bool has_connection_option(const HeaderMap& headers, std::string_view option) {
  for (const HeaderField& field : headers.fields()) {
    if (field.id == HeaderId::kConnection && list_contains(field.value, option)) return true;
  }
  return false;
}

bool is_persistent(Version version, const HeaderMap& headers) {
  if (has_connection_option(headers, "close")) return false;
  return version != Version::kHttp10 || has_connection_option(headers, "keep-alive");
}

}  // namespace millrace::http::http1
