// Requests that go on as a whole only. Source: envoy.extensions.filters.http.buffer.v3.
#pragma once

#include <cstdint>
#include <optional>

namespace millrace::config {

/// The same in the connection manager and for a route.
struct BufferRequests {
  std::optional<std::uint32_t> max_request_bytes;  ///< nothing: the route's requests are not buffered
};

}  // namespace millrace::config
