// How long to wait before a management server is tried again: a jittered exponential back-off, as in Envoy
// (GrpcService.EnvoyGrpc.retry_policy).
#pragma once

#include <cstdint>

#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

/// Anything from zero up to `base`, which doubles with each of `failures` in a row (at least 1) as far as `longest`.
[[nodiscard]] Duration jittered_back_off(Duration base, Duration longest, std::uint32_t failures, Rng& rng);

}  // namespace millrace::agent
