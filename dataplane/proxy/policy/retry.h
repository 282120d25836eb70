// Whether a request is tried again, and when: the retry policy of its route and what its client asks for, against responses and
// failures. One object a request. Pure: what is limited for all requests of a cluster is its user's.
// Envoy: "x-envoy-retry-on" and the fields around it in "Router", envoy.config.route.v3.RetryPolicy.
// Deliberately not here: 425 (no early data is sent).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "config/model/retry_policy.h"
#include "config/model/route.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/upstream_failure.h"

namespace millrace::proxy {

/// What holds where the client alone asks for retries.
[[nodiscard]] const config::RetryPolicy& default_retry_policy();

/// What clients say of retries (what external ones say is gone before). It is not for the upstream.
inline constexpr http::HeaderSet kRetryFields = {http::HeaderId::kXEnvoyRetryOn,
                                                 http::HeaderId::kXEnvoyRetryGrpcOn,
                                                 http::HeaderId::kXEnvoyMaxRetries,
                                                 http::HeaderId::kXEnvoyRetriableStatusCodes,
                                                 http::HeaderId::kXEnvoyRetriableHeaderNames,
                                                 http::HeaderId::kXEnvoyHedgeOnPerTryTimeout,
                                                 http::HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs};
/// It asks for retries, whatever the policy.
[[nodiscard]] bool asks_for_retries(const http::HeaderMap& headers);

/// The time that each try may take: x-envoy-upstream-rq-per-try-timeout-ms, which is removed, else the policy's (null: none).
/// Zero: none, also where it is not less than `response_timeout`. Call it after take_response_timeout().
[[nodiscard]] Duration take_try_timeout(const config::RetryPolicy* policy, Duration response_timeout, http::RequestHead& head);

/// x-envoy-hedge-on-per-try-timeout, or else the route's hedge_policy.
[[nodiscard]] bool hedges_on_try_timeout(const config::ForwardAction& action, const http::HeaderMap& headers);

class Retry {
 public:
  /// The head as it goes to the upstream, with kRetryFields. The policy and the head's arena outlive this; `worker`
  /// is as in RouteContext. When the arena is exhausted the client's lists count as empty.
  Retry(const config::RetryPolicy& policy, const http::RequestHead& head, std::uint32_t worker);

  /// Some condition is set: bodies have to be kept.
  [[nodiscard]] bool enabled() const { return conditions_.any(); }
  [[nodiscard]] const config::RetryPolicy& policy() const { return policy_; }

  /// A condition holds for this response.
  [[nodiscard]] bool wants(const http::ResponseHead& head) const;
  /// A condition holds for this failure. `started`: some of the request was handed to an upstream connection, in whichever try.
  [[nodiscard]] bool wants(UpstreamFailure failure, bool started) const;

  /// Takes one of the retries that are allowed. False: there is none left.
  [[nodiscard]] bool take();

  struct BackOff {
    Duration time;
    bool rate_limited = false;  ///< a field of the response has said it
  };
  /// The time to wait after take(). `head`: the response that is retried, null after a failure. `wall_seconds` since the epoch.
  /// Of the Nth retry uniform in [0, (2^N - 1) * base_interval), at most max_interval; where a field of the response says it,
  /// uniform between that and half as much again.
  [[nodiscard]] BackOff back_off(const http::ResponseHead* head, std::int64_t wall_seconds, Rng& rng) const;

 private:
  [[nodiscard]] bool matches_header(const http::ResponseHead& head) const;
  [[nodiscard]] bool has_retriable_status(std::uint16_t status) const;
  [[nodiscard]] bool matches_grpc_status(const http::ResponseHead& head) const;
  [[nodiscard]] Duration reset_interval(const http::ResponseHead& head, std::int64_t wall_seconds) const;

  const config::RetryPolicy& policy_;
  const std::uint32_t worker_;
  config::RetryConditions conditions_;
  std::uint64_t left_;
  std::uint32_t taken_ = 0;
  std::string_view more_status_codes_;  // the client's lists, as it has sent them
  std::string_view more_header_names_;
};

}  // namespace millrace::proxy
