#include "dataplane/http/tunnel_codec.h"

#include <algorithm>
#include <new>
#include <utility>

namespace millrace::http {

TunnelCodec::TunnelCodec(const Settings& settings, stream::ChainPool& pool, ClientEvents& events)
    : settings_(settings), events_(events), output_(pool) {
  MR_ASSERT(settings.receive_window_bytes > 0 && settings.output_limit_bytes > 0);
}

StreamId TunnelCodec::open_stream(Arena& arena) {
  if (!can_open_stream()) return 0;
  arena_ = &arena;
  state_ = State::kOpened;
  return kStream;
}

bool TunnelCodec::send_request(StreamId stream, const RequestHead&, bool end_stream) {
  if (stream != kStream || state_ != State::kOpened) return true;
  state_ = State::kAsked;
  sent_all_ = end_stream;
  return true;
}

void TunnelCodec::fail(Instant now) {
  state_ = State::kOver;
  events_.on_stream_reset(kStream, StreamReset::kOutOfMemory, ProtocolError::kNone, now);
}

// Nothing is asked of the peer: the connection stands.
void TunnelCodec::answer(Instant now) {
  if (state_ != State::kAsked) return;
  void* memory = arena_->allocate(sizeof(ResponseHead), alignof(ResponseHead));
  if (memory == nullptr) return fail(now);
  state_ = State::kStands;
  auto& head = *::new (memory) ResponseHead(*arena_, settings_.max_header_count);
  head.status = 200;
  events_.on_response(kStream, head, false, now);
}

void TunnelCodec::deliver(stream::Chain& data, bool end_stream, Instant now) {
  received_all_ = end_stream;
  unconsumed_ += data.size();
  events_.on_response_data(kStream, data, end_stream, now);
}

void TunnelCodec::receive(stream::Chain& input, Instant now) {
  answer(now);
  if (state_ == State::kStands && !received_all_) {
    const std::size_t room = settings_.receive_window_bytes - std::min(settings_.receive_window_bytes, unconsumed_);
    if (const std::size_t size = std::min(room, input.size()); size > 0) {
      stream::Chain data(output_.pool());
      if (!input.move_prefix(size, data)) return fail(now);
      deliver(data, false, now);
    }
  }
  leftover_ = !input.empty();
  if (input_ended_ && !leftover_) end_of_input(now);
  settle(now);
}

void TunnelCodec::end_of_input(Instant now) {
  input_ended_ = true;
  answer(now);
  if (state_ == State::kStands && !leftover_ && !received_all_) {
    stream::Chain nothing(output_.pool());
    deliver(nothing, true, now);
  }
  settle(now);
}

void TunnelCodec::output_drained(Instant now) {
  answer(now);
  if (state_ == State::kStands && starved_ && !sent_all_ && output_.size() <= settings_.output_limit_bytes / 2) {
    starved_ = false;
    events_.on_send_credit(kStream, now);
  }
  settle(now);
}

void TunnelCodec::settle(Instant now) {
  if (state_ != State::kStands || !sent_all_ || !received_all_) return;
  state_ = State::kOver;
  events_.on_stream_complete(kStream, now);
}

std::size_t TunnelCodec::send_credit(StreamId stream) const {
  if (stream != kStream || state_ != State::kStands || sent_all_) return 0;
  return settings_.output_limit_bytes - std::min(settings_.output_limit_bytes, output_.size());
}

bool TunnelCodec::send_data(StreamId stream, stream::Chain& data, bool end_stream) {
  if (stream != kStream || state_ == State::kOver) {
    data.clear();
    return true;
  }
  const std::size_t size = std::min(send_credit(stream), data.size());
  if (size > 0 && !data.move_prefix(size, output_)) return false;
  starved_ |= !data.empty() || output_.size() >= settings_.output_limit_bytes;
  if (end_stream && data.empty()) sent_all_ = true;
  return true;
}

bool TunnelCodec::send_trailers(StreamId stream, const HeaderMap&) {
  stream::Chain nothing(output_.pool());
  return send_data(stream, nothing, true);
}

void TunnelCodec::consumed(StreamId stream, std::size_t bytes) {
  if (stream != kStream) return;
  MR_ASSERT(bytes <= unconsumed_);
  unconsumed_ -= bytes;
}

void TunnelCodec::reset_stream(StreamId stream) {
  if (stream == kStream && state_ != State::kUnused) state_ = State::kOver;
}

bool TunnelCodec::wants_close() const {
  return state_ == State::kOver || (state_ == State::kUnused && (draining_ || input_ended_));
}

}  // namespace millrace::http
