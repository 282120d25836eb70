// Users of codecs that write down what they are told, and fail the test at once on any event that the contract of
// dataplane/http/codec.h forbids: out of place, nested, for a dead stream, or in the wrong order.
// Each stream's arena is a heap block of its own that is freed as early as the contract allows, so that AddressSanitizer sees
// a codec that touches it later.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "dataplane/http/codec.h"

namespace millrace::http::testing {

struct ArenaMemory {
  ChunkPool chunks{1, 16, 8};
  Arena arena{chunks};
};

inline std::string text_of(const stream::Chain& chain) {
  std::string text(chain.size(), '\0');
  chain.copy_out(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return text;
}

inline std::string text_of(const HeaderMap& headers) {
  std::string text;
  for (const HeaderField& field : headers.fields()) {
    EXPECT_EQ(field.id, header_id(field.name));
    text.append(field.name).append(": ").append(field.value).append("\n");
  }
  return text;
}

/// One stream as its user has seen it.
struct Seen {
  std::string head;
  std::string informational;
  std::string body;
  std::string trailers;
  bool has_head = false;
  bool ended = false;
  bool complete = false;
  ProtocolError error = ProtocolError::kNone;
  bool was_reset = false;
  StreamReset reset = StreamReset::kPeerReset;
  int credits = 0;

  [[nodiscard]] bool alive() const { return !complete && !was_reset; }
  [[nodiscard]] std::string render() const {
    std::string text = informational + head + (ended ? "[end]" : "") + (complete ? "[complete]" : "");
    if (!body.empty()) text += "\nbody: " + body;
    if (!trailers.empty()) text += "\ntrailers: " + trailers;
    if (error != ProtocolError::kNone) text += std::string("\nerror: ") + to_text(error);
    if (was_reset) text += "\nreset " + std::to_string(static_cast<int>(reset));
    return text;
  }
};

/// What both sides have in common.
class Recorder {
 public:
  std::map<StreamId, Seen> streams;
  std::map<StreamId, std::unique_ptr<ArenaMemory>> memory;
  Codec* codec = nullptr;
  bool auto_consume = true;
  bool events_allowed = false;  ///< the driver sets it around receive(), end_of_input() and output_drained()
  bool inside_event = false;

  /// The stream whose user gives it up: the arena goes at once.
  void reset_stream(StreamId stream) {
    codec->reset_stream(stream);
    streams[stream].was_reset = true;
    memory.erase(stream);
  }
  [[nodiscard]] std::string render() const {
    std::string text;
    for (const auto& [id, seen] : streams) text += "#" + std::to_string(id) + " " + seen.render() + "\n";
    return text;
  }

 protected:
  class Event {
   public:
    explicit Event(Recorder& recorder) : recorder_(recorder) {
      EXPECT_TRUE(recorder.events_allowed) << "an event out of a call that must not cause one";
      EXPECT_FALSE(recorder.inside_event) << "nested events";
      recorder.inside_event = true;
    }
    ~Event() { recorder_.inside_event = false; }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

   private:
    Recorder& recorder_;
  };

  Seen& live(StreamId stream) {
    EXPECT_TRUE(streams.contains(stream)) << "an event for a stream that never began";
    Seen& seen = streams[stream];
    EXPECT_TRUE(seen.alive()) << "an event for dead stream " << stream;
    return seen;
  }
  Seen& with_head(StreamId stream) {
    Seen& seen = live(stream);
    EXPECT_TRUE(seen.has_head) << "an event that needs a head before it";
    EXPECT_FALSE(seen.ended) << "an event behind the end of the message";
    return seen;
  }
  void take_data(StreamId stream, stream::Chain& data, bool end_stream) {
    Seen& seen = with_head(stream);
    EXPECT_TRUE(end_stream || !data.empty()) << "an empty data event";
    seen.body += text_of(data);
    seen.ended = end_stream;
    const std::size_t bytes = data.size();
    data.clear();
    if (auto_consume) codec->consumed(stream, bytes);
  }
  void take_reset(StreamId stream, StreamReset reason, ProtocolError error) {
    Seen& seen = live(stream);
    seen.was_reset = true;
    seen.reset = reason;
    if (error != ProtocolError::kNone) seen.error = error;
    memory.erase(stream);
  }
  void take_complete(StreamId stream) {
    Seen& seen = live(stream);
    EXPECT_TRUE(seen.ended || seen.error != ProtocolError::kNone) << "complete before the peer's message was";
    seen.complete = true;
    memory.erase(stream);
  }
};

class RecordingServer final : public Recorder, public ServerEvents {
 public:
  // What a test does from inside an event, after it was written down.
  std::function<void(StreamId, RequestHead&, bool end_stream)> on_head;
  std::function<void(StreamId, bool end_stream)> on_data;
  std::function<void(StreamId)> on_end;  ///< once per request, by whatever event it ended
  std::function<void(StreamId, ProtocolError)> on_error;
  std::function<void(StreamId)> on_complete;
  std::function<void(StreamId)> on_credit;
  bool refuse = false;

  Arena* on_stream_begin(StreamId stream, Instant) override {
    Event event(*this);
    EXPECT_FALSE(streams.contains(stream)) << "stream ids are unique";
    EXPECT_TRUE(streams.empty() || streams.rbegin()->first < stream) << "stream ids grow";
    if (refuse) return nullptr;
    streams[stream];
    return &(memory[stream] = std::make_unique<ArenaMemory>())->arena;
  }
  void on_request(StreamId stream, RequestHead& head, bool end_stream, Instant) override {
    Event event(*this);
    Seen& seen = live(stream);
    EXPECT_FALSE(seen.has_head);
    seen.has_head = true;
    seen.ended = end_stream;
    const std::string version = head.version == Version::kHttp10 ? " 1.0" : "";
    seen.head = std::string(head.method) + " " + std::string(head.scheme) + "|" + std::string(head.authority) + "|" +
                std::string(head.path) + version + (head.upgrade.empty() ? "" : " upgrade=" + std::string(head.upgrade)) + "\n" +
                text_of(head.headers);
    if (on_head) on_head(stream, head, end_stream);
    if (end_stream && on_end) on_end(stream);
  }
  void on_request_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    Event event(*this);
    take_data(stream, data, end_stream);
    if (on_data) on_data(stream, end_stream);
    if (end_stream && on_end) on_end(stream);
  }
  void on_request_trailers(StreamId stream, HeaderMap& trailers, Instant) override {
    Event event(*this);
    Seen& seen = with_head(stream);
    seen.trailers = text_of(trailers);
    seen.ended = true;
    if (on_end) on_end(stream);
  }
  void on_request_error(StreamId stream, ProtocolError error, Instant) override {
    Event event(*this);
    Seen& seen = live(stream);
    EXPECT_EQ(seen.error, ProtocolError::kNone);
    EXPECT_FALSE(seen.ended);
    seen.error = error;
    if (on_error) on_error(stream, error);
  }
  void on_stream_reset(StreamId stream, StreamReset reason, Instant) override {
    Event event(*this);
    take_reset(stream, reason, ProtocolError::kNone);
  }
  void on_send_credit(StreamId stream, Instant) override {
    Event event(*this);
    ++live(stream).credits;
    if (on_credit) on_credit(stream);
  }
  void on_stream_complete(StreamId stream, Instant) override {
    Event event(*this);
    take_complete(stream);
    if (on_complete) on_complete(stream);
  }
};

class RecordingClient final : public Recorder, public ClientEvents {
 public:
  std::function<void(StreamId, ResponseHead&, bool end_stream)> on_head;
  std::function<void(StreamId, bool end_stream)> on_data;
  std::function<void(StreamId)> on_complete;
  std::function<void(StreamId)> on_credit;

