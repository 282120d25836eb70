// What becomes of a request: from its head to the choice of an endpoint, then its body towards the upstream.
#include <algorithm>
#include <new>
#include <utility>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/kept_body.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/request_headers.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/policy/scoped_routes.h"
#include "dataplane/proxy/pool_choice.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {

void ActiveStream::on_request(http::RequestHead& head, bool end_stream, Instant now) {
  if (phase_ != Phase::kHead) return;  // a timeout has answered already
  phase_ = Phase::kWaiting;
  request_ = &head;
  info_.request = &head;
  timeouts_.disarm(StreamTimeouts::Kind::kHeaders);
  timeouts_.touch(now);
  if (end_stream) {
    request_ended_ = true;
    info_.request_received = now;
    timeouts_.disarm(StreamTimeouts::Kind::kRequest);
  }
  // The codec wants to know at once what becomes of a switch of protocols. All else can wait for its like.
  if (head.upgrade.empty()) {
    runtime_.ready.wake(*this);
  } else {
    service(now);
  }
}

void ActiveStream::service(Instant now) {
  if (phase_ != Phase::kWaiting) return;  // what came behind the head was broken: it is answered already
  const bool again = redirected_;
  if (!again && runtime_.is_overloaded(report::OverloadAction::kStopAcceptingRequests, chain_.listener()))
    return refuse_in_overload(now);
  if (!(again ? go_to_redirect(now) : prepare(now))) return;
  stats().rq_total.add();
  find_route();
  http().filters.empty() ? act_on_route(now) : filter_request(now);
}

// With as little work as it takes.
void ActiveStream::refuse_in_overload(Instant now) {
  static constexpr LocalReply::Field kTellsSo[] = {{"x-envoy-local-overloaded", "true"}};
  stats().downstream_rq_overload_close.add();
  LocalReply answer = reply_of(LocalReplyReason::kOverloaded);
  if (http().append_local_overload) answer.fields = kTellsSo;
  reply(answer, now);
}

// Checks, defaults and who the client is.
bool ActiveStream::prepare(Instant now) {
  const RequestOutcome outcome = prepare_request(http(), *request_, info_, runtime_.context.rng);
  if (outcome.continues()) return true;
  if (outcome.reply.details == reply_of(LocalReplyReason::kPathRejected).details) {
    (outcome.reply.status < 400 ? stats().downstream_rq_redirected_with_normalized_path
                                : stats().downstream_rq_failed_path_normalization)
        .add();
  } else if (outcome.reply.details == reply_of(LocalReplyReason::kAbsolutePath).details) {
    stats().downstream_rq_non_relative_path.add();
  }
  reply(outcome.reply, now);
  return false;
}

// Which is not acted upon yet: filters want to know what it says of them.
void ActiveStream::find_route() {
  const config::RouteTable* table = route_table_of(http(), *request_);
  const config::VirtualHost* host = table == nullptr ? nullptr : find_virtual_host(*table, request_->authority);
  info_.virtual_host = host;
  info_.route = nullptr;
  levels_ = {};
  if (host == nullptr || needs_tls_redirect(*host, *request_)) return;
  info_.route = proxy::find_route(
      *host, *request_,
      {runtime_.worker(), runtime_.context.rng, info_.downstream_tls, table->ignore_path_parameters, &info_.metadata});
  if (info_.route == nullptr) return;
  levels_ = {.table = table, .virtual_host = host, .route = info_.route, .cluster = nullptr};
  if (const auto* action = std::get_if<config::ForwardAction>(&info_.route->action)) {
    levels_.cluster = choose_cluster(*action, *request_, runtime_.context.rng);
  }
}

void ActiveStream::act_on_route(Instant now) {
  if (info_.route == nullptr) {
    if (info_.virtual_host != nullptr && needs_tls_redirect(*info_.virtual_host, *request_)) {
      redirect_to_tls(now);
    } else {
      stats().no_route.add();
      reply(LocalReplyReason::kNoRoute, now);
    }
    return;
  }
  const auto& action = info_.route->action;
  if (const auto* forward_action = std::get_if<config::ForwardAction>(&action)) {
    forward(*forward_action, now);
  } else if (const auto* direct = std::get_if<config::DirectResponse>(&action)) {
    stats().rq_direct_response.add();
    reply(reply_of(*direct), now);
  } else {
    stats().rq_redirect.add();
    reply(redirect_reply(*info_.route, *request_, runtime_.worker(), arena_), now);
  }
}

