// Another try of a request whose last one has failed: whether there is one, the wait before it, and how it begins.
#include <algorithm>
#include <new>
#include <utility>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/request_headers.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {

// The fields by which a client asks for retries are read as routes have left or set them, and end here.
bool ActiveStream::prepare_retries(const config::ForwardAction& action, Duration try_timeout, Instant now) {
  const config::RetryPolicy* policy = action.retry.get();
  if (policy != nullptr || try_timeout > Duration() || action.redirects != nullptr || asks_for_retries(request_->headers)) {
    void* memory = arena_.allocate(sizeof(StreamRetries), alignof(StreamRetries));
    if (memory == nullptr) {
      reply(LocalReplyReason::kOverloaded, now);
      return false;
    }
    const StreamRetries::Limits limits{.try_timeout = try_timeout,
                                       .keep_bytes = kept_body_limit(action),
                                       .hedge_on_try_timeout = hedges_on_try_timeout(action, request_->headers),
                                       .for_redirects = action.redirects != nullptr};
    retries_ =
        ::new (memory) StreamRetries(runtime_, *this, policy == nullptr ? default_retry_policy() : *policy, *request_, limits);
    retries_->note(*pool_, cluster_->priority_of(*pool_));
    static_cast<void>(keep_for_retries(request_body_));  // nothing waits yet: at the worst there is no retry
  }
  request_->headers.remove_all(kRetryFields);
  return true;
}

// Of a body, for another try, a redirect, or a copy of the request.
std::size_t ActiveStream::kept_body_limit(const config::ForwardAction& action) const {
  return std::min(chain_.listener().buffer_limit_bytes, action.retry_buffer_limit_bytes);
}

// False: the body is larger than what may be kept, and the try that has failed was the last; it is answered.
bool ActiveStream::keep_for_retries(const stream::Chain& data) {
  if (!retries_->keeps_body() || retries_->keep(data)) return true;
  cluster_->stats().retry_or_shadow_abandoned.add();
  const bool waited = retries_->is_waiting();
  retries_->forget_body();
  return !waited;
}

bool ActiveStream::retry_response(const http::ResponseHead& head, bool end_stream, Instant now) {
  if (phase_ != Phase::kWaiting || !retries_->is_open()) return false;
  const bool wanted = !switches_protocol(head) && retries_->retry().wants(head);
  if (!wanted && retries_->is_counted()) cluster_->stats().upstream_rq_retry_success.add();
  if (!wait_for_retry(wanted, &head, now)) {
    retries_->give_up();
    return false;
  }
  pool_->endpoint_stats().rq_error.add();
  timeouts_.touch(now);
  response_ended_ = end_stream;
  upstream_->cancel(now);
  request_sent_ = response_ended_ = false;
  return true;
}

bool ActiveStream::retry_failure(UpstreamFailure failure, Instant now) {
  if (phase_ != Phase::kWaiting || !retries_->is_open()) return false;
  if (!wait_for_retry(retries_->retry().wants(failure, request_started_), nullptr, now)) return false;
  request_sent_ = response_ended_ = false;
  return true;
}

// Begins the back-off, where the policy and the cluster allow another try. The one before it is over.
bool ActiveStream::wait_for_retry(bool wanted, const http::ResponseHead* head, Instant now) {
  retries_->uncount();
  if (!wanted || !take_retry()) return false;
  const std::int64_t wall_seconds = runtime_.wall_nanoseconds(now) / 1'000'000'000;
  const Retry::BackOff back_off = retries_->retry().back_off(head, wall_seconds, runtime_.context.rng);
  auto& stats = cluster_->stats();
  (back_off.rate_limited ? stats.upstream_rq_retry_backoff_ratelimited : stats.upstream_rq_retry_backoff_exponential).add();
  retries_->wait(back_off.time, now);
  return true;
}

// One more of those that the policy and the cluster's circuit breakers allow.
bool ActiveStream::take_retry() {
  auto& stats = cluster_->stats();
  if (!retries_->retry().take()) {
    stats.upstream_rq_retry_limit_exceeded.add();
    info_.flags.set(ResponseFlag::kUpstreamRetryLimitExceeded);
    return false;
  }
  if (!retries_->count_in(cluster_->breakers(priority()))) {
    stats.upstream_rq_retry_overflow.add();
    info_.flags.set(ResponseFlag::kUpstreamOverflow);
    return false;
  }
  stats.upstream_rq_retry.add();
  return true;
}

