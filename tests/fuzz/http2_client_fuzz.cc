// What an endpoint may send to a client of HTTP/2 that has asked one thing. Checked: how the bytes are cut makes no difference to
// what is heard of the request, nothing is heard of it once it is over, what is held stays bounded, and the end of the bytes ends
// it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/http/http2/sequential_client.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using millrace::Instant;
using millrace::fuzz::require;
namespace http = millrace::http;
namespace stream = millrace::stream;

constexpr std::size_t kOutputBytes = 64 * 1024;
constexpr std::size_t kLargestFrameBytes = 16 * 1024 + 9;

class Listener final : public http::ClientEvents {
 public:
  void on_informational(http::StreamId, http::ResponseHead& head, Instant) override { note(head.status, head.headers); }
  void on_response(http::StreamId, http::ResponseHead& head, bool end_stream, Instant) override {
    note(head.status, head.headers);
    if (end_stream) heard += "end;";
  }
  void on_response_data(http::StreamId id, stream::Chain& data, bool end_stream, Instant) override {
    require(!over);
    data.for_each([this](std::span<const std::uint8_t> part) { body.append(part.begin(), part.end()); });
    client->consumed(id, data.size());
    if (end_stream) heard += "end of " + std::to_string(body.size()) + ";";
  }
  void on_response_trailers(http::StreamId, http::HeaderMap& trailers, Instant) override { note(0, trailers); }
  void on_stream_reset(http::StreamId, http::StreamReset reason, http::ProtocolError error, Instant) override {
    end("reset " + std::to_string(static_cast<int>(reason)) + "." + std::to_string(static_cast<int>(error)));
  }
  void on_send_credit(http::StreamId, Instant) override {}
  void on_stream_complete(http::StreamId, Instant) override { end("complete"); }

  http::http2::SequentialClient* client = nullptr;
  std::string heard;
  std::string body;
  bool over = false;

 private:
  void note(unsigned status, const http::HeaderMap& fields) {
    require(!over);
    heard += std::to_string(status) + " ";
    for (const http::HeaderField& field : fields.fields()) heard.append(field.name).append("=").append(field.value).append(";");
  }
  void end(const std::string& how) {
    require(!over);
    over = true;
    heard += how;
  }
};

std::string hear(std::span<const std::uint8_t> bytes, std::size_t step) {
  static millrace::nic::HeapPool packets(1'000);
  static stream::ChainPool chains(packets, 64, 10'000);
  millrace::ChunkPool chunks(1, 64, 8);
  millrace::Arena arena(chunks);
  Listener listener;
  const http::http2::Settings settings{
      .max_headers_bytes = 4'096, .max_header_count = 20, .receive_window_bytes = 1'000, .output_limit_bytes = kOutputBytes};
  http::http2::SequentialClient client(settings, chains, listener);
  listener.client = &client;
  const http::StreamId id = client.open_stream(arena);
  http::RequestHead head(arena, 10);
  head.method = "POST";
  head.authority = "a";
  head.path = "/";
  require(client.send_request(id, head, false));
  stream::Chain body(chains);
  require(body.append_copy(std::string_view("body")) && client.send_data(id, body, true));
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    stream::Chain input(chains);
    require(input.append_copy(bytes.subspan(at, std::min(step, bytes.size() - at))));
    client.receive(input, Instant());
    require(client.output().size() <= kOutputBytes + kLargestFrameBytes);
  }
  client.end_of_input(Instant());
  require(listener.over && client.wants_close() && !client.can_open_stream());
  return listener.heard + "|" + listener.body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, std::min<std::size_t>(size, 4'096));
  const std::string whole = hear(bytes, std::max<std::size_t>(bytes.size(), 1));
  for (const std::size_t step : {1, 9, 64}) require(hear(bytes, step) == whole);
  return 0;
}
