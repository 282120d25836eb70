#include "dataplane/proxy/downstream_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/forwarded_client_cert.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

http::http1::Settings codec_settings(const config::HttpConnectionManager& http, std::size_t buffer_limit) {
  http::http1::Settings settings;
  settings.max_headers_bytes = std::min<std::size_t>(http.max_request_headers_bytes, limits::kMaxRequestHeadersBytes);
  settings.max_request_line_bytes = settings.max_headers_bytes;
  settings.max_header_count = std::min<std::size_t>(http.max_headers_count, limits::kMaxHeaderCount);
  settings.accept_http_10 = http.accept_http_10;
  settings.allow_absolute_url = http.allow_absolute_url;
  settings.enable_trailers = http.enable_trailers;
  using Configured = config::HttpConnectionManager::Underscores;
  using Action = http::http1::UnderscoreAction;
  settings.headers_with_underscores_action = http.underscores == Configured::kAllow    ? Action::kAllow
                                             : http.underscores == Configured::kReject ? Action::kReject
                                                                                       : Action::kDrop;
  settings.receive_window_bytes = buffer_limit;
  settings.output_limit_bytes = buffer_limit;
  return settings;
}

}  // namespace

DownstreamConnection::DownstreamConnection(Runtime& runtime, ListenerRuntime& listener, ChainVersion& chain,
                                           ReadyTransport transport, Instant now)
    : Serviced(Stage::kDownstream),
      runtime_(runtime),
      listener_(listener),
      chain_(chain),
      count_(std::move(transport.count)),
      codec_(codec_settings(chain.http(), runtime.buffer_limit(chain.listener().buffer_limit_bytes)), runtime.context.chains,
             *this),
      input_(std::move(transport.received)),
      stream_(&transport.stream),
      id_(++runtime.next_connection_id),
      addresses_(transport.addresses),
      server_name_(std::move(transport.server_name)),
      proxy_extensions_(std::move(transport.proxy_extensions)),
      tls_session_(stream_->session_facts()),
      client_cert_element_(tls_session_ == nullptr ? std::string()
                                                   : proxy::client_cert_element(*tls_session_, chain.http().client_cert_details)),
      buckets_(runtime.connection_bucket_pool),
      timer_(Timer::calling<&DownstreamConnection::on_timer>(*this)),
      lifetime_(Timer::calling<&DownstreamConnection::on_lifetime>(*this)) {
  chain_.pin();
  runtime_.downstreams.push_back(*this);
  stream_->set_events(*this);
  count_.begin(chain_.listener_stats());
  auto& stats = chain_.http_stats();
  stats.downstream_cx_total.add();
  stats.downstream_cx_http1_total.add();
  stats.downstream_cx_active.add();
  if (tls_session_ != nullptr) {
    stats.downstream_cx_ssl_total.add();
    stats.downstream_cx_ssl_active.add();
  }
  runtime_.arm_after(timer_, now, chain_.http().idle_timeout);
  runtime_.arm_after(lifetime_, now, chain_.http().max_connection_duration);
  stats.downstream_cx_rx_bytes_total.add(input_.size());
  if (runtime_.draining || chain_.is_draining()) note_drain();
  if (!input_.empty() || stream_->readable() > 0 || stream_->read_ended()) wake();  // no event will tell of what came before
}

void DownstreamConnection::wake() { runtime_.ready.wake(*this); }

void DownstreamConnection::service(Instant now) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kLingering) {
    discard_input(now);
    return;
  }
  bool moved = true;
  while (moved && state_ != State::kClosed && !aborted_) {
    moved = read_in(now);
    moved |= decode(now);
    moved |= write_out(now);
  }
  if (state_ != State::kClosed) after_pump(now);
}

// Reads what there is room for. False when nothing came.
bool DownstreamConnection::read_in(Instant now) {
  if (stream_ == nullptr) return false;
  std::size_t taken = 0;
  if (input_.charge() < kInputBytes && stream_->readable() > 0) {
    taken = stream_->read(input_, kInputBytes, now);
    chain_.http_stats().downstream_cx_rx_bytes_total.add(taken);
  }
  if (stream_ != nullptr && stream_->read_ended()) peer_ended_ = true;
  return taken > 0;
}

bool DownstreamConnection::decode(Instant now) {
  if (state_ != State::kOpen) {
    input_.clear();
    return false;
  }
  const std::size_t before = input_.size();
  if (before > 0) codec_.receive(input_, now);
  if (peer_ended_ && input_.empty() && !input_ended_ && !awaits_service()) {
    input_ended_ = true;
    codec_.end_of_input(now);
    return true;
  }
  return input_.size() != before;
}

bool DownstreamConnection::write_out(Instant now) {
  if (stream_ == nullptr) return false;
  std::size_t written = 0;
  if (!codec_.output().empty()) {
    written = stream_->write(codec_.output(), now);
    chain_.http_stats().downstream_cx_tx_bytes_total.add(written);
    if (written > 0 && state_ == State::kFlushing) runtime_.arm_after(timer_, now, chain_.http().delayed_close_timeout);
  }
  codec_.output_drained(now);
  return written > 0;
}

