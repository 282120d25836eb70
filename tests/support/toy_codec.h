// A toy multiplexed codec that satisfies http/codec.h: it shows that the contract fits more than HTTP/1, and stands in for HTTP/2
// where a test needs several streams at once. Tiny, strict only against its own bugs, and free to use the heap.
//
//   frame: type (1 byte) | flags (1) | stream (2, big endian) | length (2, big endian) | payload
//   head, information, trailers: texts, each with its length (2) before it.  data: bytes.  reset, drain: nothing.
//   window: bytes that the receiver has consumed (2).  Flag 1 ends the sender's half of the stream.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/http/codec.h"

namespace millrace::http::testing {

struct ToySettings {
  std::size_t receive_window_bytes = 4096;
  std::size_t output_limit_bytes = 8192;
};

/// What both sides share: `Base` is http::ServerCodec or http::ClientCodec.
template <typename Base>
class ToyCodec : public Base {
 public:
  ToyCodec(const ToySettings& settings, stream::ChainPool& pool) : settings_(settings), output_(pool), partial_(pool) {}

  void receive(stream::Chain& input, Instant now) override {
    settle(now);
    partial_.append(std::move(input));
    while (partial_.size() >= kHeaderBytes) {
      std::uint8_t header[kHeaderBytes];
      partial_.copy_out(0, header);
      const std::size_t length = static_cast<std::size_t>(header[4] << 8 | header[5]);
      if (partial_.size() < kHeaderBytes + length) break;
      partial_.remove_prefix(kHeaderBytes);
      stream::Chain payload(output_.pool());
      MR_ASSERT(partial_.move_prefix(length, payload));
      on_frame(static_cast<Type>(header[0]), (header[1] & 1) != 0, static_cast<StreamId>(header[2] << 8 | header[3]), payload,
               now);
      settle(now);
    }
  }
  void end_of_input(Instant now) override {
    ended_ = true;
    while (!streams_.empty()) drop(streams_.begin()->first, StreamReset::kConnectionEnded, now);
  }
  stream::Chain& output() override { return output_; }
  void output_drained(Instant now) override {
    settle(now);
    offer_credit(now);
    settle(now);
  }
  std::size_t send_credit(StreamId stream) const override {
    const auto found = streams_.find(stream);
    if (found == streams_.end() || found->second.sent_end || output_.size() >= settings_.output_limit_bytes) return 0;
    return std::min({found->second.window, settings_.output_limit_bytes - output_.size(), std::size_t{60'000}});
  }
  bool send_data(StreamId stream, stream::Chain& data, bool end_stream) override {
    const auto found = streams_.find(stream);
    if (found == streams_.end() || found->second.sent_end) {
      data.clear();
      return true;
    }
    const std::size_t bytes = std::min(send_credit(stream), data.size());
    const bool last = end_stream && bytes == data.size();
    if (bytes > 0 || last) {
      put_header(Type::kData, last, stream, bytes);
      if (!data.move_prefix(bytes, output_)) return false;
    }
    found->second.window -= bytes;
    found->second.sent_end = last;
    note_credit();
    return true;
  }
  bool send_trailers(StreamId stream, const HeaderMap& trailers) override {
    const auto found = streams_.find(stream);
    if (found == streams_.end() || found->second.sent_end) return true;
    std::vector<std::string> texts;
    append_fields(texts, trailers);
    put_texts(Type::kTrailers, true, stream, texts);
    found->second.sent_end = true;
    return true;
  }
  void consumed(StreamId stream, std::size_t bytes) override {
    if (!streams_.contains(stream)) return;
    std::string text{static_cast<char>(bytes >> 8), static_cast<char>(bytes)};
    put_header(Type::kWindow, false, stream, 2);
    MR_ASSERT(output_.append_copy(text));
  }
  void reset_stream(StreamId stream) override {
    if (streams_.erase(stream) > 0) put_header(Type::kReset, false, stream, 0);
  }
  void start_drain() override {
    if (!draining_) put_header(Type::kDrain, false, 0, 0);
    draining_ = true;
  }
  bool wants_close() const override { return ended_ || (draining_ && streams_.empty()); }

 protected:
  enum class Type : std::uint8_t { kHead, kInformation, kData, kTrailers, kReset, kWindow, kDrain };
  struct Stream {
    Arena* arena = nullptr;
    void* head = nullptr;
    std::size_t window = 0;  // what the peer lets us send
    bool received_end = false;
    bool sent_end = false;
    bool starved = false;
  };

  virtual void frame_for_unknown(Type type, bool end, StreamId stream, stream::Chain& payload, Instant now) = 0;
  virtual void head_event(StreamId stream, bool information, bool end, const std::vector<std::string>& texts, Instant now) = 0;
  virtual void data_event(StreamId stream, stream::Chain& data, bool end, Instant now) = 0;
  virtual void trailers_event(StreamId stream, HeaderMap& trailers, Instant now) = 0;
  virtual void reset_event(StreamId stream, StreamReset reason, Instant now) = 0;
  virtual void credit_event(StreamId stream, Instant now) = 0;
  virtual void complete_event(StreamId stream, Instant now) = 0;

  void on_frame(Type type, bool end, StreamId stream, stream::Chain& payload, Instant now) {
    if (type == Type::kDrain) {
      draining_ = true;
      return;
    }
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return frame_for_unknown(type, end, stream, payload, now);
    switch (type) {
      case Type::kHead:
      case Type::kInformation:
        found->second.received_end |= end;
        return head_event(stream, type == Type::kInformation, end, take_texts(payload), now);
      case Type::kData: found->second.received_end |= end; return data_event(stream, payload, end, now);
      case Type::kTrailers: {
        found->second.received_end = true;
        auto* trailers = make<HeaderMap>(*found->second.arena);
        read_fields(*trailers, take_texts(payload), 0);
        return trailers_event(stream, *trailers, now);
      }
      case Type::kReset: return drop(stream, StreamReset::kPeerReset, now);
      case Type::kWindow: {
        std::uint8_t bytes[2] = {};
        payload.copy_out(0, bytes);
        found->second.window += static_cast<std::size_t>(bytes[0] << 8 | bytes[1]);
        return offer_credit(now);
      }
      case Type::kDrain: return;
    }
  }
  void drop(StreamId stream, StreamReset reason, Instant now) {
    streams_.erase(stream);
    reset_event(stream, reason, now);
  }
  void settle(Instant now) {
    for (auto next = streams_.begin(); next != streams_.end();) {
      const auto [stream, state] = *next++;
      if (!state.received_end || !state.sent_end) continue;
      streams_.erase(stream);
      complete_event(stream, now);
      next = streams_.upper_bound(stream);
    }
  }
  void note_credit() {
    for (auto& [stream, state] : streams_) state.starved |= send_credit(stream) == 0;
  }
  void offer_credit(Instant now) {
    for (auto next = streams_.begin(); next != streams_.end();) {
      const StreamId stream = next->first;
      if (next->second.starved && send_credit(stream) > 0) {
        next->second.starved = false;
        credit_event(stream, now);
      }
      next = streams_.upper_bound(stream);
    }
  }

  void put_header(Type type, bool end, StreamId stream, std::size_t length) {
    MR_ASSERT(length <= 0xffff && stream <= 0xffff);
    const std::uint8_t header[kHeaderBytes] = {static_cast<std::uint8_t>(type),        static_cast<std::uint8_t>(end),
                                               static_cast<std::uint8_t>(stream >> 8), static_cast<std::uint8_t>(stream),
                                               static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)};
    MR_ASSERT(output_.append_copy(header));
  }
  void put_texts(Type type, bool end, StreamId stream, const std::vector<std::string>& texts) {
    std::string payload;
    for (const std::string& text : texts) {
      payload += static_cast<char>(text.size() >> 8);
      payload += static_cast<char>(text.size());
      payload += text;
    }
    put_header(type, end, stream, payload.size());
    MR_ASSERT(output_.append_copy(payload));
    note_credit();
  }
  static void append_fields(std::vector<std::string>& texts, const HeaderMap& headers) {
    for (const HeaderField& field : headers.fields()) {
      texts.emplace_back(field.name);
      texts.emplace_back(field.value);
    }
  }
  static std::vector<std::string> take_texts(stream::Chain& payload) {
    std::string bytes(payload.size(), '\0');
    payload.copy_out(0, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    std::vector<std::string> texts;
    for (std::size_t at = 0; at + 2 <= bytes.size();) {
      const auto length =
          static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[at]) << 8 | static_cast<std::uint8_t>(bytes[at + 1]));
      texts.push_back(bytes.substr(at + 2, length));
      at += 2 + length;
    }
    return texts;
  }
  static void read_fields(HeaderMap& headers, const std::vector<std::string>& texts, std::size_t first) {
    for (std::size_t i = first; i + 1 < texts.size(); i += 2) MR_ASSERT(headers.add_copy(texts[i], texts[i + 1]));
  }
  template <typename T>
  static T* make(Arena& arena) {
    return ::new (arena.allocate(sizeof(T), alignof(T))) T(arena, 100);
  }

  static constexpr std::size_t kHeaderBytes = 6;
  const ToySettings settings_;
  stream::Chain output_;
  stream::Chain partial_;
  std::map<StreamId, Stream> streams_;
  bool draining_ = false;
  bool ended_ = false;
};

class ToyServerCodec final : public ToyCodec<ServerCodec> {
 public:
  ToyServerCodec(const ToySettings& settings, stream::ChainPool& pool, ServerEvents& events)
      : ToyCodec(settings, pool), events_(events) {}

