// nghttp2 calls back from inside nghttp2_session_mem_recv() (what the peer has sent) and nghttp2_session_mem_send() (what we
// send, and that a stream is over with it). What is received goes on to the user at once; the end of a stream is noted, and told
// when neither of the two is under way.
#include "dataplane/http/http2/sequential_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <new>
#include <span>
#include <utility>

#include "dataplane/base/assert.h"

namespace millrace::http::http2 {
namespace {

constexpr std::size_t kFieldOverheadBytes = 32;  // RFC 9113 6.5.2
constexpr std::size_t kPseudoFields = 4;
constexpr std::size_t kMaxInformationalResponses = 32;
constexpr std::size_t kMaxContinuations = 8;  // of one head
constexpr std::size_t kFrameHeaderBytes = 9;
constexpr std::string_view kNotInHttp2[] = {"connection",        "host",   "keep-alive", "proxy-connection",
                                            "transfer-encoding", "upgrade"};

const std::uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

nghttp2_nv field(std::string_view name, std::string_view value) {
  // nghttp2 copies both; its type is for those who let it write.
  return {.name = const_cast<std::uint8_t*>(bytes_of(name)),
          .value = const_cast<std::uint8_t*>(bytes_of(value)),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NONE};
}

bool can_be_sent(const HeaderField& candidate) {
  if (std::ranges::find(kNotInHttp2, candidate.name) != std::end(kNotInHttp2)) return false;
  if (candidate.id == HeaderId::kTe && candidate.value != "trailers") return false;
  return nghttp2_check_header_name(bytes_of(candidate.name), candidate.name.size()) != 0 &&
         nghttp2_check_header_value(bytes_of(candidate.value), candidate.value.size()) != 0;
}

bool can_be_sent(const RequestHead& head) {
  return nghttp2_check_method(bytes_of(head.method), head.method.size()) != 0 &&
         nghttp2_check_authority(bytes_of(head.authority), head.authority.size()) != 0 &&
         nghttp2_check_path(bytes_of(head.path), head.path.size()) != 0;
}

// Fields on their way out; they have room for all of `map` behind what is there already.
std::size_t add_fields(const HeaderMap& map, std::span<nghttp2_nv> out, std::size_t used) {
  for (const HeaderField& candidate : map.fields()) {
    if (can_be_sent(candidate)) out[used++] = field(candidate.name, candidate.value);
  }
  return used;
}

}  // namespace

struct SequentialClient::Library {
  static SequentialClient& self(void* user) { return *static_cast<SequentialClient*>(user); }
  static bool concerns(const SequentialClient& client, std::int32_t wire_stream) {
    return wire_stream != 0 && wire_stream == client.wire_stream_ && !client.failure_ && !client.closed_;
  }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* user) {
    SequentialClient& client = self(user);
    client.continuations_ = header->type == NGHTTP2_CONTINUATION ? client.continuations_ + 1 : 0;
    return client.continuations_ > kMaxContinuations ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    SequentialClient& client = self(user);
    if (concerns(client, frame->hd.stream_id)) client.begin_section();
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    SequentialClient& client = self(user);
    if (concerns(client, frame->hd.stream_id)) client.take_field(text_of(name, name_size), text_of(value, value_size));
    return 0;
  }