void ActiveStream::redirect_to_tls(Instant now) {
  LocalReply answer = reply_of(LocalReplyReason::kTlsRedirect);
  answer.location = tls_redirect_location(*request_, arena_);
  stats().rq_redirect.add();
  reply(answer.location.data() == nullptr ? reply_of(LocalReplyReason::kOverloaded) : answer, now);
}

void ActiveStream::forward(const config::ForwardAction& action, Instant now) {
  if (!admit_upgrade(action, now) || !choose_endpoint(action, now)) return;
  follows_grpc_timeout_ = follows_grpc_timeout(action, *request_);
  wants_no_timeout_error_ = request_->headers.remove(http::HeaderId::kXEnvoyUpstreamRqTimeoutAltResponse) > 0;
  response_timeout_ = take_response_timeout(action, *request_);
  upstream_duration_ = take_upstream_duration(cluster_->config().http.max_stream_duration, *request_);
  const auto retries_matter = [&] {
    return action.retry != nullptr || action.redirects != nullptr || request_->headers.contains_any(kRetryFields);
  };
  const Duration try_timeout = retries_matter() ? take_try_timeout(action.retry.get(), response_timeout_, *request_) : Duration();
  const ForwardTimeouts timeouts{.response = response_timeout_, .per_try = try_timeout, .for_grpc = follows_grpc_timeout_};
  const ForwardContext context{http(), levels_, timeouts, runtime_.worker(), environment(), pool_->hostname()};
  info_.attempts = 1;
  if (!limit_duration(action, now) || !prepare_forward(context, *request_, info_)) {
    reply(LocalReplyReason::kOverloaded, now);
    return;
  }
  // Asked again: routes may add such fields.
  if ((try_timeout > Duration() || retries_matter()) && !prepare_retries(action, try_timeout, now)) return;
  if (!answer_expectation(now)) return;
  if (action.idle_timeout) timeouts_.arm(StreamTimeouts::Kind::kIdle, *action.idle_timeout, now);
  if (!choose_pool(now)) return;
  if (request_ended_) timeouts_.arm(StreamTimeouts::Kind::kRoute, response_timeout_, now);
  if (action.mirrors != nullptr) start_shadows(action, now);
  upstream_->start(*pool_, now);
}

// As the route says, instead of the connection manager. False: out of memory.
bool ActiveStream::limit_duration(const config::ForwardAction& action, Instant now) {
  if (!action.stream_duration) return true;
  const Duration duration = stream_duration(action, *request_).value_or(http().max_stream_duration);
  arm_duration(duration, now);
  return announce_stream_duration(action, duration, *request_);
}

// Of the stream, from its start. Zero or infinite: without end; less than zero: it should have ended.
void ActiveStream::arm_duration(Duration duration, Instant now) {
  if (duration == Duration() || duration.is_infinite()) {
    timeouts_.disarm(StreamTimeouts::Kind::kDuration);
  } else {
    constexpr auto kAtOnce = Duration::nanoseconds(1);
    timeouts_.arm(StreamTimeouts::Kind::kDuration, std::max(duration - (now - info_.start), kAtOnce), now);
  }
}

bool ActiveStream::admit_upgrade(const config::ForwardAction& action, Instant now) {
  if (request_->upgrade.empty()) return true;
  if (!upgrade_allowed(http(), action, *request_)) {
    stats().downstream_rq_ws_on_non_ws_route.add();
    reply(LocalReplyReason::kUpgradeRefused, now);
    return false;
  }
  upgrading_ = true;
  stats().downstream_cx_upgrades_total.add();
  stats().downstream_cx_upgrades_active.add();
  return true;
}

bool ActiveStream::choose_endpoint(const config::ForwardAction& action, Instant now) {
  ClusterRuntime* cluster = levels_.cluster == nullptr
                                ? nullptr
                                : runtime_.clusters.find(*runtime_.snapshot, cluster_name(*levels_.cluster, *request_), now);
  if (cluster == nullptr) {
    stats().no_cluster.add();
    LocalReply answer = reply_of(LocalReplyReason::kNoCluster);
    answer.status = action.cluster_not_found_status;
    reply(answer, now);
    return false;
  }
  take(*cluster);
  if (is_dropped()) {
    refuse_for_cluster(now);
    return false;
  }
  if (!action.hash_policies.empty()) hash_ = hash_of(action.hash_policies, *request_, info_, runtime_.worker(), arena_);
  ConnectionPool* pool =
      cluster_->choose({.hash = hash_.hash, .metadata = levels_.cluster->metadata_match.get(), .info = &info_}, now);
  if (pool == nullptr) {
    cluster_->stats().upstream_cx_none_healthy.add();
    reply(LocalReplyReason::kNoHealthyUpstream, now);
    return false;
  }
  take(*pool);
  return true;
}

