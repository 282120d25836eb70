// The other side of an HTTP/2 connection in the hands of a test: nghttp2's server, bytes in, bytes out.
#pragma once

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::test {

class Http2Server {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Request {
    Fields fields;  ///< pseudo fields too, trailers behind them
    std::string body;
    bool ended = false;

    [[nodiscard]] std::string field(std::string_view name) const {
      for (const auto& [key, value] : fields) {
        if (key == name) return value;
      }
      return "(none)";
    }
  };

  /// `window`: SETTINGS_INITIAL_WINDOW_SIZE, how much of a body is taken; it grows by itself.
  explicit Http2Server(std::uint32_t window = 65'535) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
  }
  ~Http2Server() { nghttp2_session_del(session_); }
  Http2Server(const Http2Server&) = delete;
  Http2Server& operator=(const Http2Server&) = delete;

  /// Takes what the client has sent, and returns what goes back.
  std::string receive(std::string_view bytes) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    EXPECT_EQ(nghttp2_session_mem_recv(session_, data, bytes.size()), static_cast<ssize_t>(bytes.size()));
    return output();
  }
  std::string output() {
    std::string out;
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size = 1; size > 0;) {
      size = nghttp2_session_mem_send(session_, &bytes);
      if (size > 0) out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
    return out;
  }

  void informational(std::int32_t stream, const Fields& fields) { submit_headers(stream, fields, NGHTTP2_FLAG_NONE); }
  /// Head and nothing else.
  void respond(std::int32_t stream, const Fields& fields) { submit_headers(stream, fields, NGHTTP2_FLAG_END_STREAM); }
  /// `trailers`: they end the message; none: the body does.
  void respond(std::int32_t stream, const Fields& fields, std::string body, Fields trailers = {}) {
    auto& answer = answers_[stream] = {std::move(body), std::move(trailers), false};
    const nghttp2_data_provider provider{.source = {.ptr = &answer}, .read_callback = read_body};
    const auto list = nv(fields);
    EXPECT_EQ(nghttp2_submit_response(session_, stream, list.data(), list.size(), &provider), 0);
  }
  /// A head and a part of a body that goes on for ever.
  void begin_response(std::int32_t stream, const Fields& fields, std::string part) {
    respond(stream, fields, std::move(part));
    answers_[stream].endless = true;
  }
  void reset(std::int32_t stream, std::uint32_t error = NGHTTP2_CANCEL) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error);
  }
  void go_away(std::int32_t last_stream, std::uint32_t error = NGHTTP2_NO_ERROR) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_stream, error, nullptr, 0);
  }
  void ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

  std::map<std::int32_t, Request> requests;
  std::map<std::int32_t, std::uint32_t> closed;  ///< by which error code
  std::function<void(std::int32_t)> on_request;  ///< one has ended
  std::size_t pongs = 0;
  std::uint32_t goaway = NGHTTP2_NO_ERROR;  ///< what the client has said last

 private:
  struct Answer {
    std::string rest;
    Fields trailers;
    bool endless = false;
  };

  static Http2Server& self(void* user) { return *static_cast<Http2Server*>(user); }
  static std::vector<nghttp2_nv> nv(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
      list.push_back({.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                      .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),
                      .namelen = name.size(),
                      .valuelen = value.size(),
                      .flags = NGHTTP2_NV_FLAG_NONE});
    }
    return list;
  }
  void submit_headers(std::int32_t stream, const Fields& fields, std::uint8_t flags) {
    const auto list = nv(fields);
    EXPECT_EQ(nghttp2_submit_headers(session_, flags, stream, nullptr, list.data(), list.size(), nullptr), 0);
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    self(user).requests[frame->hd.stream_id].fields.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                                                                 std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data, std::size_t size,
                     void* user) {
    self(user).requests[stream].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Server& server = self(user);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++server.pongs;
    if (frame->hd.type == NGHTTP2_GOAWAY) server.goaway = frame->goaway.error_code;
    const bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    server.requests[frame->hd.stream_id].ended = true;
    if (server.on_request) server.on_request(frame->hd.stream_id);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t error, void* user) {
    self(user).closed[stream] = error;
    return 0;
  }
  static ssize_t read_body(nghttp2_session* session, std::int32_t stream, std::uint8_t* out, std::size_t room,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    Answer& answer = *static_cast<Answer*>(source->ptr);
    const std::size_t size = answer.rest.copy(reinterpret_cast<char*>(out), room);
    answer.rest.erase(0, size);
    if (!answer.rest.empty()) return static_cast<ssize_t>(size);
    if (answer.endless) return size == 0 ? ssize_t{NGHTTP2_ERR_DEFERRED} : static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!answer.trailers.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto list = nv(answer.trailers);
      nghttp2_submit_trailer(session, stream, list.data(), list.size());
    }
    return static_cast<ssize_t>(size);
  }

  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Answer> answers_;
};

}  // namespace millrace::test
