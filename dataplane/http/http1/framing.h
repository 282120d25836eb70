// Where a body ends, and whether the connection goes on behind it (RFC 9112 6.3 and 9.3, RFC 9110 8.6).
// Stricter than RFC 9112 where two readers could disagree: Content-Length beside Transfer-Encoding, a Transfer-Encoding in
// HTTP/1.0, codings other than chunked are errors in responses too, never "until close".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/base/result.h"
#include "dataplane/http/codec.h"

namespace millrace::http::http1 {

enum class BodyKind : std::uint8_t {
  kNone,
  kLength,
  kChunked,
  kUntilClose,
  kOpaque,  ///< not HTTP any more: what follows 101, or 2xx to CONNECT
};

struct Framing {
  BodyKind kind = BodyKind::kNone;
  std::uint64_t length = 0;  ///< bytes, for kLength: at least 1
};

/// What the framing of a message depends on besides its own fields.
struct RequestTraits {
  bool is_head = false;
  bool is_connect = false;
};

/// Digits only, less than 2^63; several equal values in a list are one ("5, 5").
[[nodiscard]] std::optional<std::uint64_t> parse_content_length(std::string_view value);

/// Reads the framing fields of a received request and takes Transfer-Encoding out; Content-Length stays, as a single field.
[[nodiscard]] Result<Framing, ProtocolError> frame_request(RequestHead& head, bool is_connect);
/// The same for a received response.
[[nodiscard]] Result<Framing, ProtocolError> frame_response(ResponseHead& head, RequestTraits request);

/// Whether a message of that version with these fields leaves the connection open.
[[nodiscard]] bool is_persistent(Version version, const HeaderMap& headers);
/// Does any Connection field hold `option`?
[[nodiscard]] bool has_connection_option(const HeaderMap& headers, std::string_view option);

/// The responses that have no body whatever their fields say: 1xx, 204, 304, any to HEAD.
[[nodiscard]] constexpr bool is_bodyless(std::uint16_t status, bool to_head) {
  return to_head || status < 200 || status == 204 || status == 304;
}

}  // namespace millrace::http::http1
