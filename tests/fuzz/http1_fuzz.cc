// Both sides of HTTP/1 against arbitrary bytes under arbitrary splits. The first byte chooses the side and how the user behaves,
// the second the length of segments; the rest arrives. Beside what the sanitizers find, it checks the order of events, that ids
// of dead streams stay dead, and that the same bytes in one segment mean the same.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http1/server_codec.h"
#include "nic/heap_pool.h"

namespace millrace::http::http1 {
namespace {

struct Behaviour {
  bool is_client;
  bool early;   // the server answers heads at once, not ends
  bool resets;  // gives streams up inside data events
  bool hoards;  // consumes late
  bool upgrades;
  std::size_t segment;
};

struct Memory {
  ChunkPool chunks{0, 64, 8};
  Arena arena{chunks};
};

/// A user of either side that checks the contract and digests all that it sees into one text.
class User final : public ServerEvents, public ClientEvents {
 public:
  explicit User(const Behaviour& behaviour) : behaviour_(behaviour) {}

  ServerCodec* server = nullptr;
  ClientCodec* client = nullptr;
  std::string digest;
  std::size_t unconsumed = 0;

  void open() {
    if (!client->can_open_stream()) return;
    memory_ = std::make_unique<Memory>();
    stream_ = client->open_stream(memory_->arena);
    Memory scratch;
    RequestHead head(scratch.arena, 10);
    head.method = behaviour_.early ? "HEAD" : "GET";
    head.authority = "h";
    head.path = "/";
    if (behaviour_.upgrades) head.upgrade = "websocket";
    has_head_ = ended_ = false;
    MR_ASSERT(client->send_request(stream_, head, !behaviour_.upgrades));
  }
  [[nodiscard]] StreamId stream() const { return stream_; }
  [[nodiscard]] Codec& codec() { return server != nullptr ? static_cast<Codec&>(*server) : *client; }

  Arena* on_stream_begin(StreamId stream, Instant) override {
    MR_ASSERT(stream_ == 0);
    stream_ = stream;
    has_head_ = ended_ = responded_ = false;
    unconsumed = 0;
    memory_ = std::make_unique<Memory>();
    return &memory_->arena;
  }
  void on_request(StreamId stream, RequestHead& head, bool end_stream, Instant) override {
    begin_head(stream, end_stream);
    digest.append(head.method).append(head.authority).append(head.path).append(head.upgrade);
    MR_ASSERT(head.method.find_first_of(" \r\n") == std::string_view::npos &&
              head.path.find_first_of(" \r\n") == std::string_view::npos);
    note(head.headers);
    if (!head.upgrade.empty() && behaviour_.upgrades) {
      respond(head.upgrade == "CONNECT" ? 200 : 101, false);
    } else if (behaviour_.early || end_stream || !head.upgrade.empty()) {
      respond(200, true);
    }
  }
  void on_request_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    take(stream, data, end_stream);
  }
  void on_request_trailers(StreamId stream, HeaderMap& trailers, Instant) override {
    end(stream);
    note(trailers);
    respond(200, true);
  }
  void on_request_error(StreamId stream, ProtocolError error, Instant) override {
    alive(stream);
    MR_ASSERT(!ended_);
    digest.append(to_text(error));
    if (status_of(error) != 0) respond(status_of(error), true);
  }
  void on_stream_reset(StreamId stream, StreamReset, Instant) override { die(stream, "reset"); }
  void on_informational(StreamId stream, ResponseHead& head, Instant) override {
    alive(stream);
    MR_ASSERT(!has_head_ && head.status < 200 && head.status != 101);
    note(head.headers);
  }
  void on_response(StreamId stream, ResponseHead& head, bool end_stream, Instant) override {
    begin_head(stream, end_stream);
    digest += std::to_string(head.status);
    note(head.headers);
  }
  void on_response_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    take(stream, data, end_stream);
  }
  void on_response_trailers(StreamId stream, HeaderMap& trailers, Instant) override {
    end(stream);
    note(trailers);
  }
  void on_stream_reset(StreamId stream, StreamReset, ProtocolError error, Instant) override {
    digest.append(to_text(error));
    die(stream, "reset");
  }
  void on_send_credit(StreamId stream, Instant) override { alive(stream); }
  void on_stream_complete(StreamId stream, Instant) override { die(stream, "complete"); }

