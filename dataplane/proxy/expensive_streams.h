// Envoy's overload action reset_high_memory_stream: requests that hold most memory are reset first.
#pragma once

#include "config/model/overload.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

struct Runtime;

/// Once for each time that the agent asks (report::OverloadCell::reset_rounds); costs a load when it does not. Streams fall into
/// eight classes, each twice as large as the one before, the smallest beginning at 2^least_account_power bytes; the action's
/// level says how many classes go, the largest first. At most kMostResets of this worker at once.
void reset_expensive_streams(Runtime& runtime, const config::Overload& overload, Instant now);

}  // namespace millrace::proxy