  bool send_response(StreamId stream, const ResponseHead& head, bool end_stream) override {
    if (!streams_.contains(stream)) return true;
    std::vector<std::string> texts{std::to_string(head.status)};
    append_fields(texts, head.headers);
    put_texts(head.status < 200 ? Type::kInformation : Type::kHead, end_stream, stream, texts);
    streams_[stream].sent_end = end_stream;
    return true;
  }
  bool shows_truncation(StreamId stream) const override { return streams_.contains(stream); }  // a reset is said

 private:
  void frame_for_unknown(Type type, bool end, StreamId stream, stream::Chain& payload, Instant now) override {
    if (type != Type::kHead || stream <= last_) return;
    last_ = stream;
    streams_[stream].window = settings_.receive_window_bytes;
    Arena* arena = events_.on_stream_begin(stream, now);
    if (arena == nullptr) return reset_stream(stream);
    if (!streams_.contains(stream)) return;
    streams_[stream].arena = arena;
    streams_[stream].received_end = end;
    head_event(stream, false, end, take_texts(payload), now);
  }
  void head_event(StreamId stream, bool, bool end, const std::vector<std::string>& texts, Instant now) override {
    Arena& arena = *streams_[stream].arena;
    auto* head = make<RequestHead>(arena);
    head->version = Version::kHttp2;
    head->method = arena.copy(texts.at(0));
    head->authority = arena.copy(texts.at(1));
    head->path = arena.copy(texts.at(2));
    read_fields(head->headers, texts, 3);
    events_.on_request(stream, *head, end, now);
  }
  void data_event(StreamId stream, stream::Chain& data, bool end, Instant now) override {
    events_.on_request_data(stream, data, end, now);
  }
  void trailers_event(StreamId stream, HeaderMap& trailers, Instant now) override {
    events_.on_request_trailers(stream, trailers, now);
  }
  void reset_event(StreamId stream, StreamReset reason, Instant now) override { events_.on_stream_reset(stream, reason, now); }
  void credit_event(StreamId stream, Instant now) override { events_.on_send_credit(stream, now); }
  void complete_event(StreamId stream, Instant now) override { events_.on_stream_complete(stream, now); }