void DownstreamConnection::after_pump(Instant now) {
  if (stream_ == nullptr) {
    const bool with_requests = !streams_.empty();
    state_ = State::kClosed;
    end_streams(true, now);
    finish(true, with_requests, now);
    return;
  }
  if (aborted_) {
    abort(now);
    return;
  }
  if (peer_ended_ && awaits_service()) {  // what came with the client's end is acted upon first
    wake();
    return;
  }
  // A request that is in progress when its client has gone.
  if (peer_ended_ && !streams_.empty() && !has_switched()) {
    state_ = State::kClosed;
    stream_->close(now);
    end_streams(true, now);
    finish(true, true, now);
    return;
  }
  if (codec_.wants_close() || state_ == State::kFlushing) {
    if (codec_.output().empty()) {
      end_streams(false, now);
      linger(now);
    } else if (state_ == State::kOpen) {  // of its streams, only requests may be incomplete: nobody reads them any more
      state_ = State::kFlushing;
      runtime_.arm_after(timer_, now, chain_.http().delayed_close_timeout);
    }
    return;
  }
  if (codec_.output_ended() && codec_.output().empty() && !output_ended_) {
    output_ended_ = true;
    stream_->shutdown_write(now);
  }
  if (streams_.empty() && !timer_.is_armed()) runtime_.arm_after(timer_, now, chain_.http().idle_timeout);
}

// The connection ends under its streams. For one whose response is complete that is no loss.
void DownstreamConnection::end_streams(bool by_peer, Instant now) {
  while (!streams_.empty()) {
    ActiveStream& stream = streams_.front();
    codec_.reset_stream(stream.id());
    stream.on_connection_ended(by_peer, now);  // releases itself
  }
}

// RFC 9112 9.6: ends our side, then reads on for a while, so that the client sees the answer and not a reset.
void DownstreamConnection::linger(Instant now) {
  if (peer_ended_ || chain_.http().delayed_close_timeout <= Duration()) {
    close(peer_ended_, now);
    return;
  }
  state_ = State::kLingering;
  stream_->shutdown_write(now);
  input_.clear();
  runtime_.arm_after(timer_, now, chain_.http().delayed_close_timeout);
  wake();
}

void DownstreamConnection::discard_input(Instant now) {
  if (stream_ == nullptr) {
    state_ = State::kClosed;
    finish(true, false, now);
    return;
  }
  while (stream_ != nullptr && stream_->readable() > 0) {
    stream_->read(input_, kInputBytes, now);
    input_.clear();
  }
  if (stream_ != nullptr && stream_->read_ended()) close(false, now);
}

void DownstreamConnection::close(bool by_peer, Instant now) {
  state_ = State::kClosed;
  const bool with_requests = !streams_.empty();
  if (stream_ != nullptr) stream_->close(now);
  end_streams(by_peer, now);
  finish(by_peer, with_requests, now);
}

void DownstreamConnection::abort(Instant now) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  const bool with_requests = !streams_.empty() || aborted_;
  if (stream_ != nullptr) stream_->reset(now);
  end_streams(false, now);
  finish(false, with_requests, now);
}

void DownstreamConnection::finish(bool by_peer, bool with_requests, Instant) {
  stream_ = nullptr;
  auto& stats = chain_.http_stats();
  stats.downstream_cx_destroy.add();
  (by_peer ? stats.downstream_cx_destroy_remote : stats.downstream_cx_destroy_local).add();
  if (with_requests) {
    stats.downstream_cx_destroy_active_rq.add();
    (by_peer ? stats.downstream_cx_destroy_remote_active_rq : stats.downstream_cx_destroy_local_active_rq).add();
  }
  stats.downstream_cx_active.subtract();
  if (tls_session_ != nullptr) stats.downstream_cx_ssl_active.subtract();
  count_.end();
  timer_.disarm();
  lifetime_.disarm();
  input_.clear();
  chain_.unpin();
  runtime_.lay_to_rest(*this, runtime_.dead_downstreams);
}

// Nothing in progress, nothing received that was not looked at yet, nothing left to send.
bool DownstreamConnection::is_quiet() const {
  auto& self = const_cast<DownstreamConnection&>(*this);
  return self.streams_.empty() && input_.empty() && self.codec_.output().empty() &&
         (stream_ == nullptr || stream_->readable() == 0);
}

void DownstreamConnection::note_drain() {
  if (draining_) return;
  draining_ = true;
  codec_.start_drain();
}

void DownstreamConnection::start_drain(Instant now) {
  leave();
  if (state_ == State::kOpen && is_quiet()) close(false, now);
}

void DownstreamConnection::announce_drain() {
  if (!runtime_.context.drain_gradually) leave();
}

