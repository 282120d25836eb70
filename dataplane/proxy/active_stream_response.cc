// The response: from the upstream or our own, its head finished, its body passed on as fast as the client takes it.
#include <new>
#include <utility>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/response_headers.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {
namespace {

/// Fields of a local reply; routes may add more.
constexpr std::size_t kLocalReplyFields = 64;

// From here on fields that are added may name it, as the access log does.
void set_response(StreamInfo& info, const http::ResponseHead& head) {
  info.response = &head;
  info.response_code = head.status;
}

}  // namespace

// RFC 9110 15.2: a proxy forwards interim responses, but for the 100 that it has answered by itself.
void ActiveStream::on_upstream_informational(http::ResponseHead& head, Instant now) {
  timeouts_.touch(now);
  if (phase_ != Phase::kWaiting || head.status == 100) return;
  if (retries_ != nullptr) retries_->give_up();  // the client has got something of this try
  if (connection_.send([&](http::ServerCodec& codec) { return codec.send_response(id_, head, false); })) {
    count_status(head.status);
  } else {
    reset_downstream(now);
  }
}

bool ActiveStream::switches_protocol(const http::ResponseHead& head) const {
  return upgrading_ && (head.status == 101 || (request_->upgrade == "CONNECT" && head.status / 100 == 2));
}

void ActiveStream::on_upstream_response(http::ResponseHead& head, bool end_stream, Instant now) {
  if (phase_ != Phase::kWaiting) return;
  end_hedges(now);
  timeouts_.touch(now);
  timeouts_.disarm(StreamTimeouts::Kind::kRequest);
  info_.upstream_response_started = now;
  info_.response_code_details = "via_upstream";
  response_ended_ = end_stream;
  if (upgrading_) {
    switched_ = switches_protocol(head);
    if (switched_)
      timeouts_.disarm(StreamTimeouts::Kind::kRoute);
    else
      request_sent_ = true;  // an Upgrade that was refused has no body
  }
  set_response(info_, head);
  const Instant sent = info_.upstream_request_sent.is_never() ? info_.start : info_.upstream_request_sent;
  if (!prepare_upstream_response(http(), levels_, head, info_, now - sent, environment()) || !add_made_cookies(head.headers)) {
    upstream_->cancel(now);
    reply(LocalReplyReason::kOverloaded, now);
    return;
  }
  send_head(head, end_stream, now);
}

// By which the client's next requests meet the same endpoint.
bool ActiveStream::add_made_cookies(http::HeaderMap& headers) const {
  for (const MadeCookie* cookie = hash_.cookies; cookie != nullptr; cookie = cookie->next) {
    if (!headers.add_reference(http::HeaderId::kSetCookie, cookie->value)) return false;
  }
  return true;
}

// The connection manager's part, for every final response.
void ActiveStream::send_head(http::ResponseHead& head, bool end_stream, Instant now) {
  const std::string_view date = runtime_.date.text(runtime_.wall_nanoseconds(now));
  phase_ = Phase::kResponding;
  if (runtime_.fails_health_checks) connection_.end_keep_alive();
  connection_.maybe_leave(now);
  if (!connection_.is_draining() && runtime_.is_overloaded(report::OverloadAction::kDisableHttpKeepalive, chain_.listener())) {
    stats().downstream_cx_overload_disable_keepalive.add();
    connection_.end_keep_alive();
  }
  const bool filtered = filters_ == nullptr || filters_->pass_response(head, end_stream, now);
  set_response(info_, head);
  if (!filtered || !prepare_response(http(), request_, head, date)) {
    info_.flags.set(ResponseFlag::kOverloadManager);
    reset_downstream(now);
    return;
  }
  waiting_head_ = &head;
  head_ends_response_ = end_stream;
  push_head(now);
}

// A head waits for credit as a body does: or a client that pipelines and never reads would fill our memory with answers.
void ActiveStream::push_head(Instant now) {
  if (waiting_head_ == nullptr || connection_.send_credit(id_) == 0) return;
  const http::ResponseHead& head = *std::exchange(waiting_head_, nullptr);
  if (!connection_.send([&](http::ServerCodec& codec) { return codec.send_response(id_, head, head_ends_response_); })) {
    info_.flags.set(ResponseFlag::kOverloadManager);
    reset_downstream(now);
    return;
  }
  count_status(head.status);
  if (head_ends_response_) complete_response(now);
}

void ActiveStream::on_upstream_data(stream::Chain& data, bool end_stream, Instant now) {
  if (phase_ != Phase::kResponding) {
    upstream_->consumed(data.size());
    data.clear();
    return;
  }
  timeouts_.touch(now);
  response_ended_ = end_stream;
  if (response_is_filtered()) {
    filters_->response_body().push(std::move(data));
    if (end_stream) filters_->response_body().end();
  } else {
    response_body_.append(std::move(data));
  }
  push_response(now);
}

void ActiveStream::on_upstream_trailers(http::HeaderMap& trailers, Instant now) {
  response_trailers_ = &trailers;
  info_.response_trailers = &trailers;
  response_ended_ = true;
  if (response_is_filtered()) filters_->response_body().end();
  push_response(now);
}

