// The life of a stream: how it begins, what its timeouts mean, and how it ends, whichever way it does.
#include "dataplane/proxy/active_stream.h"

#include <memory>

#include "dataplane/proxy/access_log.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {

ActiveStream::ActiveStream(Runtime& runtime, DownstreamConnection& connection, ChainVersion& chain, http::StreamId id,
                           Instant now)
    : Serviced(Stage::kRequest),
      runtime_(runtime),
      connection_(connection),
      chain_(chain),
      id_(id),
      arena_(runtime.chunks),
      timeouts_(runtime, *this),
      first_try_(*this),
      request_body_(runtime.context.chains),
      response_body_(runtime.context.chains) {
  chain_.pin();
  info_.start = now;
  info_.start_wall_nanoseconds = runtime_.wall_nanoseconds(now);
  info_.downstream_local = connection.addresses().local;
  info_.downstream_local_is_original = connection.addresses().local_is_original;
  info_.downstream_remote = info_.downstream_peer = connection.addresses().remote;
  info_.downstream_direct_remote = connection.addresses().direct_remote;
  info_.downstream_pipe = chain_.listener().pipe_path(connection.addresses().direct_remote);
  info_.connection_id = connection.id();
  info_.stream_id = ++runtime_.next_stream_id;
  info_.filter_chain = chain_.config().name;
  info_.server_name = connection.server_name();
  info_.downstream_tls = connection.tls_session();
  info_.client_cert_element = connection.client_cert_element();
  stats().downstream_rq_total.add();
  stats().downstream_rq_http1_total.add();
  stats().downstream_rq_active.add();
  timeouts_.arm(StreamTimeouts::Kind::kHeaders, http().request_headers_timeout, now);
  timeouts_.arm(StreamTimeouts::Kind::kRequest, http().request_timeout, now);
  timeouts_.arm(StreamTimeouts::Kind::kIdle, http().stream_idle_timeout, now);
  timeouts_.arm(StreamTimeouts::Kind::kDuration, http().max_stream_duration, now);
}

ActiveStream::~ActiveStream() {
  if (filters_ != nullptr) std::destroy_at(filters_);
  if (retries_ != nullptr) std::destroy_at(retries_);
  if (pool_ != nullptr) pool_->unpin();
  if (cluster_ != nullptr) cluster_->unpin();
  chain_.unpin();
}

const config::HttpConnectionManager& ActiveStream::http() const { return chain_.http(); }
report::HttpStats& ActiveStream::stats() { return chain_.http_stats(); }
FormatEnvironment ActiveStream::environment() const { return {.hostname = runtime_.context.hostname, .missing = ""}; }

void ActiveStream::on_timeout(StreamTimeouts::Kind kind, Instant now) {
  using Kind = StreamTimeouts::Kind;
  if (is_settled()) return;
  switch (kind) {
    case Kind::kHeaders:
      stats().downstream_rq_header_timeout.add();
      reply(LocalReplyReason::kRequestHeadersTimeout, now);
      break;
    case Kind::kRequest:
      stats().downstream_rq_timeout.add();
      reply(LocalReplyReason::kRequestTimeout, now);
      break;
    case Kind::kIdle:
      stats().downstream_rq_idle_timeout.add();
      reply(request_ended_ ? LocalReplyReason::kStreamIdleTimeoutAfterRequest : LocalReplyReason::kStreamIdleTimeout, now);
      break;
    case Kind::kRoute:
      if (upstream_->is_active()) {  // else it waits for another try
        cluster_->stats().upstream_rq_timeout.add();
        pool_->endpoint_stats().rq_timeout.add();
        if (phase_ == Phase::kWaiting) {
          pool_->endpoint_stats().rq_error.add();
          upstream_->note_timeout(now);
        }
      }
      reply_timeout(LocalReplyReason::kUpstreamTimeout, now);
      break;
    case Kind::kDuration:
      stats().downstream_rq_max_duration_reached.add();
      end_by_duration(now);
      break;
    case Kind::kUpstreamDuration: end_try_by_duration(now); break;
  }
}

