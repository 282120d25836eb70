// Which resend of a request was right: each of its tries is judged by what origins had seen of the one before and had said to it,
// against the retry policy in force. Envoy: "x-envoy-retry-on" in "Router".
#pragma once

#include "config/model/retry_policy.h"
#include "tests/simulation/http_program.h"

namespace millrace::sim {

/// It covers the loss of a request that an origin may have begun with, whatever has become of it there.
[[nodiscard]] bool covers_loss(const config::RetryPolicy& policy);
/// It covers requests that have not found a connection; `sent`: another try of the same one has.
[[nodiscard]] bool covers_connect_failure(const config::RetryPolicy& policy, bool sent);
/// It covers an answer with that status.
[[nodiscard]] bool covers_status(const config::RetryPolicy& policy, int status);
/// It covers such a failure of a request that found its origin, and the client hears nothing of it.
[[nodiscard]] bool covers(const config::RetryPolicy& policy, const RequestPlan& plan);

/// Of each request: no try beyond the policy's number, none that follows what the policy does not cover, and none after its
/// client has had the head of a response. Where a try was silent or a connection may have broken without an origin's doing, it
/// counts as lost.
void judge_retries(RequestTable& table);

}  // namespace millrace::sim
