// The life of streams and the way out. What is read is in server_reader.cc.
#include "dataplane/http/http1/server_codec.h"

#include <utility>

#include "dataplane/http/http1/head_writer.h"

namespace millrace::http::http1 {

ServerCodec::ServerCodec(const Settings& settings, stream::ChainPool& pool, ServerEvents& events)
    : settings_(settings), events_(events), output_(pool) {
  MR_ASSERT(settings.max_headers_bytes <= limits::kMaxRequestHeadersBytes &&
            settings.max_header_count <= limits::kMaxHeaderCount);
  MR_ASSERT(settings.receive_window_bytes > 0 && settings.output_limit_bytes > 0);
}

void ServerCodec::receive(stream::Chain& input, Instant now) {
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

void ServerCodec::end_of_input(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  input_ended_ = true;
  if (!leftover_) conclude_input(now);
  settle(now);
  busy_ = false;
}

void ServerCodec::output_drained(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  settle(now);
  if (stream_ != 0 && starved_ && writing_ != Writing::kEnded && output_.size() <= settings_.output_limit_bytes / 2) {
    starved_ = false;
    events_.on_send_credit(stream_, now);
    settle(now);
  }
  busy_ = false;
}

bool ServerCodec::wants_close() const { return closing_ || (input_ended_ && stream_ == 0 && !leftover_); }

bool ServerCodec::output_ended() const {
  return wants_close() || (stream_ != 0 && writing_ == Writing::kEnded && writer_.kind() == BodyKind::kOpaque);
}

// The peer has ended its side and all that it sent was read.
void ServerCodec::conclude_input(Instant now) {
  switch (reading_) {
    case Reading::kRequestLine:
    case Reading::kFields:
    case Reading::kBody:
    case Reading::kTrailers:
      closing_ = true;
      reset(StreamReset::kPeerReset, now);
      break;
    case Reading::kOpaque: {
      reading_ = Reading::kComplete;
      stream::Chain nothing(output_.pool());
      events_.on_request_data(stream_, nothing, true, now);
      break;
    }
    default: break;
  }
}

void ServerCodec::settle(Instant now) {
  if (stream_ != 0 && declined_ && reading_ == Reading::kAwaitSwitch) {
    reading_ = Reading::kComplete;
    stream::Chain nothing(output_.pool());
    events_.on_request_data(stream_, nothing, true, now);
  }
  if (stream_ != 0 && reading_ == Reading::kOpaque && input_ended_ && !leftover_) conclude_input(now);
  if (stream_ != 0 && writing_ == Writing::kEnded && (reading_ == Reading::kComplete || reading_ == Reading::kFailed)) {
    const StreamId complete = stream_;
    closing_ |= close_after_response_ || reading_ == Reading::kFailed || writer_.kind() == BodyKind::kOpaque;
    forget_stream();
    events_.on_stream_complete(complete, now);
  }
}

void ServerCodec::forget_stream() {
  stream_ = 0;
  arena_ = nullptr;
  head_ = nullptr;
  trailers_ = nullptr;
  reading_ = Reading::kIdle;
}

void ServerCodec::reset(StreamReset reason, Instant now) {
  if (stream_ == 0) return;
  closing_ = true;
  const StreamId gone = stream_;
  forget_stream();
  events_.on_stream_reset(gone, reason, now);
}

// Always true: the next step discards the input.
bool ServerCodec::fail(ProtocolError error, Instant now) {
  const StreamId failed = stream_;
  reading_ = Reading::kFailed;
  close_after_response_ = true;
  const bool answerable = status_of(error) != 0 && writing_ == Writing::kHead;
  if (!answerable) closing_ = true;
  events_.on_request_error(failed, error, now);
  if (!answerable && stream_ == failed) reset(StreamReset::kProtocolError, now);
  return true;
}

std::size_t ServerCodec::send_credit(StreamId stream) const {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded) return 0;
  return output_.size() >= settings_.output_limit_bytes ? 0 : settings_.output_limit_bytes - output_.size();
}

void ServerCodec::note_credit() { starved_ |= output_.size() >= settings_.output_limit_bytes; }

bool ServerCodec::send_response(StreamId stream, const ResponseHead& head, bool end_stream) {
  if (stream == 0 || stream != stream_) return true;
  MR_ASSERT(writing_ == Writing::kHead);
  const Version client = head_ == nullptr ? Version::kHttp11 : head_->version;
  const bool switches = head.status == 101 || (request_.is_connect && head.status >= 200 && head.status < 300);
  const bool informational = head.status < 200 && !switches;
  if (informational && client == Version::kHttp10) return true;  // RFC 9110 15.2
  if (switches) MR_ASSERT(reading_ == Reading::kAwaitSwitch);

  const bool request_open = reading_ != Reading::kComplete && reading_ != Reading::kAwaitSwitch;
  if (!informational && !switches) {
    // What a refused CONNECT has sent on its own account is no HTTP; a request that we do not wait for leaves its rest behind.
    close_after_response_ |=
        draining_ || request_.is_connect || (end_stream && request_open) || has_connection_option(head.headers, "close");
  }
  const ResponseContext context{request_, client, close_after_response_, end_stream};
  const auto framing = write_response_head(head, context, output_, refused_fields_);
  if (!framing) return false;
  note_credit();
  if (informational) return true;

  writer_.start(*framing);
  writing_ = Writing::kBody;
  if (framing->kind == BodyKind::kUntilClose) close_after_response_ = true;
  if (reading_ == Reading::kAwaitSwitch) {
    declined_ = !switches;
    if (switches) {
      reading_ = Reading::kOpaque;
      decoder_.start({BodyKind::kOpaque, 0});
    }
  }
  if (!end_stream) return true;
  stream::Chain nothing(output_.pool());
  return send_data(stream, nothing, true);
}

bool ServerCodec::send_data(StreamId stream, stream::Chain& data, bool end_stream) {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded) {
    data.clear();
    return true;
  }
  MR_ASSERT(writing_ == Writing::kBody);
  const bool written = writer_.write(data, send_credit(stream), end_stream, output_);
  note_credit();
  end_writing();
  return written;
}

bool ServerCodec::send_trailers(StreamId stream, const HeaderMap& trailers) {
  if (stream == 0 || stream != stream_ || writing_ == Writing::kEnded) return true;
  MR_ASSERT(writing_ == Writing::kBody);
  const bool written = writer_.finish(settings_.enable_trailers ? &trailers : nullptr, output_, refused_fields_);
  note_credit();
  end_writing();
  return written;
}

void ServerCodec::end_writing() {
  if (writer_.broken()) closing_ = true;
  if (!writer_.ended()) return;
  writing_ = Writing::kEnded;
  const bool request_open = reading_ != Reading::kComplete && !(reading_ == Reading::kAwaitSwitch && declined_);
  if (writer_.kind() != BodyKind::kOpaque && (close_after_response_ || request_open)) closing_ = true;
}

void ServerCodec::consumed(StreamId stream, std::size_t bytes) {
  if (stream == 0 || stream != stream_) return;
  MR_ASSERT(bytes <= unconsumed_);
  unconsumed_ -= bytes;
}

bool ServerCodec::shows_truncation(StreamId stream) const {
  return stream != 0 && stream == stream_ && writing_ == Writing::kBody &&
         (writer_.kind() == BodyKind::kLength || writer_.kind() == BodyKind::kChunked);
}

void ServerCodec::reset_stream(StreamId stream) {
  if (stream == 0 || stream != stream_) return;
  closing_ = true;
  forget_stream();
}

}  // namespace millrace::http::http1
