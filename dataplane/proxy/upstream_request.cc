#include "dataplane/proxy/upstream_request.h"

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/upstream_connection.h"
#include "dataplane/proxy/upstream_request_owner.h"

namespace millrace::proxy {
namespace {

// What limits of ours, or the end of the gateway, have done to a request says nothing about the endpoint.
bool blames_endpoint(UpstreamFailure failure) {
  return failure != UpstreamFailure::kOverflow && failure != UpstreamFailure::kLocalReset;
}

}  // namespace

UpstreamRequest::~UpstreamRequest() { MR_ASSERT(state_ == State::kNone); }

Arena& UpstreamRequest::arena() { return owner_->arena(); }

void UpstreamRequest::start(ConnectionPool& pool, Instant now) {
  MR_ASSERT(state_ == State::kNone);
  pool_ = &pool;
  state_ = State::kPending;
  started_ = now;
  response_started_ = backed_up_ = false;
  pool.request(*this, now);
}

void UpstreamRequest::cancel(Instant now) {
  if (state_ == State::kNone) return;
  ConnectionPool& pool = *pool_;
  if (state_ == State::kPending) {
    pool.cancel(*this);
    pool.cluster_stats().upstream_rq_cancelled.add();
    state_ = State::kNone;
    return;
  }
  if (owner_->exchange_is_complete()) {
    connection_->release(*this);
  } else {
    pool.cluster_stats().upstream_rq_tx_reset.add();
    connection_->abandon(*this, now);
  }
  leave();
}

bool UpstreamRequest::send_head(const http::RequestHead& head, bool end_stream, Instant) {
  return connection_->send([&](http::ClientCodec& codec) { return codec.send_request(id_, head, end_stream); });
}

bool UpstreamRequest::send_data(stream::Chain& data, bool end_stream, Instant) {
  const bool sent = connection_->send([&](http::ClientCodec& codec) { return codec.send_data(id_, data, end_stream); });
  const bool backed_up = !data.empty();
  if (backed_up != backed_up_) {
    backed_up_ = backed_up;
    auto& stats = pool_->cluster_stats();
    (backed_up ? stats.upstream_flow_control_backed_up_total : stats.upstream_flow_control_drained_total).add();
  }
  return sent;
}

bool UpstreamRequest::send_trailers(const http::HeaderMap& trailers, Instant) {
  return connection_->send([&](http::ClientCodec& codec) { return codec.send_trailers(id_, trailers); });
}

void UpstreamRequest::consumed(std::size_t bytes) {
  if (state_ == State::kOpen) connection_->consumed(id_, bytes);
}

void UpstreamRequest::note_timeout(Instant now) {
  if (state_ == State::kOpen) pool_->on_failure(LocalFailure::kTimeout, now);
}

void UpstreamRequest::on_connection(UpstreamConnection& connection, http::StreamId id, Instant now) {
  MR_ASSERT(state_ == State::kPending);
  state_ = State::kOpen;
  connection_ = &connection;
  id_ = id;
  auto& cluster = pool_->cluster_stats();
  cluster.upstream_rq_total.add();
  cluster.upstream_rq_active.add();
  pool_->endpoint_stats().rq_total.add();
  pool_->endpoint_stats().rq_active.add();
  pool_->on_request_connected(now);
  owner_->on_upstream_ready(connection.addresses(), now);
}

void UpstreamRequest::on_pool_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  MR_ASSERT(state_ == State::kPending);
  state_ = State::kNone;
  pool_->endpoint_stats().rq_error.add();
  if (blames_endpoint(failure)) pool_->on_failure(LocalFailure::kConnection, now);
  owner_->on_upstream_failure(failure, transport_failure, now);
}

void UpstreamRequest::leave() {
  pool_->cluster_stats().upstream_rq_active.subtract();
  pool_->endpoint_stats().rq_active.subtract();
  pool_->release_request();
  state_ = State::kNone;
  connection_ = nullptr;
  id_ = 0;
}

void UpstreamRequest::on_informational(http::ResponseHead& head, Instant now) { owner_->on_upstream_informational(head, now); }

void UpstreamRequest::on_response(http::ResponseHead& head, bool end_stream, Instant now) {
  response_started_ = true;
  pool_->on_status(head.status, now);
  if (pool_->is_probed() && head.headers.find("x-envoy-immediate-health-check-fail") != nullptr) pool_->on_going(now);
  if (owner_->rejects_response(head, end_stream, now)) return;
  auto& stats = pool_->cluster_stats();
  switch (head.status / 100) {
    case 1: stats.upstream_rq_1xx.add(); break;
    case 2: stats.upstream_rq_2xx.add(); break;
    case 3: stats.upstream_rq_3xx.add(); break;
    case 4: stats.upstream_rq_4xx.add(); break;
    default: stats.upstream_rq_5xx.add(); break;
  }
  stats.upstream_rq_completed.add();
  (head.status >= 500 ? pool_->endpoint_stats().rq_error : pool_->endpoint_stats().rq_success).add();
  if (end_stream) record_time(now);
  owner_->on_upstream_response(head, end_stream, now);
  if (end_stream) end_of_response(now);
}

void UpstreamRequest::on_data(stream::Chain& data, bool end_stream, Instant now) {
  if (end_stream) record_time(now);
  owner_->on_upstream_data(data, end_stream, now);
  if (end_stream) end_of_response(now);
}

void UpstreamRequest::on_trailers(http::HeaderMap& trailers, Instant now) {
  record_time(now);
  owner_->on_upstream_trailers(trailers, now);
  end_of_response(now);
}

// The response is complete. When the request is not, nobody wants its rest (as Envoy sees it), unless the two directions have
// become independent of each other: an upgrade.
void UpstreamRequest::end_of_response(Instant now) {
  if (state_ == State::kOpen && !owner_->request_was_sent() && !owner_->is_switched()) cancel(now);
}

void UpstreamRequest::record_time(Instant now) {
  pool_->cluster_stats().upstream_rq_time.record(static_cast<std::uint64_t>((now - started_).to_milliseconds()));
}

void UpstreamRequest::on_credit(Instant now) { owner_->on_upstream_credit(now); }

void UpstreamRequest::on_complete(Instant) { leave(); }

void UpstreamRequest::on_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  if (failure != UpstreamFailure::kLocalReset) pool_->cluster_stats().upstream_rq_rx_reset.add();
  if (!response_started_) pool_->endpoint_stats().rq_error.add();
  if (blames_endpoint(failure)) pool_->on_failure(LocalFailure::kConnection, now);
  leave();
  owner_->on_upstream_failure(failure, transport_failure, now);
}

}  // namespace millrace::proxy
