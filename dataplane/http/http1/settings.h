// What a listener or a cluster may choose about HTTP/1. Envoy's names where Envoy has the setting.
// Never to be had: bodies framed by Content-Length and chunked at once (Envoy's allow_chunked_length).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/limits.h"

namespace millrace::http::http1 {

/// What happens to a field whose name holds an underscore: some servers take it for a dash.
enum class UnderscoreAction : std::uint8_t { kAllow, kReject, kDrop };

struct Settings {
  /// Bytes of one head, line ends included; trailers have as much again. At most limits::kMaxRequestHeadersBytes.
  std::size_t max_headers_bytes = limits::kDefaultRequestHeadersBytes;
  /// Bytes of a request line; beyond it the answer is 414. A value above max_headers_bytes acts as max_headers_bytes.
  std::size_t max_request_line_bytes = limits::kDefaultRequestHeadersBytes;
  /// Fields of one head; trailers have as many again. At most limits::kMaxHeaderCount.
  std::size_t max_header_count = limits::kDefaultHeaderCount;
  bool accept_http_10 = false;     ///< server: HTTP/1.0 requests are served; else refused with 426
  bool allow_absolute_url = true;  ///< server: "GET http://host/path" is understood; else refused with 400
  bool enable_trailers = false;    ///< trailers are passed on and sent; else checked, then dropped
  UnderscoreAction headers_with_underscores_action = UnderscoreAction::kAllow;
  /// Body bytes of one stream that are delivered and not yet consumed().
  std::size_t receive_window_bytes = 256 * 1024;
  /// send_credit() is this less what waits in output().
  std::size_t output_limit_bytes = limits::kDefaultConnectionBufferBytes;
};

/// Fields that the user may add to a head beyond max_header_count (x-forwarded-for and the like).
inline constexpr std::size_t kSpareHeaderFields = 64;
/// Empty lines that a server skips before a request line (RFC 9112 2.2).
inline constexpr std::size_t kMaxLeadingEmptyLines = 8;
/// Informational responses to one request that a client takes.
inline constexpr std::size_t kMaxInformationalResponses = 32;
/// Bytes of chunk extensions in one body, which cost work and carry nothing (RFC 9112 7.1.1).
inline constexpr std::size_t kMaxChunkExtensionBytes = 16 * 1024;

}  // namespace millrace::http::http1
