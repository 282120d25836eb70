#include "dataplane/proxy/upstream_connection.h"

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/connection_race.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/upstream_transport.h"

namespace millrace::proxy {
namespace {

http::http1::Settings codec_settings(const config::Cluster& cluster, std::size_t buffer_limit) {
  http::http1::Settings settings;
  settings.max_headers_bytes = std::min<std::size_t>(cluster.http.max_response_headers_bytes, limits::kMaxRequestHeadersBytes);
  settings.max_header_count = std::min<std::size_t>(cluster.http.max_headers_count, limits::kMaxHeaderCount);
  settings.accept_http_10 = true;
  settings.enable_trailers = true;
  settings.receive_window_bytes = buffer_limit;
  settings.output_limit_bytes = buffer_limit;
  return settings;
}

http::TunnelCodec::Settings tunnel_settings(std::size_t buffer_limit) {
  return {.receive_window_bytes = buffer_limit, .output_limit_bytes = buffer_limit, .max_header_count = limits::kMaxHeaderCount};
}

UpstreamFailure failure_of(http::StreamReset reason) {
  switch (reason) {
    case http::StreamReset::kProtocolError: return UpstreamFailure::kProtocolError;
    case http::StreamReset::kOutOfMemory: return UpstreamFailure::kLocalReset;
    case http::StreamReset::kRefused: return UpstreamFailure::kRefusedStream;
    case http::StreamReset::kPeerReset:
    case http::StreamReset::kConnectionEnded: break;
  }
  return UpstreamFailure::kConnectionTermination;
}

}  // namespace

UpstreamConnection::UpstreamConnection(Runtime& runtime, ConnectionPool& pool)
    : Serviced(Stage::kUpstream),
      runtime_(runtime),
      pool_(pool),
      codec_(make_codec()),
      input_(runtime.context.chains),
      proxy_header_(runtime.context.chains),
      timer_(Timer::calling<&UpstreamConnection::on_timer>(*this)),
      lifetime_(Timer::calling<&UpstreamConnection::on_lifetime>(*this)) {}

http::ClientCodec& UpstreamConnection::make_codec() {
  const config::Cluster& cluster = pool_.config();
  const std::size_t buffer_limit = runtime_.buffer_limit(cluster.buffer_limit_bytes);
  stream::ChainPool& chains = runtime_.context.chains;
  if (pool_.is_for_tunnels()) return codecs_.emplace<http::TunnelCodec>(tunnel_settings(buffer_limit), chains, *this);
  return codecs_.emplace<http::http1::ClientCodec>(codec_settings(cluster, buffer_limit), chains, *this);
}

void UpstreamConnection::wake() { runtime_.ready.wake(*this); }

void UpstreamConnection::connect(Instant now) {
  runtime_.upstreams.push_back(*this);
  created_ = now;
  auto& stats = pool_.cluster_stats();
  stats.upstream_cx_total.add();
  if (!pool_.is_for_tunnels()) stats.upstream_cx_http1_total.add();
  stats.upstream_cx_active.add();
  pool_.endpoint_stats().cx_total.add();
  pool_.endpoint_stats().cx_active.add();
  stream_ = open(now);
  if (stream_ == nullptr) {
    wake();
    return;
  }
  runtime_.arm_after(timer_, now, pool_.config().connect_timeout);
}

stream::ByteStream* UpstreamConnection::open(Instant now) {
  EndpointConnector to_endpoint(runtime_, pool_);
  stream::Connector* connector = &to_endpoint;
  if (const config::ProxyProtocolOut* header = pool_.proxy_protocol()) {
    if (!proxy_header_.prepare(*header, pool_.client(), to_endpoint)) {
      close_reason_ = stream::CloseReason::kNoMemory;
      return nullptr;
    }
    connector = &proxy_header_;
  }
  return connect_upstream(runtime_, *connector, pool_.address(), pool_.tls(), pool_.server_name(), &pool_.sessions(), *this,
                          close_reason_, now);
}

bool UpstreamConnection::can_take_request() const {
  return state_ == State::kOpen && stream_ != nullptr && !expired_ && !peer_ended_ && !abandoned_ && input_.empty() &&
         stream_->readable() == 0 && !stream_->read_ended() && codec_.can_open_stream();
}

void UpstreamConnection::attach(UpstreamRequest& request, Instant now) {
  timer_.disarm();
  busy_ = true;
  const http::StreamId id = codec_.open_stream(request.arena());
  MR_ASSERT(id != 0);
  requests_.push_back(request);
  const std::uint32_t most = pool_.config().http.max_requests_per_connection;
  if (++served_ == most) {
    expired_ = true;
    pool_.cluster_stats().upstream_cx_max_requests.add();
  }
  wake();
  request.on_connection(*this, id, now);
}

void UpstreamConnection::become_idle(Instant now) {
  busy_ = false;
  runtime_.arm_after(timer_, now, pool_.config().http.idle_timeout);
}

void UpstreamConnection::service(Instant now) {
  if (state_ == State::kConnecting) {
    if (stream_ == nullptr) {
      const bool local =
          !connected_ && (close_reason_ == stream::CloseReason::kNoRoute || close_reason_ == stream::CloseReason::kNoPort ||
                          close_reason_ == stream::CloseReason::kNoMemory);
      fail_connect(local ? UpstreamFailure::kLocalConnectionFailure : UpstreamFailure::kRemoteConnectionFailure,
                   failure_text_.empty() ? stream::to_text(close_reason_) : failure_text_, now);
      return;
    }
    if (!connected_) return;
    state_ = State::kOpen;
    timer_.disarm();
    pool_.cluster_stats().upstream_cx_connect_ms.record(static_cast<std::uint64_t>((now - created_).to_milliseconds()));
    runtime_.arm_after(lifetime_, now, pool_.config().http.max_connection_duration);
    pool_.on_connected(*this, now);
  }
  if (state_ == State::kClosed) return;

  bool moved = true;
  while (moved && state_ == State::kOpen && !(abandoned_ && requests_.empty())) {
    moved = read_in(now);
    moved |= decode(now);
    moved |= write_out(now);
  }
  if (state_ == State::kClosed) return;
  if (stream_ == nullptr) {
    transport_lost(now);
  } else if (requests_.empty()) {
    after_requests(now);
  }
}

// Reads what there is room for. False when nothing came.
bool UpstreamConnection::read_in(Instant now) {
  if (stream_ == nullptr) return false;
  std::size_t taken = 0;
  if (input_.charge() < kInputBytes && stream_->readable() > 0) {
    taken = stream_->read(input_, kInputBytes, now);
    pool_.cluster_stats().upstream_cx_rx_bytes_total.add(taken);
  }
  if (stream_ != nullptr && stream_->read_ended()) peer_ended_ = true;
  return taken > 0;
}

bool UpstreamConnection::decode(Instant now) {
  if (requests_.empty()) return false;  // after_requests() deals with what came unasked
  const std::size_t before = input_.size();
  if (before > 0) codec_.receive(input_, now);
  if (peer_ended_ && input_.empty() && !input_ended_) {
    input_ended_ = true;
    codec_.end_of_input(now);
    return true;
  }
  return input_.size() != before;
}

bool UpstreamConnection::write_out(Instant now) {
  if (stream_ == nullptr) return false;
  std::size_t written = 0;
  if (!codec_.output().empty()) {
    written = stream_->write(codec_.output(), now);
    pool_.cluster_stats().upstream_cx_tx_bytes_total.add(written);
  }
  codec_.output_drained(now);
  // Only a switched protocol ends its sides one by one; servers may take an early end for a lost client.
  const bool half_closed = codec_.output_ended() && !codec_.wants_close();
  if (stream_ != nullptr && half_closed && codec_.output().empty() && !output_ended_) {
    output_ended_ = true;
    stream_->shutdown_write(now);
  }
  return written > 0;
}

// No request is left on it: back to the pool, or away.
void UpstreamConnection::after_requests(Instant now) {
  if (abandoned_) {
    abort(now);
  } else if (!codec_.output().empty() && !can_take_request()) {
    if (!timer_.is_armed()) runtime_.arm_after(timer_, now, kFlushTimeout);  // the end of a switched protocol
  } else if (!can_take_request()) {
    if (!input_.empty() || stream_->readable() > 0) pool_.cluster_stats().upstream_cx_protocol_error.add();
    close(now);
  } else if (busy_) {
    pool_.on_available(*this, now);
  }
}

void UpstreamConnection::fail_connect(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  state_ = State::kClosed;
  if (stream_ != nullptr) stream_->reset(now);
  stream_ = nullptr;
  pool_.on_connect_failed(*this, failure, transport_failure, now);
  finish(failure == UpstreamFailure::kRemoteConnectionFailure, now);
}

void UpstreamConnection::transport_lost(Instant now) {
  // A graceful end was told to the codec already; what is left then waits for our own side, which is gone as well.
  state_ = State::kClosed;
  const bool active = !requests_.empty();
  if (active) {
    pool_.cluster_stats().upstream_cx_destroy_with_active_rq.add();
    pool_.cluster_stats().upstream_cx_destroy_remote_with_active_rq.add();
  }
  pool_.on_leaving(*this, now);
  while (UpstreamRequest* request = requests_.pop_front()) {
    codec_.reset_stream(request->id());
    request->on_failure(UpstreamFailure::kConnectionTermination, failure_text_, now);
  }
  finish(true, now);
}

void UpstreamConnection::close(Instant now) {
  if (state_ == State::kClosed) return;
  MR_ASSERT(requests_.empty());
  state_ = State::kClosed;
  const bool by_peer = peer_ended_;
  if (stream_ != nullptr) stream_->close(now);
  stream_ = nullptr;
  pool_.on_leaving(*this, now);
  finish(by_peer, now);
}

void UpstreamConnection::abort(Instant now) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kConnecting) {
    fail_connect(UpstreamFailure::kLocalConnectionFailure, stream::to_text(stream::CloseReason::kShutdown), now);
    return;
  }
  state_ = State::kClosed;
  if (stream_ != nullptr) stream_->reset(now);
  stream_ = nullptr;
  if (abandoned_ || !requests_.empty()) {
    pool_.cluster_stats().upstream_cx_destroy_with_active_rq.add();
    pool_.cluster_stats().upstream_cx_destroy_local_with_active_rq.add();
  }
  pool_.on_leaving(*this, now);
  while (UpstreamRequest* request = requests_.pop_front()) {
    codec_.reset_stream(request->id());
    request->on_failure(UpstreamFailure::kLocalReset, {}, now);
  }
  finish(false, now);
}