void ActiveStream::try_again(Instant now) {
  MR_ASSERT(phase_ == Phase::kWaiting && !upstream_->is_active());
  ++info_.attempts;
  if (!choose_another_endpoint(now)) return;
  const Duration elapsed = request_ended_ ? now - info_.request_received : Duration();
  const ForwardTimeouts timeouts{
      .response = response_timeout_, .per_try = retries_->try_timeout(), .for_grpc = follows_grpc_timeout_};
  const auto& action = std::get<config::ForwardAction>(levels_.route->action);
  const bool ready = follow_endpoint_host(action, pool_->hostname(), *request_) &&
                     set_attempt_count(*levels_.virtual_host, *request_, info_.attempts) &&
                     set_is_timeout_retry(*levels_.virtual_host, *request_, std::exchange(try_timed_out_, false)) &&
                     set_expected_timeout(http(), timeouts, elapsed, *request_) && restore_request_body();
  if (!ready) {
    reply(LocalReplyReason::kOverloaded, now);
    return;
  }
  if (choose_pool(now)) upstream_->start(*pool_, now);
}

// As the configuration is now: it may have changed while the request waited.
bool ActiveStream::choose_another_endpoint(Instant now) {
  ClusterRuntime* cluster = runtime_.clusters.find(*runtime_.snapshot, info_.cluster, now);
  ConnectionPool* pool =
      cluster == nullptr
          ? nullptr
          : retries_->choose(*cluster, {.hash = hash_.hash, .metadata = levels_.cluster->metadata_match.get(), .info = &info_},
                             now);
  if (pool == nullptr) {
    if (cluster != nullptr) cluster->stats().upstream_cx_none_healthy.add();
    reply(LocalReplyReason::kNoHealthyUpstream, now);
    return false;
  }
  if (cluster != cluster_) retries_->move_to(cluster->breakers(priority()));
  take(*cluster);
  take(*pool);
  retries_->note(*pool, cluster_->priority_of(*pool));
  return true;
}

// The whole body again. What a try before has taken of it was consumed() then.
bool ActiveStream::restore_request_body() {
  request_body_.clear();
  if (retries_->replay(request_body_)) return true;
  drop_request_body();
  return false;
}

void ActiveStream::on_try_timeout(Instant now) {
  if (phase_ != Phase::kWaiting) return;  // a response that has begun has the route's time
  cluster_->stats().upstream_rq_per_try_timeout.add();
  if (!hedge(now)) end_try(LocalReplyReason::kUpstreamPerTryTimeout, now);
}

void ActiveStream::on_try_idle_timeout(Instant now) {
  if (is_settled() || response_ended_) return;  // the upstream has done its part
  cluster_->stats().upstream_rq_per_try_idle_timeout.add();
  end_try(LocalReplyReason::kUpstreamPerTryIdleTimeout, now);
}

// A try that took too long.
void ActiveStream::end_try(LocalReplyReason reason, Instant now) {
  pool_->endpoint_stats().rq_timeout.add();
  // A response that has begun was counted with its head.
  if (phase_ == Phase::kWaiting) pool_->endpoint_stats().rq_error.add();
  upstream_->note_timeout(now);
  upstream_->cancel(now);
  if (retry_failure(UpstreamFailure::kLocalReset, now)) {
    try_timed_out_ = true;
  } else {
    reply_timeout(reason, now);
  }
}

// Envoy sees no fault of the endpoint in it, and takes it for a reset of ours where it looks for a reason to try again.
void ActiveStream::end_try_by_duration(Instant now) {
  if (!upstream_->is_open() || response_ended_) return;  // the try is over, and maybe another one is waited for
  cluster_->stats().upstream_rq_max_duration_reached.add();
  if (phase_ == Phase::kWaiting) pool_->endpoint_stats().rq_error.add();
  upstream_->cancel(now);
  if (retries_ == nullptr || !retry_failure(UpstreamFailure::kLocalReset, now))
    reply(LocalReplyReason::kUpstreamMaxStreamDuration, now);
}

}  // namespace millrace::proxy