  /// Opens a stream of `client` with an arena of its own; 0 when there is none.
  StreamId open(ClientCodec& client) {
    auto fresh = std::make_unique<ArenaMemory>();
    const StreamId stream = client.open_stream(fresh->arena);
    EXPECT_FALSE(streams.contains(stream)) << "stream ids are unique";
    if (stream == 0) return 0;
    memory[stream] = std::move(fresh);
    streams[stream];
    return stream;
  }
  void on_informational(StreamId stream, ResponseHead& head, Instant) override {
    Event event(*this);
    Seen& seen = live(stream);
    EXPECT_FALSE(seen.has_head);
    seen.informational += std::to_string(head.status) + " " + text_of(head.headers) + ";";
  }
  void on_response(StreamId stream, ResponseHead& head, bool end_stream, Instant) override {
    Event event(*this);
    Seen& seen = live(stream);
    EXPECT_FALSE(seen.has_head);
    seen.has_head = true;
    seen.ended = end_stream;
    seen.head = std::to_string(head.status) + "\n" + text_of(head.headers);
    if (on_head) on_head(stream, head, end_stream);
  }
  void on_response_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    Event event(*this);
    take_data(stream, data, end_stream);
    if (on_data) on_data(stream, end_stream);
  }
  void on_response_trailers(StreamId stream, HeaderMap& trailers, Instant) override {
    Event event(*this);
    Seen& seen = with_head(stream);
    seen.trailers = text_of(trailers);
    seen.ended = true;
  }
  void on_stream_reset(StreamId stream, StreamReset reason, ProtocolError error, Instant) override {
    Event event(*this);
    take_reset(stream, reason, error);
  }
  void on_send_credit(StreamId stream, Instant) override {
    Event event(*this);
    ++live(stream).credits;
    if (on_credit) on_credit(stream);
  }
  void on_stream_complete(StreamId stream, Instant) override {
    Event event(*this);
    take_complete(stream);
    if (on_complete) on_complete(stream);
  }
};

/// Makes one of the three calls that may cause events.
template <typename Call>
void with_events(Recorder& recorder, Call&& call) {
  recorder.events_allowed = true;
  call();
  recorder.events_allowed = false;
}

}  // namespace millrace::http::testing
