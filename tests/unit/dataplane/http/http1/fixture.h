// One side of an HTTP/1 connection under test: text in, under any split; events and text out.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http1/server_codec.h"
#include "nic/heap_pool.h"
#include "tests/support/http_recorder.h"

namespace millrace::http::http1::testing {

using http::testing::RecordingClient;
using http::testing::RecordingServer;
using http::testing::text_of;
using http::testing::with_events;

inline Settings lenient() {
  Settings settings;
  settings.accept_http_10 = true;
  settings.enable_trailers = true;
  return settings;
}

struct Buffers {
  nic::HeapPool packets{100'000};
  stream::ChainPool chains{packets, 0, 1'000'000};
};

template <typename CodecType, typename Events>
class Side {
 public:
  explicit Side(const Settings& settings = lenient()) : codec(settings, buffers_.chains, events), input_(buffers_.chains) {
    events.codec = &codec;
  }

  /// `text` arrives as one segment of exactly its size; what the codec has left before stays in front of it.
  void receive(std::string_view text) {
    if (!text.empty()) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
      ASSERT_TRUE(input_.append(nic::Slice(buffers_.packets.copy_of({bytes, text.size()}))));
    }
    with_events(events, [this] { codec.receive(input_, Instant()); });
  }
  void end_of_input() {
    with_events(events, [this] { codec.end_of_input(Instant()); });
  }
  /// Takes up to `limit` bytes of the output and says so to the codec.
  std::string drain(std::size_t limit = std::string::npos) {
    std::string text = text_of(codec.output());
    text.resize(std::min(limit, text.size()));
    codec.output().remove_prefix(text.size());
    with_events(events, [this] { codec.output_drained(Instant()); });
    return text;
  }
  [[nodiscard]] std::size_t left_in_input() const { return input_.size(); }
  stream::Chain chain(std::string_view text) {
    stream::Chain made(buffers_.chains);
    EXPECT_TRUE(made.append_copy(text));
    return made;
  }
  [[nodiscard]] bool send_data(StreamId stream, std::string_view text, bool end_stream) {
    stream::Chain data = chain(text);
    return codec.send_data(stream, data, end_stream);
  }
  const http::testing::Seen& seen(StreamId stream) { return events.streams[stream]; }

 private:
  Buffers buffers_;

 public:
  Events events;
  CodecType codec;

 private:
  stream::Chain input_;
};

class Server : public Side<ServerCodec, RecordingServer> {
 public:
  using Fields = std::vector<std::pair<std::string_view, std::string_view>>;
  using Side::Side;

  bool respond(StreamId stream, std::uint16_t status, const Fields& fields, bool end_stream) {
    http::testing::ArenaMemory memory;
    ResponseHead head(memory.arena, 100);
    head.status = status;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
    return codec.send_response(stream, head, end_stream);
  }
  /// Answers every request with an empty 200 once it is complete, every error with its status.
  void answer_all() {
    events.on_end = [this](StreamId stream) { EXPECT_TRUE(respond(stream, 200, {}, true)); };
    events.on_error = [this](StreamId stream, ProtocolError error) {
      if (status_of(error) != 0) {
        EXPECT_TRUE(respond(stream, status_of(error), {}, true));
      }
    };
  }
};

class Client : public Side<ClientCodec, RecordingClient> {
 public:
  using Fields = Server::Fields;
  using Side::Side;

  StreamId request(std::string_view method, const Fields& fields = {}, bool end_stream = true, std::string_view upgrade = {}) {
    http::testing::ArenaMemory memory;
    RequestHead head(memory.arena, 100);
    head.method = method;
    head.authority = "h:80";
    head.path = "/p";
    head.upgrade = upgrade;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
    const StreamId stream = events.open(codec);
    if (stream != 0) {
      EXPECT_TRUE(codec.send_request(stream, head, end_stream));
    }
    return stream;
  }
};

/// Runs `run(segments)` for `text` whole, in every two parts, and byte by byte; every answer must be the same.
template <typename Run>
std::string same_under_every_split(std::string_view text, Run&& run) {
  const std::string whole = run(std::vector<std::string_view>{text});
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    const std::string split = run(std::vector<std::string_view>{text.substr(0, cut), text.substr(cut)});
    EXPECT_EQ(split, whole) << "cut at " << cut << " of: " << text;
    if (split != whole) return whole;
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
  EXPECT_EQ(run(bytes), whole) << "byte by byte: " << text;
  return whole;
}

}  // namespace millrace::http::http1::testing
