// How a client codec reads responses: one step of receive() per state.
#include <new>

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http1/status_line.h"

namespace millrace::http::http1 {

bool ClientCodec::step(stream::Chain& input, Instant now) {
  if (input.empty() && !lines_.has_unread()) return false;
  if (stream_ == 0 || reading_ == Reading::kComplete) {
    closing_ = true;  // bytes that belong to no response (RFC 9112 9.2)
    input.clear();
    return false;
  }
  if (writing_ == Writing::kHead) return fail(ProtocolError::kUnexpectedData, now);
  response_begun_ = true;
  switch (reading_) {
    case Reading::kStatusLine: return read_status_line(input, now);
    case Reading::kFields: return read_fields(input, now);
    case Reading::kBody:
    case Reading::kOpaque: return read_body(input, now);
    case Reading::kTrailers: return read_trailers(input, now);
    case Reading::kComplete: return false;
  }
  return false;
}

bool ClientCodec::read_status_line(stream::Chain& input, Instant now) {
  const LineReader::Status status = lines_.read(input);
  if (status == LineReader::Status::kNeedMore) return false;
  if (status == LineReader::Status::kOutOfMemory) return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
  if (status != LineReader::Status::kLine) return fail(error_of(status), now);
  const auto line = parse_status_line({lines_.line().data(), lines_.line().size()});
  if (!line) return fail(line.error(), now);
  void* memory = arena_->allocate(sizeof(ResponseHead), alignof(ResponseHead));
  if (memory == nullptr) return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
  head_ = ::new (memory) ResponseHead(*arena_, settings_.max_header_count + kSpareHeaderFields);
  head_->status = line->status;
  head_->version = line->version;
  section_.start(FieldSection::Kind::kHead, head_->headers);
  reading_ = Reading::kFields;
  return true;
}

bool ClientCodec::read_fields(stream::Chain& input, Instant now) {
  switch (section_.read(lines_, input, settings_)) {
    case FieldSection::Status::kNeedMore: return false;
    case FieldSection::Status::kOutOfMemory: return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
    case FieldSection::Status::kError: return fail(section_.error(), now);
    case FieldSection::Status::kDone: break;
  }
  if (head_->status < 200 && head_->status != 101) return deliver_informational(now);
  return accept_head(input, now);
}

// RFC 9110 15.2. Their bytes count towards the one budget of this response.
bool ClientCodec::deliver_informational(Instant now) {
  if (++informational_ > kMaxInformationalResponses) return fail(ProtocolError::kHeadersTooLarge, now);
  if (const auto framing = frame_response(*head_, request_); !framing) return fail(framing.error(), now);
  reading_ = Reading::kStatusLine;
  events_.on_informational(stream_, *head_, now);
  return true;
}

bool ClientCodec::accept_head(const stream::Chain& input, Instant now) {
  if (head_->status == 101 && (!asked_to_switch_ || writing_ == Writing::kBody)) return fail(ProtocolError::kBadStatusLine, now);
  const auto framing = frame_response(*head_, request_);
  if (!framing) return fail(framing.error(), now);
  decoder_.start(*framing);
  const bool switched = framing->kind == BodyKind::kOpaque;
  close_after_response_ |= switched || framing->kind == BodyKind::kUntilClose || !is_persistent(head_->version, head_->headers);
  if (writing_ == Writing::kAwaitSwitch) writing_ = switched ? Writing::kBody : Writing::kEnded;
  const bool complete = framing->kind == BodyKind::kNone;
  reading_ = switched ? Reading::kOpaque : Reading::kBody;
  if (complete) complete_reading(input);
  events_.on_response(stream_, *head_, complete, now);
  return true;
}

void ClientCodec::complete_reading(const stream::Chain& input) {
  reading_ = Reading::kComplete;
  closing_ |= writing_ != Writing::kEnded || !input.empty();
}

bool ClientCodec::begin_trailers() {
  void* memory = arena_->allocate(sizeof(HeaderMap), alignof(HeaderMap));
  if (memory == nullptr) return false;
  trailers_ = ::new (memory) HeaderMap(*arena_, settings_.max_header_count + kSpareHeaderFields);
  section_.start(FieldSection::Kind::kTrailers, *trailers_);
  lines_.set_budget(settings_.max_headers_bytes);
  reading_ = Reading::kTrailers;
  return true;
}

bool ClientCodec::read_body(stream::Chain& input, Instant now) {
  stream::Chain data(output_.pool());
  const StreamId stream = stream_;
  const BodyDecoder::Status status = decoder_.decode(input, data, settings_.receive_window_bytes - unconsumed_);
  bool ended = status == BodyDecoder::Status::kEnd;
  if (status == BodyDecoder::Status::kTrailers) {
    // The usual end, no trailers, is taken with the data before it.
    std::uint8_t next[2];
    ended = input.copy_out(0, next) == 2 && next[0] == '\r' && next[1] == '\n';
    if (ended) {
      input.remove_prefix(2);
    } else if (!begin_trailers()) {
      return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
    }
  }
  if (ended) complete_reading(input);
  if (!data.empty() || ended) {
    unconsumed_ += data.size();
    events_.on_response_data(stream, data, ended, now);
    if (stream_ != stream) return true;
  }
  if (status == BodyDecoder::Status::kOutOfMemory) return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
  if (status == BodyDecoder::Status::kError) return fail(decoder_.error(), now);
  if (status == BodyDecoder::Status::kWindowFull) return unconsumed_ < settings_.receive_window_bytes;
  return status != BodyDecoder::Status::kNeedMore;
}

bool ClientCodec::read_trailers(stream::Chain& input, Instant now) {
  switch (section_.read(lines_, input, settings_)) {
    case FieldSection::Status::kNeedMore: return false;
    case FieldSection::Status::kOutOfMemory: return reset(StreamReset::kOutOfMemory, ProtocolError::kNone, now);
    case FieldSection::Status::kError: return fail(section_.error(), now);
    case FieldSection::Status::kDone: break;
  }
  complete_reading(input);
  if (settings_.enable_trailers && trailers_->size() > 0) {
    events_.on_response_trailers(stream_, *trailers_, now);
  } else {
    stream::Chain nothing(output_.pool());
    events_.on_response_data(stream_, nothing, true, now);
  }
  return true;
}

}  // namespace millrace::http::http1
