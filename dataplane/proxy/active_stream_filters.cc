// A request and its response among the HTTP filters: who is asked next, what becomes of a request that a filter holds, and the
// bodies that filters want to see.
#include <algorithm>
#include <new>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/kept_body.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

bool ActiveStream::make_filters() {
  void* memory = arena_.allocate(sizeof(FilterChain), alignof(FilterChain));
  if (memory == nullptr) return false;
  const FilterContext context{.actions = *this,
                              .arena = arena_,
                              .info = info_,
                              .levels = levels_,
                              .cell = *http().cell,
                              .timers = runtime_.context.timers,
                              .rng = runtime_.context.rng,
                              .chains = runtime_.context.chains,
                              .codings = runtime_.coding_heap,
                              .json = runtime_.json,
                              .hostname = runtime_.context.hostname,
                              .wall_offset_nanoseconds = runtime_.context.wall_offset_nanoseconds,
                              .worker = runtime_.worker()};
  filters_ = ::new (memory) FilterChain(http().filters, context);
  return true;
}

void ActiveStream::filter_request(Instant now) {
  if (filters_ == nullptr && !make_filters()) {
    reply(LocalReplyReason::kOverloaded, now);
    return;
  }
  const bool end_stream = request_ended_ && request_body_.empty() && request_trailers_ == nullptr;
  go_on_with(filters_->pass_request(*request_, end_stream, now), now);
}

// What has come of the body until now waits in request_body_, as the client has sent it.
void ActiveStream::go_on_with(FilterChain::Verdict verdict, Instant now) {
  using Verdict = FilterChain::Verdict;
  switch (verdict) {
    case Verdict::kContinue:
      passed_filters_ = true;
      if (request_is_filtered()) {
        filters_->request_body().push(std::move(request_body_));
        if (request_ended_) filters_->request_body().end();
      }
      act_on_route(now);
      break;
    case Verdict::kAwaitBody:
      awaits_body_ = true;
      if (answer_expectation(now)) take_awaited_body(now);
      break;
    case Verdict::kNoMemory: reply(LocalReplyReason::kOverloaded, now); break;
    case Verdict::kWait:
    case Verdict::kAnswered: break;
  }
}

// The client's window may be smaller than what the filter waits for: what has come is consumed() at once, as if it were sent.
void ActiveStream::take_awaited_body(Instant now) {
  if (phase_ != Phase::kWaiting) return;
  consume_request(request_body_.size(), request_body_.size());
  if (request_body_.size() > filters_->body_limit()) {
    awaits_body_ = false;
    reply(LocalReplyReason::kPayloadTooLarge, now);
  } else if (!affordable(request_body_.charge(), runtime_.context.chains.packets())) {
    awaits_body_ = false;
    reply(LocalReplyReason::kOverloaded, now);
  } else if (request_ended_) {
    awaits_body_ = false;
    go_on_with(filters_->pass_whole_request(*request_, request_body_, now), now);
  }
}

// What the filters let through was consumed() when they took it. False: it is answered.
bool ActiveStream::filter_request_body(Instant now) {
  BodyPipe& pipe = filters_->request_body();
  const std::size_t limit = runtime_.buffer_limit(chain_.listener().buffer_limit_bytes);
  const std::size_t before = pipe.waiting();
  stream::Chain passed(runtime_.context.chains);
  const BodyFilter::Outcome outcome = pipe.run(passed, limit - std::min(limit, request_body_.size()), now);
  consume_request(before - pipe.waiting(), before);
  if (outcome != BodyFilter::Outcome::kPassed) {
    reply(outcome == BodyFilter::Outcome::kBadData ? LocalReplyReason::kBadBody : LocalReplyReason::kOverloaded, now);
    return false;
  }
  return add_request_body(std::move(passed), now);
}

bool ActiveStream::filter_response_body(Instant now) {
  BodyPipe& pipe = filters_->response_body();
  const std::size_t limit =
      runtime_.buffer_limit(pool_ == nullptr ? chain_.listener().buffer_limit_bytes : pool_->config().buffer_limit_bytes);
  const std::size_t before = pipe.waiting();
  const BodyFilter::Outcome outcome = pipe.run(response_body_, limit - std::min(limit, response_body_.size()), now);
  upstream_->consumed(before - pipe.waiting());
  return outcome == BodyFilter::Outcome::kPassed;
}

SharedTokenBucket* ActiveStream::connection_bucket(std::uint32_t id) { return connection_.buckets().find_or_make(id); }

bool ActiveStream::fails_health_checks() const { return runtime_.fails_health_checks; }

std::optional<ClusterHealth> ActiveStream::cluster_health(std::string_view cluster) const {
  const config::Cluster* found = runtime_.snapshot->find_cluster(cluster);
  if (found == nullptr) return std::nullopt;
  const auto healthy = std::ranges::count_if(found->endpoints, [](const config::Endpoint& endpoint) {
    const config::EndpointHealth health = config::health_of(endpoint);
    return health == config::EndpointHealth::kHealthy || health == config::EndpointHealth::kDegraded;
  });
  return ClusterHealth{.total = found->endpoints.size(), .healthy = static_cast<std::size_t>(healthy)};
}

void ActiveStream::resume_request(Instant now) {
  if (phase_ == Phase::kWaiting) filter_request(now);
}

void ActiveStream::resume_bodies(Instant now) {
  if (phase_ == Phase::kWaiting || phase_ == Phase::kResponding) push_request(now);
  push_response(now);
}

}  // namespace millrace::proxy