void UpstreamConnection::finish(bool by_peer, Instant) {
  auto& stats = pool_.cluster_stats();
  stats.upstream_cx_destroy.add();
  (by_peer ? stats.upstream_cx_destroy_remote : stats.upstream_cx_destroy_local).add();
  stats.upstream_cx_active.subtract();
  pool_.endpoint_stats().cx_active.subtract();
  timer_.disarm();
  lifetime_.disarm();
  input_.clear();
  runtime_.lay_to_rest(*this, runtime_.dead_upstreams);
}

void UpstreamConnection::on_timer(Instant now) {
  if (state_ == State::kConnecting) {
    fail_connect(UpstreamFailure::kConnectionTimeout, {}, now);
  } else if (state_ == State::kOpen && requests_.empty()) {
    pool_.cluster_stats().upstream_cx_idle_timeout.add();
    close(now);
  }
}

void UpstreamConnection::on_lifetime(Instant now) {
  pool_.cluster_stats().upstream_cx_max_duration_reached.add();
  expired_ = true;
  if (requests_.empty()) close(now);
}

void UpstreamConnection::consumed(http::StreamId id, std::size_t bytes) {
  codec_.consumed(id, bytes);
  wake();
}

void UpstreamConnection::release(UpstreamRequest& request) {
  requests_.remove(request);
  wake();  // within this turn, in which its arena is still there, the codec lets go of the stream
}