// Passes on what filters and the client take; what it does not take stays here, is not consumed() at the upstream's codec, and so
// holds the upstream back.
void ActiveStream::push_response(Instant now) {
  if (phase_ != Phase::kResponding || waiting_head_ != nullptr) return;
  bool sent = true;
  for (bool more = true; more && sent;) {
    sent = (!response_is_filtered() || filter_response_body(now));
    const std::size_t before = response_body_.size();
    if (sent) sent = send_response_body();
    const bool taken = response_body_.size() < before;
    more = taken && response_is_filtered() && !filters_->response_body().is_done();  // what was taken has made room in there
  }
  const bool complete = sent && response_is_whole() && response_body_.empty();
  if (complete && response_trailers_ != nullptr) {
    sent = connection_.send([&](http::ServerCodec& codec) { return codec.send_trailers(id_, *response_trailers_); });
  }
  if (!sent) {
    reset_downstream(now);
    return;
  }
  if (complete) complete_response(now);
  if (pool_ == nullptr) return;
  const std::size_t held = response_body_.size() + (filters_ == nullptr ? 0 : filters_->response_body().waiting());
  const bool paused = held >= runtime_.buffer_limit(pool_->config().buffer_limit_bytes);
  if (paused == response_paused_) return;
  response_paused_ = paused;
  auto& cluster = pool_->cluster_stats();
  (paused ? cluster.upstream_flow_control_paused_reading_total : cluster.upstream_flow_control_resumed_reading_total).add();
}

bool ActiveStream::send_response_body() {
  const std::size_t before = response_body_.size();
  const bool ends = response_is_whole() && response_trailers_ == nullptr;
  if (before == 0 && !ends) return true;
  const bool sent = connection_.send([&](http::ServerCodec& codec) { return codec.send_data(id_, response_body_, ends); });
  const std::size_t taken = before - response_body_.size();
  info_.bytes_sent += taken;
  if (!response_is_filtered()) upstream_->consumed(taken);
  return sent;
}

void ActiveStream::on_send_credit(Instant now) {
  if (phase_ != Phase::kResponding) return;
  timeouts_.touch(now);
  push_head(now);
  if (!response_body_.empty() || response_is_filtered()) push_response(now);
}

// All of the response is with the codec. The request may still be arriving (unless switched, the codec then closes), and an
// opaque stream lives until the other direction has ended, too.
void ActiveStream::complete_response(Instant now) {
  phase_ = Phase::kComplete;
  info_.response_sent = now;
  if (!switched_) timeouts_.disarm_all();
}

// An answer of our own, in place of whatever the upstream might still say. When a response has begun there is only one way left
// to tell the client that it is not the whole one.
void ActiveStream::reply(LocalReply answer, Instant now) {
  if (is_settled()) return;
  upstream_->cancel(now);
  stop_retries(now);
  awaits_body_ = false;
  if (answer.flag) info_.flags.set(*answer.flag);
  info_.response_code_details = answer.details;
  if (phase_ == Phase::kResponding || phase_ == Phase::kComplete) {
    reset_downstream(now);
    return;
  }
  drop_request_body();
  void* memory = arena_.allocate(sizeof(http::ResponseHead), alignof(http::ResponseHead));
  if (memory == nullptr) {
    reset_downstream(now);
    return;
  }
  auto& head = *::new (memory) http::ResponseHead(arena_, kLocalReplyFields);
  const bool to_grpc = request_ != nullptr && is_grpc(*request_);
  bool built = to_grpc ? write_grpc_reply(answer, head) : write_local_reply(answer, head);
  set_response(info_, head);
  if (built && answer.flag == ResponseFlag::kUpstreamOverflow)
    built = head.headers.add_reference(http::HeaderId::kXEnvoyOverloaded, "true");
  if (built && levels_.route != nullptr) {
    built = set_response_attempt_count(levels_, head, info_) && apply_response_mutations(levels_, head, info_, environment());
  }
  stream::Chain body(runtime_.context.chains);
  const bool is_head = request_ != nullptr && request_->method == "HEAD";
  if (built && !is_head && !to_grpc) built = body.append_copy(answer.body);
  if (!built) {
    reset_downstream(now);
    return;
  }
  response_ended_ = body.empty();
  send_head(head, response_ended_, now);
  if (!response_ended_) on_upstream_data(body, true, now);
}

void ActiveStream::on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  if (is_settled()) return;
  if (retries_ != nullptr && (retry_failure(failure, now) || !retries_->hedges().empty())) return;
  const UpstreamFailureRow& row = row_of(failure);
  info_.flags.set(row.flag);
  info_.upstream_transport_failure = arena_.copy(transport_failure);  // its connection goes before the log line
  if (phase_ == Phase::kResponding || phase_ == Phase::kComplete) {
    info_.response_code_details = row.after;
    reset_downstream(now);
    return;
  }
  LocalReply answer;
  answer.status = row.status;
  answer.body =
      upstream_reset_body(row.text, row.flag == ResponseFlag::kUpstreamConnectionFailure ? transport_failure : std::string_view(),
                          info_.attempts > 1, arena_);
  answer.details = row.before;
  answer.flag = row.flag;
  reply(answer, now);
}

void ActiveStream::reset_in_overload(Instant now) {
  info_.flags.set(ResponseFlag::kOverloadManager);
  info_.response_code_details = reply_of(LocalReplyReason::kOverloaded).details;
  upstream_->cancel(now);
  reset_downstream(now);
}

void ActiveStream::reset_downstream(Instant now) {
  if (phase_ == Phase::kOver) return;
  stats().downstream_rq_tx_reset.add();
  connection_.reset_stream(*this);
  finish(now);
}

}  // namespace millrace::proxy