// Of the upstream: its client may want no error of it (x-envoy-upstream-rq-timeout-alt-response).
void ActiveStream::reply_timeout(LocalReplyReason reason, Instant now) {
  LocalReply answer = reply_of(reason);
  if (wants_no_timeout_error_) {
    answer.status = 204;
    answer.body = {};
  }
  reply(answer, now);
}

void ActiveStream::end_by_duration(Instant now) {
  constexpr std::uint32_t kDeadlineExceeded = 4;  // google.rpc.Code
  LocalReply answer =
      reply_of(request_ended_ ? LocalReplyReason::kMaxStreamDurationAfterRequest : LocalReplyReason::kMaxStreamDuration);
  answer.grpc_status = kDeadlineExceeded;
  reply(answer, now);
}

void ActiveStream::on_request_error(http::ProtocolError error, Instant now) {
  const LocalReply answer = reply_of(error);
  info_.flags.set(ResponseFlag::kDownstreamProtocolError);
  info_.response_code_details = answer.details;
  upstream_->cancel(now);
  stop_retries(now);
  if (answer.status != 0 && (phase_ == Phase::kHead || phase_ == Phase::kWaiting)) reply(answer, now);
}

// The codec has given the stream up by itself; its connection closes.
void ActiveStream::on_codec_reset(http::StreamReset reason, Instant now) {
  if (phase_ == Phase::kOver) return;
  stats().downstream_rq_rx_reset.add();
  if (reason == http::StreamReset::kPeerReset || reason == http::StreamReset::kConnectionEnded) {
    info_.flags.set(ResponseFlag::kDownstreamConnectionTermination);
    info_.response_code_details = "downstream_remote_disconnect";
  } else if (reason == http::StreamReset::kOutOfMemory) {
    info_.flags.set(ResponseFlag::kOverloadManager);
    info_.response_code_details = reply_of(LocalReplyReason::kOverloaded).details;
  }
  finish(now);
}

void ActiveStream::on_complete(Instant now) { finish(now); }

void ActiveStream::on_connection_ended(bool by_peer, Instant now) {
  if (phase_ != Phase::kComplete || switched_) {
    stats().downstream_rq_rx_reset.add();
    info_.flags.set(ResponseFlag::kDownstreamConnectionTermination);
    info_.response_code_details = by_peer ? "downstream_remote_disconnect" : "downstream_local_disconnect";
  }
  finish(now);
}

void ActiveStream::stop_retries(Instant now) {
  if (retries_ == nullptr) return;
  end_hedges(now);
  retries_->stop();
}

void ActiveStream::count_status(std::uint16_t status) {
  auto& all = stats();
  switch (status / 100) {
    case 1: all.downstream_rq_1xx.add(); break;
    case 2: all.downstream_rq_2xx.add(); break;
    case 3: all.downstream_rq_3xx.add(); break;
    case 4: all.downstream_rq_4xx.add(); break;
    default: all.downstream_rq_5xx.add(); break;
  }
  if (status >= 200 || status == 101) all.downstream_rq_completed.add();
}

// Everything is counted and logged exactly once. The object stays until the end of the turn, since codecs and requests further up
// the stack still look at it.
void ActiveStream::finish(Instant now) {
  if (phase_ == Phase::kOver) return;
  phase_ = Phase::kOver;
  upstream_->cancel(now);
  stop_retries(now);
  abandon_shadows(now);
  awaits_body_ = false;
  if (filters_ != nullptr) filters_->end(now);
  timeouts_.disarm_all();
  request_body_.clear();
  response_body_.clear();
  stats().downstream_rq_active.subtract();
  if (upgrading_) stats().downstream_cx_upgrades_active.subtract();
  stats().downstream_rq_time.record(static_cast<std::uint64_t>((now - info_.start).to_milliseconds()));
  runtime_.context.report.requests.add();
  write_access_logs(http().access_logs, info_, runtime_.context);
  connection_.release(*this);
  static_cast<ListNode<ReadyTag>&>(*this).unlink();
  runtime_.dead_streams.push_back(*this);
}

}  // namespace millrace::proxy
