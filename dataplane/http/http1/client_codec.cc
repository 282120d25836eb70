// The life of streams and the way out. What is read is in client_reader.cc.
#include "dataplane/http/http1/client_codec.h"

#include "dataplane/http/http1/head_writer.h"

namespace millrace::http::http1 {

ClientCodec::ClientCodec(const Settings& settings, stream::ChainPool& pool, ClientEvents& events)
    : settings_(settings), events_(events), output_(pool) {
  MR_ASSERT(settings.max_headers_bytes <= limits::kMaxRequestHeadersBytes &&
            settings.max_header_count <= limits::kMaxHeaderCount);
  MR_ASSERT(settings.receive_window_bytes > 0 && settings.output_limit_bytes > 0);
}

void ClientCodec::receive(stream::Chain& input, Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  do {
    settle(now);
  } while (step(input, now));
  leftover_ = !input.empty();
  if (input_ended_ && !leftover_) conclude_input(now);
  settle(now);
  busy_ = false;
}

void ClientCodec::end_of_input(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  input_ended_ = true;
  if (!leftover_) conclude_input(now);
  settle(now);
  busy_ = false;
}

void ClientCodec::output_drained(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  settle(now);
  if (stream_ != 0 && starved_ && writing_ == Writing::kBody && output_.size() <= settings_.output_limit_bytes / 2) {
    starved_ = false;
    events_.on_send_credit(stream_, now);
    settle(now);
  }
  busy_ = false;
}

bool ClientCodec::can_open_stream() const { return stream_ == 0 && !closing_ && !draining_ && !input_ended_; }

bool ClientCodec::wants_close() const { return closing_ || (stream_ == 0 && (draining_ || (input_ended_ && !leftover_))); }

bool ClientCodec::output_ended() const {
  return wants_close() ||
         (stream_ != 0 && writing_ == Writing::kEnded && writer_.kind() == BodyKind::kOpaque && reading_ == Reading::kOpaque);
}

StreamId ClientCodec::open_stream(Arena& arena) {
  if (!can_open_stream()) return 0;
  stream_ = ++last_stream_;
  arena_ = &arena;
  head_ = nullptr;
  trailers_ = nullptr;
  reading_ = Reading::kStatusLine;
  writing_ = Writing::kHead;
  request_ = {};
  writer_ = {};
  asked_to_switch_ = close_after_response_ = response_begun_ = false;
  starved_ = output_.size() >= settings_.output_limit_bytes;
  unconsumed_ = 0;
  informational_ = 0;
  lines_.start(arena, settings_.max_headers_bytes);
  lines_.set_budget(settings_.max_headers_bytes);
  return stream_;
}

// The peer has ended its side and all that it sent was read.
void ClientCodec::conclude_input(Instant now) {
  if (stream_ == 0) return;
  closing_ |= reading_ != Reading::kOpaque;
  if (reading_ == Reading::kComplete) return;
  const bool ends_here = reading_ == Reading::kOpaque || (reading_ == Reading::kBody && decoder_.kind() == BodyKind::kUntilClose);
  if (!ends_here) {
    if (response_begun_) {
      reset(StreamReset::kPeerReset, ProtocolError::kTruncated, now);
    } else {
      reset(StreamReset::kConnectionEnded, ProtocolError::kNone, now);
    }
    return;
  }
  reading_ = Reading::kComplete;
  stream::Chain nothing(output_.pool());
  events_.on_response_data(stream_, nothing, true, now);
}

void ClientCodec::settle(Instant now) {
  if (stream_ == 0) return;
  if (writing_ == Writing::kEnded && reading_ == Reading::kComplete) {
    const StreamId complete = stream_;
    closing_ |= close_after_response_ || writer_.broken();
    forget_stream();
    events_.on_stream_complete(complete, now);
  } else if (writer_.broken()) {
    // Its end cannot be told to the peer but by closing: no answer to wait for.
    reset(StreamReset::kConnectionEnded, ProtocolError::kNone, now);
  }
}

void ClientCodec::forget_stream() {
  stream_ = 0;
  arena_ = nullptr;
  head_ = nullptr;
  trailers_ = nullptr;
}

// Always true: the next step discards the input.
bool ClientCodec::reset(StreamReset reason, ProtocolError error, Instant now) {
  closing_ = true;
  const StreamId gone = stream_;
  forget_stream();
  if (gone != 0) events_.on_stream_reset(gone, reason, error, now);
  return true;
}

bool ClientCodec::fail(ProtocolError error, Instant now) { return reset(StreamReset::kProtocolError, error, now); }

std::size_t ClientCodec::send_credit(StreamId stream) const {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded || writing_ == Writing::kAwaitSwitch) return 0;
  return output_.size() >= settings_.output_limit_bytes ? 0 : settings_.output_limit_bytes - output_.size();
}

void ClientCodec::note_credit() { starved_ |= output_.size() >= settings_.output_limit_bytes; }

bool ClientCodec::send_request(StreamId stream, const RequestHead& head, bool end_stream) {
  if (stream == 0 || stream != stream_) return true;
  MR_ASSERT(writing_ == Writing::kHead);
  const auto framing = write_request_head(head, end_stream, output_, refused_fields_);
  if (!framing) return false;
  note_credit();
  request_.is_head = head.method == "HEAD";
  request_.is_connect = head.method == "CONNECT";
  asked_to_switch_ = !request_.is_connect && !head.upgrade.empty();
  close_after_response_ = has_connection_option(head.headers, "close");
  writer_.start(*framing);
  writing_ = framing->kind == BodyKind::kOpaque ? Writing::kAwaitSwitch : Writing::kBody;
  if (writing_ == Writing::kAwaitSwitch) starved_ = true;
  if (!end_stream) return true;
  stream::Chain nothing(output_.pool());
  return send_data(stream, nothing, true);
}

bool ClientCodec::send_data(StreamId stream, stream::Chain& data, bool end_stream) {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded) {
    data.clear();
    return true;
  }
  MR_ASSERT(writing_ != Writing::kHead);
  const bool written = writer_.write(data, send_credit(stream), end_stream, output_);
  note_credit();
  end_writing();
  return written;
}

bool ClientCodec::send_trailers(StreamId stream, const HeaderMap& trailers) {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded) return true;
  MR_ASSERT(writing_ != Writing::kHead);
  const bool written = writer_.finish(settings_.enable_trailers ? &trailers : nullptr, output_, refused_fields_);
  note_credit();
  end_writing();
  return written;
}

void ClientCodec::end_writing() {
  if (writer_.broken()) closing_ = true;
  if (writer_.ended()) writing_ = Writing::kEnded;
}

void ClientCodec::consumed(StreamId stream, std::size_t bytes) {
  if (stream == 0 || stream != stream_) return;
  MR_ASSERT(bytes <= unconsumed_);
  unconsumed_ -= bytes;
}

void ClientCodec::reset_stream(StreamId stream) {
  if (stream == 0 || stream != stream_) return;
  closing_ = true;
  forget_stream();
}

}  // namespace millrace::http::http1