  static int on_invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                               const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
    SequentialClient& client = self(user);
    if (concerns(client, frame->hd.stream_id)) client.fail({StreamReset::kProtocolError, ProtocolError::kBadHeaderValue});
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    SequentialClient& client = self(user);
    if (frame->hd.type == NGHTTP2_GOAWAY) client.note_goaway(frame->goaway.error_code);
    if (!concerns(client, frame->hd.stream_id)) return 0;
    const bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: client.end_section(end_stream); break;
      case NGHTTP2_DATA:
        if (end_stream) client.end_data();
        break;
      case NGHTTP2_RST_STREAM: client.reset_by_peer_ = true; break;
      default: break;
    }
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t stream, const std::uint8_t* data, std::size_t size,
                     void* user) {
    SequentialClient& client = self(user);
    if (concerns(client, stream)) {
      client.take_data({data, size});
      return 0;
    }
    return nghttp2_session_consume_connection(session, size);
  }

  static int on_stream_close(nghttp2_session*, std::int32_t stream, std::uint32_t error_code, void* user) {
    SequentialClient& client = self(user);
    if (concerns(client, stream)) client.closed_ = error_code;
    return 0;
  }

  static ssize_t read_body(nghttp2_session* session, std::int32_t stream, std::uint8_t* out, std::size_t room,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    SequentialClient& client = self(source->ptr);
    const std::size_t size = client.body_.copy_out(0, {out, room});
    client.body_.remove_prefix(size);
    if (client.body_.empty() && client.body_complete_) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (client.own_trailers_ != nullptr) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!submit_trailers(session, stream, *client.own_trailers_)) return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
    } else if (size == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
  }

  static bool submit_trailers(nghttp2_session* session, std::int32_t stream, const HeaderMap& trailers) {
    const std::span<nghttp2_nv> fields = trailers.arena().make_array<nghttp2_nv>(trailers.size());
    if (fields.size() < trailers.size()) return false;
    return nghttp2_submit_trailer(session, stream, fields.data(), add_fields(trailers, fields, 0)) == 0;
  }

  static nghttp2_session* make_session(SequentialClient& client) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session* session = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
      nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
      nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
      nghttp2_option_set_no_auto_window_update(option, 1);
      nghttp2_option_set_no_closed_streams(option, 1);
      // It counts the pieces in which the headers of these frames arrive; on_begin_frame() counts the frames.
      nghttp2_option_set_max_continuations(option, kMaxContinuations * kFrameHeaderBytes);
      nghttp2_session_client_new2(&session, callbacks, &client, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
  }
};

void SequentialClient::FreeSession::operator()(nghttp2_session* session) const { nghttp2_session_del(session); }

SequentialClient::SequentialClient(const Settings& settings, stream::ChainPool& pool, ClientEvents& events)
    : settings_(settings), events_(events), session_(Library::make_session(*this)), output_(pool), body_(pool) {
  MR_ASSERT(settings.max_header_count <= limits::kMaxHeaderCount && settings.output_limit_bytes > 0);
  MR_ASSERT(settings.receive_window_bytes > 0 && settings.receive_window_bytes <= NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE);
  const std::array<nghttp2_settings_entry, 3> entries = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(settings.receive_window_bytes)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(settings.max_headers_bytes)},
  }};
  if (session_ == nullptr || nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, entries.data(), entries.size()) != 0)
    dead_ = true;
}

SequentialClient::~SequentialClient() = default;

// --- what comes in

void SequentialClient::receive(stream::Chain& input, Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  now_ = now;
  input.for_each([this](std::span<const std::uint8_t> part) {
    if (!dead_ && nghttp2_session_mem_recv(session_.get(), part.data(), part.size()) < 0) lose();
  });
  input.clear();
  settle(now);
  busy_ = false;
}

void SequentialClient::end_of_input(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  dead_ = true;
  if (stream_ != 0 && !failure_ && !closed_) {
    failure_ = response_begun_ ? Failure{StreamReset::kPeerReset, ProtocolError::kTruncated}
                               : Failure{StreamReset::kConnectionEnded, ProtocolError::kNone};
  }
  settle(now);
  busy_ = false;
}

void SequentialClient::begin_section() {
  section_bytes_ = 0;
  if (response_begun_) {
    void* memory = arena_->allocate(sizeof(HeaderMap), alignof(HeaderMap));
    trailers_ = memory == nullptr ? nullptr : ::new (memory) HeaderMap(*arena_, settings_.max_header_count);
  } else {
    void* memory = arena_->allocate(sizeof(ResponseHead), alignof(ResponseHead));
    head_ = memory == nullptr ? nullptr : ::new (memory) ResponseHead(*arena_, settings_.max_header_count);
    if (head_ != nullptr) head_->version = Version::kHttp2;
  }
  if (head_ == nullptr && trailers_ == nullptr) fail({StreamReset::kOutOfMemory, ProtocolError::kNone});
}

void SequentialClient::take_field(std::string_view name, std::string_view value) {
  section_bytes_ += name.size() + value.size() + kFieldOverheadBytes;
  if (section_bytes_ > settings_.max_headers_bytes) return fail({StreamReset::kProtocolError, ProtocolError::kHeadersTooLarge});
  if (name == ":status") {  // three digits, as nghttp2 has seen to
    std::from_chars(value.data(), value.data() + value.size(), head_->status);
    return;
  }
  HeaderMap& fields = trailers_ == nullptr ? head_->headers : *trailers_;
  if (fields.size() == settings_.max_header_count) return fail({StreamReset::kProtocolError, ProtocolError::kTooManyHeaders});
  if (!fields.add_copy(name, value)) fail({StreamReset::kOutOfMemory, ProtocolError::kNone});
}

