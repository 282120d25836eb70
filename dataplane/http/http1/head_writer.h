// Writes the head of a message and chooses its framing (RFC 9112 3, 4, 6; RFC 9110 7.6.1, 8.6).
// The fields that belong to the connection are the codec's: Connection, Keep-Alive, Proxy-Connection and Transfer-Encoding of
// the user are not sent, ours are. Content-Length of the user, where it is valid and allowed, becomes the framing.
// Nothing that is sent can inject a line: a field whose name is no token or whose value holds a control character is left
// out and counted; in a path, bytes that no target may hold are percent-encoded; a method or authority that is none is refused.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/http/http1/framing.h"
#include "dataplane/http/http1/text_builder.h"

namespace millrace::http::http1 {

struct ResponseContext {
  RequestTraits request;
  Version client = Version::kHttp11;
  bool close = false;       ///< say Connection: close
  bool end_stream = false;  ///< no body follows
};

/// Appends the head to `out`. The framing of the body to come; nothing when out of memory. `refused` counts fields left out.
[[nodiscard]] std::optional<Framing> write_response_head(const ResponseHead& head, const ResponseContext& context,
                                                         stream::Chain& out, std::uint64_t& refused);

/// The same for a request. kOpaque: CONNECT or an upgrade, nothing may be sent before the peer agrees. Nothing also when
/// method or authority cannot be sent.
[[nodiscard]] std::optional<Framing> write_request_head(const RequestHead& head, bool end_stream, stream::Chain& out,
                                                        std::uint64_t& refused);

/// Writes the fields that are the user's to choose, as for trailers.
void put_fields(TextBuilder& text, const HeaderMap& headers, std::uint64_t& refused);

}  // namespace millrace::http::http1
