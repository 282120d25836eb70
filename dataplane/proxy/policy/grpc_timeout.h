// The field grpc-timeout: how long a gRPC client is going to wait. Source: gRPC over HTTP/2, "Timeout".
#pragma once

#include <optional>

#include "dataplane/base/time.h"
#include "dataplane/http/header_map.h"

namespace millrace::proxy {

/// What the request states, in whole milliseconds, rounded up; nothing: it states none, or not as gRPC writes it.
[[nodiscard]] std::optional<Duration> grpc_timeout(const http::HeaderMap& headers);

/// Replaces grpc-timeout, in the finest unit from milliseconds up in which `timeout` has eight digits; negative ones become zero.
/// False: out of memory.
[[nodiscard]] bool set_grpc_timeout(http::HeaderMap& headers, Duration timeout);

}  // namespace millrace::proxy