// The more likely the more of the drain time is over, so that not all clients come back at once.
void DownstreamConnection::maybe_leave(Instant now) {
  if (!runtime_.context.drain_gradually || draining_ || !chain_.is_draining()) return;
  constexpr std::int64_t kParts = 1'000'000;
  const std::int64_t left = (chain_.drain_end() - now).to_milliseconds();
  if (runtime_.context.rng.below(kParts) * runtime_.context.drain_time.to_milliseconds() >= left * kParts) leave();
}

void DownstreamConnection::leave() {
  if (state_ != State::kOpen) return;
  if (!draining_) chain_.http_stats().downstream_cx_drain_close.add();
  note_drain();
}

void DownstreamConnection::end_drain(Instant now) {
  if (state_ == State::kOpen && is_quiet()) return close(false, now);
  abort(now);
}

std::size_t DownstreamConnection::held_bytes() {
  if (streams_.empty()) return 0;
  std::size_t bytes = input_.charge() + codec_.output().charge();
  for (const ActiveStream& stream : streams_) bytes += stream.held_bytes();
  return bytes;
}

// What its streams hold has to go now.
void DownstreamConnection::reset_in_overload(Instant now) {
  aborted_ = true;
  while (!streams_.empty()) streams_.front().reset_in_overload(now);
}

void DownstreamConnection::on_timer(Instant now) {
  if (state_ == State::kOpen) {
    if (!streams_.empty() || !input_.empty() || stream_ == nullptr || stream_->readable() > 0) {
      wake();
      return;
    }
    chain_.http_stats().downstream_cx_idle_timeout.add();
    // A client that does not take the rest of its last answer does not take an orderly end either.
    if (codec_.output().empty())
      close(false, now);
    else
      abort(now);
  } else if (state_ == State::kLingering) {
    close(false, now);
  } else if (state_ == State::kFlushing) {
    abort(now);
  }
}

void DownstreamConnection::on_lifetime(Instant now) {
  if (state_ != State::kOpen) return;
  chain_.http_stats().downstream_cx_max_duration_reached.add();
  note_drain();
  if (is_quiet()) close(false, now);
}

bool DownstreamConnection::awaits_service() {
  for (ActiveStream& stream : streams_) {
    if (static_cast<ListNode<ReadyTag>&>(stream).is_linked()) return true;
  }
  return false;
}

bool DownstreamConnection::has_switched() {
  for (ActiveStream& stream : streams_) {
    if (stream.is_switched()) return true;
  }
  return false;
}

void DownstreamConnection::consumed(http::StreamId id, std::size_t bytes) {
  codec_.consumed(id, bytes);
  wake();
}

void DownstreamConnection::reset_stream(ActiveStream& stream) {
  // What the client was sent already is not lost where it sees that the rest is missing.
  if (!codec_.shows_truncation(stream.id())) aborted_ = true;
  codec_.reset_stream(stream.id());
  wake();
}

void DownstreamConnection::release(ActiveStream& stream) { streams_.remove(stream); }

ActiveStream* DownstreamConnection::find(http::StreamId id) {
  for (ActiveStream& stream : streams_) {
    if (stream.id() == id) return &stream;
  }
  return nullptr;
}

void DownstreamConnection::on_readable(stream::ByteStream&, Instant now) {
  if (state_ == State::kOpen) read_in(now);
  wake();
}

void DownstreamConnection::on_writable(stream::ByteStream&, Instant) { wake(); }

void DownstreamConnection::on_closed(stream::ByteStream&, stream::CloseReason, Instant) {
  stream_ = nullptr;
  wake();
}

Arena* DownstreamConnection::on_stream_begin(http::StreamId id, Instant now) {
  auto& stats = chain_.http_stats();
  ActiveStream* stream = runtime_.stream_pool.make(runtime_, *this, chain_.successor(), id, now);
  if (stream == nullptr) {
    stats.downstream_rq_overload_close.add();
    return nullptr;
  }
  timer_.disarm();
  streams_.push_back(*stream);
  if (++served_ == chain_.http().max_requests_per_connection) {
    stats.downstream_cx_max_requests_reached.add();
    note_drain();
  }
  return &stream->arena();
}

void DownstreamConnection::on_request(http::StreamId id, http::RequestHead& head, bool end_stream, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_request(head, end_stream, now);
}

void DownstreamConnection::on_request_data(http::StreamId id, stream::Chain& data, bool end_stream, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_request_data(data, end_stream, now);
}

void DownstreamConnection::on_request_trailers(http::StreamId id, http::HeaderMap& trailers, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_request_trailers(trailers, now);
}

void DownstreamConnection::on_request_error(http::StreamId id, http::ProtocolError error, Instant now) {
  chain_.http_stats().downstream_cx_protocol_error.add();
  if (ActiveStream* stream = find(id)) stream->on_request_error(error, now);
}

void DownstreamConnection::on_stream_reset(http::StreamId id, http::StreamReset reason, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_codec_reset(reason, now);
}

void DownstreamConnection::on_send_credit(http::StreamId id, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_send_credit(now);
}

void DownstreamConnection::on_stream_complete(http::StreamId id, Instant now) {
  if (ActiveStream* stream = find(id)) stream->on_complete(now);
}

}  // namespace millrace::proxy