 private:
  void alive(StreamId stream) { MR_ASSERT(stream != 0 && stream == stream_); }
  void begin_head(StreamId stream, bool end_stream) {
    alive(stream);
    MR_ASSERT(!has_head_);
    has_head_ = true;
    ended_ = end_stream;
  }
  void end(StreamId stream) {
    alive(stream);
    MR_ASSERT(has_head_ && !ended_);
    ended_ = true;
  }
  void take(StreamId stream, stream::Chain& data, bool end_stream) {
    alive(stream);
    MR_ASSERT(has_head_ && !ended_ && (end_stream || !data.empty()));
    ended_ = end_stream;
    data.for_each(
        [this](std::span<const std::uint8_t> part) { digest.append(reinterpret_cast<const char*>(part.data()), part.size()); });
    const std::size_t bytes = data.size();
    data.clear();
    if (behaviour_.resets) {
      codec().reset_stream(stream);
      return die(stream, "gave up");
    }
    if (behaviour_.hoards) {
      unconsumed += bytes;
    } else {
      codec().consumed(stream, bytes);
    }
    if (end_stream) respond(200, true);
  }
  void respond(std::uint16_t status, bool end_stream) {
    if (server == nullptr || responded_ || stream_ == 0) return;
    responded_ = true;
    Memory scratch;
    ResponseHead head(scratch.arena, 10);
    head.status = status;
    MR_ASSERT(server->send_response(stream_, head, end_stream));
  }
  void note(const HeaderMap& headers) {
    for (const HeaderField& field : headers.fields()) {
      MR_ASSERT(!field.name.empty() && field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
      digest.append(field.name).append(":").append(field.value).append("\n");
    }
  }
  void die(StreamId stream, const char* how) {
    alive(stream);
    digest += how;
    stream_ = 0;
    memory_.reset();
  }

  const Behaviour behaviour_;
  std::unique_ptr<Memory> memory_;
  StreamId stream_ = 0;
  bool has_head_ = false;
  bool ended_ = false;
  bool responded_ = false;
};

std::string run(const Behaviour& behaviour, std::span<const std::uint8_t> bytes) {
  nic::HeapPool packets(100'000);
  stream::ChainPool chains(packets, 0, 1'000'000);
  Settings settings;
  settings.accept_http_10 = settings.enable_trailers = true;
  settings.max_headers_bytes = 4096;
  settings.max_header_count = 20;
  settings.receive_window_bytes = 64;
  User user(behaviour);
  std::unique_ptr<ServerCodec> server;
  std::unique_ptr<ClientCodec> client;
  if (behaviour.is_client) {
    client = std::make_unique<ClientCodec>(settings, chains, user);
    user.client = client.get();
    user.open();
  } else {
    server = std::make_unique<ServerCodec>(settings, chains, user);
    user.server = server.get();
  }
  Codec& codec = user.codec();
  stream::Chain input(chains);
  const auto turn = [&] {
    codec.receive(input, Instant());
    codec.output().clear();
    codec.output_drained(Instant());
  };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(behaviour.segment, bytes.size() - at);
    MR_ASSERT(input.append(nic::Slice(packets.copy_of(bytes.subspan(at, size)))));
    at += size;
    turn();
  }
  // What was left because of the window or of pipelining comes in as often as it takes.
  for (std::size_t left = input.size() + 1; input.size() < left || user.unconsumed > 0;) {
    left = input.size();
    codec.consumed(user.stream(), std::exchange(user.unconsumed, 0));
    turn();
  }
  codec.end_of_input(Instant());
  turn();
  return user.digest;
}

}  // namespace
}  // namespace millrace::http::http1

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 16'384) return 0;
  millrace::http::http1::Behaviour behaviour{(data[0] & 1) != 0, (data[0] & 2) != 0,  (data[0] & 4) != 0,
                                             (data[0] & 8) != 0, (data[0] & 16) != 0, std::size_t{data[1]} + 1};
  const std::span<const std::uint8_t> bytes(data + 2, size - 2);
  const std::string split = millrace::http::http1::run(behaviour, bytes);
  // When a stream is given up or answered early depends on what had arrived by then.
  if (behaviour.resets || behaviour.early || behaviour.upgrades) return 0;
  behaviour.segment = size;
  MR_ASSERT(millrace::http::http1::run(behaviour, bytes) == split);
  return 0;
}