void SequentialClient::end_section(bool end_stream) {
  if (trailers_ != nullptr) {
    response_complete_ = true;
    return events_.on_response_trailers(stream_, *std::exchange(trailers_, nullptr), now_);
  }
  ResponseHead& head = *std::exchange(head_, nullptr);
  if (head.status >= 200) {
    response_begun_ = true;
    response_complete_ = end_stream;
    return events_.on_response(stream_, head, end_stream, now_);
  }
  if (++informational_ > kMaxInformationalResponses) return fail({StreamReset::kProtocolError, ProtocolError::kUnexpectedData});
  events_.on_informational(stream_, head, now_);
}

void SequentialClient::take_data(std::span<const std::uint8_t> bytes) {
  stream::Chain data(output_.pool());
  unconsumed_ += bytes.size();
  if (!data.append_copy(bytes)) return fail({StreamReset::kOutOfMemory, ProtocolError::kNone});
  events_.on_response_data(stream_, data, false, now_);
}

void SequentialClient::end_data() {
  response_complete_ = true;
  stream::Chain nothing(output_.pool());
  events_.on_response_data(stream_, nothing, true, now_);
}

// What is open goes on where the peer only wants no more; nghttp2 has closed it where the peer will not look at it.
void SequentialClient::note_goaway(std::uint32_t error_code) {
  draining_ = true;
  if (error_code == NGHTTP2_NO_ERROR || stream_ == 0 || closed_) return;
  fail({StreamReset::kConnectionEnded, ProtocolError::kNone});
}

void SequentialClient::fail(Failure failure) {
  if (failure_) return;
  failure_ = failure;
  if (wire_stream_ != 0) (void)nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, wire_stream_, NGHTTP2_INTERNAL_ERROR);
}

// --- what goes out

bool SequentialClient::can_open_stream() const {
  return stream_ == 0 && !dead_ && !draining_ && nghttp2_session_check_request_allowed(session_.get()) != 0;
}

bool SequentialClient::wants_close() const { return stream_ == 0 && (dead_ || draining_); }

StreamId SequentialClient::open_stream(Arena& arena) {
  if (!can_open_stream()) return 0;
  arena_ = &arena;
  return stream_ = ++last_stream_;
}

std::size_t SequentialClient::send_credit(StreamId stream) const {
  const std::size_t waiting = body_.size() + output_.size();
  if (!is_live(stream) || body_complete_ || waiting >= settings_.output_limit_bytes) return 0;
  return settings_.output_limit_bytes - waiting;
}

bool SequentialClient::send_request(StreamId stream, const RequestHead& head, bool end_stream) {
  if (!is_live(stream) || dead_) return true;
  MR_ASSERT(wire_stream_ == 0);
  const std::span<nghttp2_nv> fields = arena_->make_array<nghttp2_nv>(kPseudoFields + head.headers.size());
  if (fields.empty() || !can_be_sent(head)) return false;
  fields[0] = field(":method", head.method);
  fields[1] = field(":scheme", head.scheme.empty() ? "http" : head.scheme);
  fields[2] = field(":authority", head.authority);
  fields[3] = field(":path", head.path);
  const std::size_t count = add_fields(head.headers, fields, kPseudoFields);
  const nghttp2_data_provider body{.source = {.ptr = this}, .read_callback = Library::read_body};
  const std::int32_t number =
      nghttp2_submit_request(session_.get(), nullptr, fields.data(), count, end_stream ? nullptr : &body, nullptr);
  if (number < 0) return false;
  wire_stream_ = number;
  body_complete_ = end_stream;
  pump_unless_busy();
  return true;
}

bool SequentialClient::send_data(StreamId stream, stream::Chain& data, bool end_stream) {
  if (!is_live(stream) || body_complete_ || dead_) {
    data.clear();
    return true;
  }
  MR_ASSERT(wire_stream_ != 0);
  if (!data.move_prefix(std::min(data.size(), send_credit(stream)), body_)) return false;
  body_complete_ = end_stream && data.empty();
  starved_ |= send_credit(stream) == 0 && !body_complete_;
  go_on_sending();
  return true;
}

