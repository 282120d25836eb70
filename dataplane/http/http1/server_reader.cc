// How a server codec reads requests: one step of receive() per state.
#include <algorithm>
#include <new>

#include "dataplane/http/http1/authority.h"
#include "dataplane/http/http1/characters.h"
#include "dataplane/http/http1/request_line.h"
#include "dataplane/http/http1/server_codec.h"

namespace millrace::http::http1 {
namespace {

constexpr std::string_view kRefusal = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

// RFC 9112 3.2: one valid Host, which HTTP/1.1 must send; it leaves the fields for head.authority, behind the target's.
ProtocolError take_host(RequestHead& head, bool target_has_authority) {
  std::size_t hosts = 0;
  for (const HeaderField& field : head.headers.fields()) {
    if (field.id != HeaderId::kHost) continue;
    if (++hosts > 1 || !is_authority(field.value)) return ProtocolError::kBadHost;
    if (!target_has_authority) head.authority = field.value;
  }
  if (hosts == 0 && head.version != Version::kHttp10) return ProtocolError::kMissingHost;
  head.headers.remove(HeaderId::kHost);
  return ProtocolError::kNone;
}

// RFC 9110 7.8: a switch is asked for by HTTP/1.1 only, and both fields must say so. h2c is obsolete (RFC 9113 3.1).
std::string_view requested_upgrade(const RequestHead& head) {
  if (head.version == Version::kHttp10 || !has_connection_option(head.headers, "upgrade")) return {};
  const std::string_view upgrade = head.headers.value(HeaderId::kUpgrade);
  return equal_ignoring_case(upgrade, "h2c") ? std::string_view() : upgrade;
}

}  // namespace

bool ServerCodec::step(stream::Chain& input, Instant now) {
  if (input.empty() && !lines_.has_unread()) return false;
  if ((stream_ == 0 && closing_) || reading_ == Reading::kFailed) {
    input.clear();
    return false;
  }
  switch (reading_) {
    case Reading::kIdle:
      // Answers to pipelined requests must not pile up: the next one waits until the owner could send some.
      return output_.size() < settings_.output_limit_bytes && skip_empty_lines(input, now);
    case Reading::kRequestLine: return read_request_line(input, now);
    case Reading::kFields: return read_fields(input, now);
    case Reading::kBody:
    case Reading::kOpaque: return read_body(input, now);
    case Reading::kTrailers: return read_trailers(input, now);
    case Reading::kAwaitSwitch:
    case Reading::kComplete:
    case Reading::kFailed: return false;
  }
  return false;
}

// RFC 9112 2.2. The stream begins with the first byte that belongs to none.
bool ServerCodec::skip_empty_lines(stream::Chain& input, Instant now) {
  while (!input.empty()) {
    const char c = static_cast<char>(input.front().front());
    ProtocolError error = ProtocolError::kNone;
    if (after_cr_) {
      error = c != '\n'                                ? ProtocolError::kBareCr
              : ++empty_lines_ > kMaxLeadingEmptyLines ? ProtocolError::kBadRequestLine
                                                       : error;
      after_cr_ = false;
    } else if (c == '\r') {
      after_cr_ = true;
    } else {
      // Something else than HTTP (a TLS hello) is told apart at once: it may never send the end of a line.
      error = c == '\n' ? ProtocolError::kBareLf : token_char(c) == 0 ? ProtocolError::kBadMethod : error;
      if (error == ProtocolError::kNone) return begin_stream(now);
    }
    if (error != ProtocolError::kNone) return begin_stream(now) && stream_ != 0 ? fail(error, now) : true;
    input.remove_prefix(1);
  }
  return false;
}

bool ServerCodec::begin_stream(Instant now) {
  empty_lines_ = 0;
  after_cr_ = declined_ = close_after_response_ = false;
  unconsumed_ = 0;
  request_ = {};
  writing_ = Writing::kHead;
  writer_ = {};
  starved_ = output_.size() >= settings_.output_limit_bytes;
  stream_ = ++last_stream_;
  reading_ = Reading::kRequestLine;
  const StreamId begun = stream_;
  Arena* const arena = events_.on_stream_begin(begun, now);
  if (stream_ != begun) return true;  // the user has reset it already
  if (arena == nullptr) {
    // If even this finds no memory the connection just ends.
    closing_ = true;
    forget_stream();
    (void)output_.append_copy(kRefusal);
    return true;
  }
  arena_ = arena;
  lines_.start(*arena, settings_.max_headers_bytes);
  lines_.set_budget(std::min(settings_.max_request_line_bytes, settings_.max_headers_bytes));
  return true;
}

bool ServerCodec::read_request_line(stream::Chain& input, Instant now) {
  const LineReader::Status status = lines_.read(input);
  switch (status) {
    case LineReader::Status::kNeedMore: return false;
    case LineReader::Status::kOutOfMemory: reset(StreamReset::kOutOfMemory, now); return true;
    case LineReader::Status::kTooLong: return fail(ProtocolError::kLineTooLong, now);
    case LineReader::Status::kBareCr:
    case LineReader::Status::kBareLf: return fail(error_of(status), now);
    case LineReader::Status::kLine: break;
  }
  void* memory = arena_->allocate(sizeof(RequestHead), alignof(RequestHead));
  if (memory == nullptr) {
    reset(StreamReset::kOutOfMemory, now);
    return true;
  }
  head_ = ::new (memory) RequestHead(*arena_, settings_.max_header_count + kSpareHeaderFields);
  const ProtocolError error = accept_request_line();
  if (error != ProtocolError::kNone) return fail(error, now);
  // The request line counts towards the head.
  const std::size_t line_bytes = lines_.line().size() + 2;
  lines_.set_budget(settings_.max_headers_bytes - line_bytes);
  section_.start(FieldSection::Kind::kHead, head_->headers);
  reading_ = Reading::kFields;
  return true;
}

ProtocolError ServerCodec::accept_request_line() {
  const std::string_view text(lines_.line().data(), lines_.line().size());
  const auto line = parse_request_line(text, settings_);
  // Even the answer to a broken request should obey the rules of HEAD.
  request_.is_head = text.starts_with("HEAD ");
  if (!line) return line.error();
  request_.is_connect = line->form == TargetForm::kAuthority;
  head_->method = line->method;
  head_->version = line->version;
  head_->scheme = line->scheme;
  head_->authority = line->authority;
  head_->path = line->path;
  if (line->needs_slash) {
    head_->path = arena_->concat({"/", line->path});
    if (head_->path.data() == nullptr) return ProtocolError::kLineTooLong;
  }
  return ProtocolError::kNone;
}

bool ServerCodec::read_fields(stream::Chain& input, Instant now) {
  switch (section_.read(lines_, input, settings_)) {
    case FieldSection::Status::kNeedMore: return false;
    case FieldSection::Status::kOutOfMemory: reset(StreamReset::kOutOfMemory, now); return true;
    case FieldSection::Status::kError: return fail(section_.error(), now);
    case FieldSection::Status::kDone: break;
  }
  const ProtocolError error = accept_head();
  if (error != ProtocolError::kNone) return fail(error, now);
  return deliver_request(now);
}

ProtocolError ServerCodec::accept_head() {
  RequestHead& head = *head_;
  const ProtocolError host_error = take_host(head, !head.authority.empty());
  if (host_error != ProtocolError::kNone) return host_error;
  const auto framing = frame_request(head, request_.is_connect);
  if (!framing) return framing.error();
  decoder_.start(*framing);
  const bool has_body = framing->kind != BodyKind::kNone;
  close_after_response_ = !is_persistent(head.version, head.headers);
  if (request_.is_connect) {
    head.upgrade = "CONNECT";
  } else if (!has_body) {
    head.upgrade = requested_upgrade(head);
  }
  reading_ = has_body ? Reading::kBody : head.upgrade.empty() ? Reading::kComplete : Reading::kAwaitSwitch;
  return ProtocolError::kNone;
}

bool ServerCodec::deliver_request(Instant now) {
  const StreamId stream = stream_;
  events_.on_request(stream, *head_, reading_ == Reading::kComplete, now);
  if (stream_ == stream && reading_ == Reading::kAwaitSwitch && !request_.is_connect && head_->upgrade.empty()) declined_ = true;
  return true;
}

bool ServerCodec::read_body(stream::Chain& input, Instant now) {
  stream::Chain data(output_.pool());
  const StreamId stream = stream_;
  const BodyDecoder::Status status = decoder_.decode(input, data, settings_.receive_window_bytes - unconsumed_);
  bool ended = status == BodyDecoder::Status::kEnd;
  if (status == BodyDecoder::Status::kTrailers) {
    // The usual end, no trailers, is taken with the data before it.
    std::uint8_t next[2];
    ended = input.copy_out(0, next) == 2 && next[0] == '\r' && next[1] == '\n';
    if (ended) input.remove_prefix(2);
  }
  if (ended) reading_ = Reading::kComplete;
  if (status == BodyDecoder::Status::kTrailers && !ended) {
    void* memory = arena_->allocate(sizeof(HeaderMap), alignof(HeaderMap));
    if (memory == nullptr) {
      reset(StreamReset::kOutOfMemory, now);
      return true;
    }
    trailers_ = ::new (memory) HeaderMap(*arena_, settings_.max_header_count + kSpareHeaderFields);
    section_.start(FieldSection::Kind::kTrailers, *trailers_);
    lines_.set_budget(settings_.max_headers_bytes);
    reading_ = Reading::kTrailers;
  }
  if (!data.empty() || ended) {
    unconsumed_ += data.size();
    events_.on_request_data(stream, data, ended, now);
    if (stream_ != stream) return true;
  }
  if (status == BodyDecoder::Status::kOutOfMemory) {
    reset(StreamReset::kOutOfMemory, now);
    return true;
  }
  if (status == BodyDecoder::Status::kError) return fail(decoder_.error(), now);
  if (status == BodyDecoder::Status::kWindowFull) return unconsumed_ < settings_.receive_window_bytes;
  return status != BodyDecoder::Status::kNeedMore;
}

bool ServerCodec::read_trailers(stream::Chain& input, Instant now) {
  switch (section_.read(lines_, input, settings_)) {
    case FieldSection::Status::kNeedMore: return false;
    case FieldSection::Status::kOutOfMemory: reset(StreamReset::kOutOfMemory, now); return true;
    case FieldSection::Status::kError: return fail(section_.error(), now);
    case FieldSection::Status::kDone: break;
  }
  reading_ = Reading::kComplete;
  if (settings_.enable_trailers && trailers_->size() > 0) {
    events_.on_request_trailers(stream_, *trailers_, now);
  } else {
    stream::Chain nothing(output_.pool());
    events_.on_request_data(stream_, nothing, true, now);
  }
  return true;
}

}  // namespace millrace::http::http1
