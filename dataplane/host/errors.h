// What the kernel's errors mean to users of byte streams.
#pragma once

#include "dataplane/stream/byte_stream.h"

namespace millrace::host {

/// Why a connection could not be made; `error` is errno.
[[nodiscard]] stream::CloseReason connect_failure(int error);
/// Why one that was open is gone.
[[nodiscard]] stream::CloseReason stream_failure(int error);
/// This process or the system has none of something left: it may be better later.
[[nodiscard]] bool is_exhaustion(int error);

}  // namespace millrace::host