  ServerEvents& events_;
  StreamId last_ = 0;
};

class ToyClientCodec final : public ToyCodec<ClientCodec> {
 public:
  ToyClientCodec(const ToySettings& settings, stream::ChainPool& pool, ClientEvents& events)
      : ToyCodec(settings, pool), events_(events) {}

  bool can_open_stream() const override { return !draining_ && !ended_; }
  StreamId open_stream(Arena& arena) override {
    if (!can_open_stream()) return 0;
    Stream& stream = streams_[++last_];
    stream.arena = &arena;
    stream.window = settings_.receive_window_bytes;
    return last_;
  }
  bool send_request(StreamId stream, const RequestHead& head, bool end_stream) override {
    if (!streams_.contains(stream)) return true;
    std::vector<std::string> texts{std::string(head.method), std::string(head.authority), std::string(head.path)};
    append_fields(texts, head.headers);
    put_texts(Type::kHead, end_stream, stream, texts);
    streams_[stream].sent_end = end_stream;
    return true;
  }

 private:
  void frame_for_unknown(Type, bool, StreamId, stream::Chain&, Instant) override {}  // what was on its way when we reset
  void head_event(StreamId stream, bool information, bool end, const std::vector<std::string>& texts, Instant now) override {
    auto* head = make<ResponseHead>(*streams_[stream].arena);
    head->version = Version::kHttp2;
    head->status = static_cast<std::uint16_t>(std::stoi(texts.at(0)));
    read_fields(head->headers, texts, 1);
    if (information) {
      events_.on_informational(stream, *head, now);
    } else {
      events_.on_response(stream, *head, end, now);
    }
  }
  void data_event(StreamId stream, stream::Chain& data, bool end, Instant now) override {
    events_.on_response_data(stream, data, end, now);
  }
  void trailers_event(StreamId stream, HeaderMap& trailers, Instant now) override {
    events_.on_response_trailers(stream, trailers, now);
  }
  void reset_event(StreamId stream, StreamReset reason, Instant now) override {
    events_.on_stream_reset(stream, reason, ProtocolError::kNone, now);
  }
  void credit_event(StreamId stream, Instant now) override { events_.on_send_credit(stream, now); }
  void complete_event(StreamId stream, Instant now) override { events_.on_stream_complete(stream, now); }

  ClientEvents& events_;
  StreamId last_ = 0;
};

}  // namespace millrace::http::testing