// By what the control plane wants of the cluster's load.
bool ActiveStream::is_dropped() {
  constexpr std::uint32_t kMillion = 1'000'000;
  const std::uint32_t dropped = cluster_->config().balancing.drop_overload_per_million;
  return dropped > 0 && runtime_.context.rng.below(kMillion) < dropped;
}

void ActiveStream::refuse_for_cluster(Instant now) {
  static constexpr LocalReply::Field kTellsSo[] = {{"x-envoy-drop-overload", "true"}};
  cluster_->stats().upstream_rq_drop_overload.add();
  LocalReply answer = reply_of(LocalReplyReason::kDropOverload);
  if (!http().suppress_envoy_headers) answer.fields = kTellsSo;
  reply(answer, now);
}

void ActiveStream::take(ClusterRuntime& cluster) {
  cluster.pin();
  if (cluster_ != nullptr) cluster_->unpin();
  cluster_ = &cluster;
  info_.cluster = cluster.name();
}

void ActiveStream::take(ConnectionPool& pool) {
  pool.pin();
  if (pool_ != nullptr) pool_->unpin();
  pool_ = &pool;
  info_.upstream_host = info_.upstream_remote = pool.address();
  info_.upstream_pipe = pool.pipe();
  info_.upstream_local = {};
}

config::RoutingPriority ActiveStream::priority() const { return std::get<config::ForwardAction>(info_.route->action).priority; }

bool ActiveStream::choose_pool(Instant now) {
  const ClientAddresses& addresses = connection_.addresses();
  const ProxiedClient client{addresses.remote, addresses.local, connection_.proxy_extensions()};
  const auto& action = std::get<config::ForwardAction>(info_.route->action);
  const PoolChoice choice = proxy::choose_pool(*pool_,
                                               {.priority = action.priority,
                                                .head = *request_,
                                                .client = http().add_proxy_protocol_connection_state ? &client : nullptr,
                                                .is_tunnel = action.ends_connect && request_->upgrade == "CONNECT"},
                                               now);
  if (choice.pool == nullptr) {
    reply(choice.refusal, now);
    return false;
  }
  if (choice.pool != pool_) take(*choice.pool);
  return true;
}

// RFC 9110 10.1.1. As Envoy does, the gateway answers the expectation itself and does not pass it on; but only for a request that
// it is going to forward, or whose body a filter wants first.
bool ActiveStream::answer_expectation(Instant now) {
  if (!http::list_contains(request_->headers.value(http::HeaderId::kExpect), "100-continue")) return true;
  request_->headers.remove(http::HeaderId::kExpect);
  if (request_ended_) return true;
  http::ResponseHead proceed(arena_, 0);
  proceed.status = 100;
  if (connection_.send([&](http::ServerCodec& codec) { return codec.send_response(id_, proceed, false); })) {
    count_status(100);
    return true;
  }
  reset_downstream(now);
  return false;
}

void ActiveStream::on_upstream_ready(const UpstreamAddresses& addresses, Instant now) {
  info_.upstream_local = addresses.local;
  info_.upstream_remote = addresses.remote;
  const bool head_only = request_is_whole() && request_body_.empty() && request_trailers_ == nullptr;
  if (!upstream_->send_head(*request_, head_only, now)) {
    upstream_->cancel(now);
    on_upstream_failure(UpstreamFailure::kLocalReset, {}, now);
    return;
  }
  request_started_ = true;
  if (upstream_duration_ > Duration()) timeouts_.arm(StreamTimeouts::Kind::kUpstreamDuration, upstream_duration_, now);
  if (retries_ != nullptr && request_ended_) retries_->begin_try(now);
  if (head_only) {
    request_sent_ = true;
    info_.upstream_request_sent = now;
  } else {
    push_request(now);
  }
}