bool SequentialClient::send_trailers(StreamId stream, const HeaderMap& trailers) {
  if (!is_live(stream) || body_complete_ || dead_) return true;
  MR_ASSERT(wire_stream_ != 0);
  void* memory = arena_->allocate(sizeof(HeaderMap), alignof(HeaderMap));
  if (memory == nullptr) return false;
  auto& copy = *::new (memory) HeaderMap(*arena_, limits::kMaxHeaderCount);
  for (const HeaderField& each : trailers.fields()) {
    if (!copy.add_copy(each.name, each.value)) return false;
  }
  own_trailers_ = &copy;
  body_complete_ = true;
  go_on_sending();
  return true;
}

void SequentialClient::go_on_sending() {
  (void)nghttp2_session_resume_data(session_.get(), wire_stream_);  // an error says that it did not wait
  pump_unless_busy();
}

void SequentialClient::consumed(StreamId stream, std::size_t bytes) {
  if (!is_live(stream) || dead_) return;
  MR_ASSERT(bytes <= unconsumed_);
  unconsumed_ -= bytes;
  (void)nghttp2_session_consume(session_.get(), wire_stream_, bytes);
  pump_unless_busy();
}

void SequentialClient::reset_stream(StreamId stream) {
  if (!is_live(stream)) return;
  if (wire_stream_ != 0 && !dead_)
    (void)nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, wire_stream_, NGHTTP2_CANCEL);
  forget_stream();
  pump_unless_busy();
}

void SequentialClient::start_drain() { draining_ = true; }

void SequentialClient::output_drained(Instant now) {
  MR_ASSERT(!busy_);
  busy_ = true;
  now_ = now;
  settle(now);
  if (stream_ != 0 && starved_ && !body_complete_ && body_.size() + output_.size() <= settings_.output_limit_bytes / 2) {
    starved_ = false;
    events_.on_send_credit(stream_, now);
    settle(now);
  }
  busy_ = false;
}

void SequentialClient::pump_unless_busy() {
  if (!busy_) pump();
}

// As much as fits: beyond the limit nghttp2 keeps what it has, and gives up on a peer that makes it keep too much.
void SequentialClient::pump() {
  while (!dead_ && output_.size() < settings_.output_limit_bytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size == 0) return;
    if (size < 0 || !output_.append_copy(std::span(bytes, static_cast<std::size_t>(size)))) lose();
  }
}

// --- how streams end

void SequentialClient::settle(Instant now) {
  do {
    pump();
    const bool over = !dead_ && nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0;
    if (over) lose();
  } while (settle_once(now));
}

// The connection is of no use any more; what was open on it has failed.
void SequentialClient::lose() {
  dead_ = true;
  if (stream_ != 0 && !closed_ && !failure_) failure_ = Failure{StreamReset::kProtocolError, ProtocolError::kBadFrame};
}

bool SequentialClient::settle_once(Instant now) {
  if (stream_ == 0 || (!failure_ && !closed_)) return false;
  const StreamId gone = stream_;
  const bool complete = !failure_ && *closed_ == NGHTTP2_NO_ERROR && response_complete_;
  const Failure failure = failure_ ? *failure_ : failure_of(closed_.value_or(NGHTTP2_NO_ERROR));
  forget_stream();
  if (complete) {
    events_.on_stream_complete(gone, now);
  } else {
    events_.on_stream_reset(gone, failure.reason, failure.error, now);
  }
  return true;
}

SequentialClient::Failure SequentialClient::failure_of(std::uint32_t error_code) const {
  if (error_code == NGHTTP2_REFUSED_STREAM) return {StreamReset::kRefused, ProtocolError::kNone};
  if (reset_by_peer_) return {StreamReset::kPeerReset, ProtocolError::kNone};
  return {StreamReset::kProtocolError, ProtocolError::kBadFrame};
}

void SequentialClient::forget_stream() {
  if (unconsumed_ > 0 && !dead_) (void)nghttp2_session_consume_connection(session_.get(), unconsumed_);
  stream_ = 0;
  wire_stream_ = 0;
  arena_ = nullptr;
  head_ = nullptr;
  trailers_ = nullptr;
  own_trailers_ = nullptr;
  body_.clear();
  body_complete_ = response_begun_ = response_complete_ = reset_by_peer_ = starved_ = false;
  unconsumed_ = informational_ = 0;
  closed_.reset();
  failure_.reset();
}

}  // namespace millrace::http::http2