void UpstreamConnection::abandon(UpstreamRequest& request, Instant) {
  requests_.remove(request);
  codec_.reset_stream(request.id());
  abandoned_ = true;
  wake();
}

UpstreamRequest* UpstreamConnection::find(http::StreamId id) {
  for (UpstreamRequest& request : requests_) {
    if (request.id() == id) return &request;
  }
  return nullptr;
}

void UpstreamConnection::on_connected(stream::ByteStream& stream, Instant now) {
  connected_ = true;
  addresses_ = {.local = stream.local_address(), .remote = stream.peer_address()};
  note_upstream_connected(stream, pool_.config(), pool_.cluster_stats(), now);
  wake();
}

void UpstreamConnection::on_readable(stream::ByteStream&, Instant now) {
  read_in(now);
  wake();
}

void UpstreamConnection::on_writable(stream::ByteStream&, Instant) { wake(); }

void UpstreamConnection::on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant) {
  failure_text_ = note_upstream_closed(stream, connected_, pool_.cluster_stats());
  stream_ = nullptr;
  close_reason_ = reason;
  if (reason == stream::CloseReason::kGraceful) peer_ended_ = true;
  wake();
}

void UpstreamConnection::on_informational(http::StreamId id, http::ResponseHead& head, Instant now) {
  if (UpstreamRequest* request = find(id)) request->on_informational(head, now);
}

void UpstreamConnection::on_response(http::StreamId id, http::ResponseHead& head, bool end_stream, Instant now) {
  if (UpstreamRequest* request = find(id)) request->on_response(head, end_stream, now);
}

void UpstreamConnection::on_response_data(http::StreamId id, stream::Chain& data, bool end_stream, Instant now) {
  if (UpstreamRequest* request = find(id)) request->on_data(data, end_stream, now);
}

void UpstreamConnection::on_response_trailers(http::StreamId id, http::HeaderMap& trailers, Instant now) {
  if (UpstreamRequest* request = find(id)) request->on_trailers(trailers, now);
}

void UpstreamConnection::on_stream_reset(http::StreamId id, http::StreamReset reason, http::ProtocolError error, Instant now) {
  UpstreamRequest* request = find(id);
  if (request == nullptr) return;
  requests_.remove(*request);
  if (reason == http::StreamReset::kProtocolError) pool_.cluster_stats().upstream_cx_protocol_error.add();
  request->on_failure(failure_of(reason), error == http::ProtocolError::kNone ? std::string_view() : http::to_text(error), now);
}

void UpstreamConnection::on_send_credit(http::StreamId id, Instant now) {
  if (UpstreamRequest* request = find(id)) request->on_credit(now);
}

void UpstreamConnection::on_stream_complete(http::StreamId id, Instant now) {
  UpstreamRequest* request = find(id);
  if (request == nullptr) return;
  requests_.remove(*request);
  request->on_complete(now);
}

}  // namespace millrace::proxy