void ActiveStream::on_request_data(stream::Chain& data, bool end_stream, Instant now) {
  info_.bytes_received += data.size();
  timeouts_.touch(now);
  const bool wanted = phase_ == Phase::kWaiting || phase_ == Phase::kResponding || (phase_ == Phase::kComplete && switched_);
  unconsumed_bytes_ += data.size();
  if (!wanted || request_sent_) {             // nobody waits for it any more
    if (!data.empty()) abandon_shadows(now);  // or a copy that lacks this would end as if it were whole
    data.clear();
    drop_request_body();
  } else if (request_is_filtered()) {
    filters_->request_body().push(std::move(data));
  } else if (filters_ != nullptr && !passed_filters_) {  // which may hold it for long
    const bool held = append_to_keep(request_body_, data);
    data.clear();
    if (!held) {
      reply(LocalReplyReason::kOverloaded, now);
      return;
    }
  } else if (!add_request_body(std::move(data), now)) {
    return;
  }
  if (end_stream) {
    end_of_request(now);
  } else {
    awaits_body_ ? take_awaited_body(now) : push_request(now);
  }
}

// What goes upstream of it: after the filters. False: it is answered.
bool ActiveStream::add_request_body(stream::Chain&& data, Instant now) {
  const bool may_go_on = retries_ == nullptr || keep_for_retries(data);
  if (!shadows_.empty()) share_with_shadows(data, now);
  request_body_.append(std::move(data));
  if (!may_go_on) reply(LocalReplyReason::kRetryBufferExceeded, now);
  return may_go_on;
}

void ActiveStream::on_request_trailers(http::HeaderMap& trailers, Instant now) {
  request_trailers_ = &trailers;
  end_of_request(now);
}

void ActiveStream::end_of_request(Instant now) {
  if (request_ended_) return;
  request_ended_ = true;
  info_.request_received = now;
  timeouts_.disarm(StreamTimeouts::Kind::kRequest);
  timeouts_.touch(now);
  if (request_is_filtered()) filters_->request_body().end();
  if (awaits_body_) return take_awaited_body(now);
  const bool waits_for_retry = retries_ != nullptr && retries_->is_waiting();
  if ((upstream_->is_active() || waits_for_retry) && !switched_)
    timeouts_.arm(StreamTimeouts::Kind::kRoute, response_timeout_, now);
  if (upstream_->is_open() && retries_ != nullptr && !switched_) retries_->begin_try(now);
  push_request(now);
}

// Passes on what filters and the upstream take; what they do not take stays here, is not consumed() at the client's codec, and so
// holds the client back.
void ActiveStream::push_request(Instant now) {
  if (request_is_filtered() && !filter_request_body(now)) return;
  if (upstream_->is_open() && !request_sent_) send_request_body(now);
  if (!shadows_.empty() && request_is_whole()) end_shadows(now);
  if (is_settled()) return;
  const bool paused = unconsumed_bytes_ >= runtime_.buffer_limit(chain_.listener().buffer_limit_bytes);
  if (paused == request_paused_) return;
  request_paused_ = paused;
  (paused ? stats().downstream_flow_control_paused_reading_total : stats().downstream_flow_control_resumed_reading_total).add();
}

void ActiveStream::send_request_body(Instant now) {
  bool sent = true;
  while (sent && !request_sent_) {
    const std::size_t before = request_body_.size();
    const bool ends = request_is_whole() && request_trailers_ == nullptr;
    if (before > 0 || ends) sent = upstream_->send_data(request_body_, ends, now);
    const std::size_t taken = before - request_body_.size();
    if (!request_is_filtered()) consume_request(taken, before);
    if (sent && request_is_whole() && request_body_.empty()) {
      request_sent_ = true;
      info_.upstream_request_sent = now;
      if (request_trailers_ != nullptr) sent = upstream_->send_trailers(*request_trailers_, now);
    } else if (taken == 0 || !request_is_filtered() || filters_->request_body().is_done()) {
      break;
    } else if (!filter_request_body(now)) {
      return;
    }
  }
  if (sent) return;
  upstream_->cancel(now);
  on_upstream_failure(UpstreamFailure::kLocalReset, {}, now);
}

// `taken` of the `held` bytes at which the request's way through us begins were passed on. Those that were consumed() before (an
// earlier try had them, or a filter that waits for all of them) are the first.
void ActiveStream::consume_request(std::size_t taken, std::size_t held) {
  MR_ASSERT(taken <= held && unconsumed_bytes_ <= held);
  const std::size_t before = held - unconsumed_bytes_;
  const std::size_t now_consumed = taken - std::min(taken, before);
  unconsumed_bytes_ -= now_consumed;
  connection_.consumed(id_, now_consumed);
}

// Nobody wants the rest of it.
void ActiveStream::drop_request_body() {
  connection_.consumed(id_, std::exchange(unconsumed_bytes_, 0));
  request_body_.clear();
}

void ActiveStream::on_upstream_credit(Instant now) {
  timeouts_.touch(now);
  push_request(now);
}

}  // namespace millrace::proxy
