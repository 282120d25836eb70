// A keep-alive request through a server codec and on through a client codec, and its response back, take nothing from the heap
// once the pools are warm.
#include <gtest/gtest.h>

#include <optional>

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http1/server_codec.h"
#include "tests/support/heap_trap.h"

namespace millrace::http::http1 {
namespace {

/// A fixed set of buffers: no allocation per packet, so that what the test sees is the codec's own.
class FixedPool final : public nic::PacketPool {
 public:
  FixedPool() {
    for (std::size_t i = 0; i < kBuffers; ++i) {
      buffers_[i] = {storage_[i], limits::kPacketBufferBytes, 0, this};
      free_[free_count_++] = &buffers_[i];
    }
  }
  [[nodiscard]] std::size_t buffer_bytes() const override { return limits::kPacketBufferBytes; }
  [[nodiscard]] std::size_t capacity() const override { return kBuffers; }
  [[nodiscard]] std::size_t in_use() const override { return kBuffers - free_count_; }

 private:
  static constexpr std::size_t kBuffers = 64;
  nic::Buffer* take() override { return free_count_ == 0 ? nullptr : free_[--free_count_]; }
  void give_back(nic::Buffer& buffer) override { free_[free_count_++] = &buffer; }

  std::uint8_t storage_[kBuffers][limits::kPacketBufferBytes];
  nic::Buffer buffers_[kBuffers];
  nic::Buffer* free_[kBuffers];
  std::size_t free_count_ = 0;
};

/// The smallest proxy there is: every event is passed on at once.
struct Proxy final : ServerEvents, ClientEvents {
  ServerCodec* server = nullptr;
  ClientCodec* client = nullptr;
  Arena* downstream_arena = nullptr;
  Arena* upstream_arena = nullptr;
  StreamId downstream = 0;
  StreamId upstream = 0;
  int completed = 0;

  Arena* on_stream_begin(StreamId stream, Instant) override {
    downstream = stream;
    return downstream_arena;
  }
  void on_request(StreamId, RequestHead& head, bool end_stream, Instant) override {
    upstream = client->open_stream(*upstream_arena);
    EXPECT_TRUE(client->send_request(upstream, head, end_stream));
  }
  void on_request_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    const std::size_t bytes = data.size();
    EXPECT_TRUE(client->send_data(upstream, data, end_stream));
    server->consumed(stream, bytes);
  }
  void on_request_trailers(StreamId, HeaderMap& trailers, Instant) override {
    EXPECT_TRUE(client->send_trailers(upstream, trailers));
  }
  void on_request_error(StreamId, ProtocolError, Instant) override { ADD_FAILURE(); }
  void on_stream_reset(StreamId, StreamReset, Instant) override { ADD_FAILURE(); }
  void on_send_credit(StreamId, Instant) override {}
  void on_stream_complete(StreamId, Instant) override { ++completed; }

  void on_informational(StreamId, ResponseHead& head, Instant) override {
    EXPECT_TRUE(server->send_response(downstream, head, false));
  }
  void on_response(StreamId, ResponseHead& head, bool end_stream, Instant) override {
    EXPECT_TRUE(server->send_response(downstream, head, end_stream));
  }
  void on_response_data(StreamId stream, stream::Chain& data, bool end_stream, Instant) override {
    const std::size_t bytes = data.size();
    EXPECT_TRUE(server->send_data(downstream, data, end_stream));
    client->consumed(stream, bytes);
  }
  void on_response_trailers(StreamId, HeaderMap& trailers, Instant) override {
    EXPECT_TRUE(server->send_trailers(downstream, trailers));
  }
  void on_stream_reset(StreamId, StreamReset, ProtocolError, Instant) override { ADD_FAILURE(); }
};

TEST(Http1Memory, AKeepAliveCycleTakesNothingFromTheHeap) {
  auto packets = std::make_unique<FixedPool>();
  stream::ChainPool chains(*packets, 256, 256);
  ChunkPool chunks(4, 4, 0);
  Proxy proxy;
  Settings settings;
  settings.enable_trailers = true;
  ServerCodec server(settings, chains, proxy);
  ClientCodec client(settings, chains, proxy);
  proxy.server = &server;
  proxy.client = &client;
  stream::Chain input(chains);

  for (int i = 0; i < 100; ++i) {
    test::heap_trap_allocations = 0;
    std::optional<test::HeapTrap> trap(std::in_place);
    {
      Arena downstream(chunks);
      Arena upstream(chunks);
      proxy.downstream_arena = &downstream;
      proxy.upstream_arena = &upstream;
      const bool in = input.append_copy(
          "POST /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: 1\r\n\r\n");
      server.receive(input, Instant());
      client.output().clear();
      client.output_drained(Instant());
      const bool out =
          input.append_copy("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: s\r\n\r\nworld");
      client.receive(input, Instant());
      server.output_drained(Instant());
      server.output().clear();
      server.output_drained(Instant());
      trap.reset();
      ASSERT_EQ(test::heap_trap_allocations, 0U);
      ASSERT_TRUE(in && out);
    }
    ASSERT_EQ(proxy.completed, 2 * (i + 1)) << "both streams";
  }
  EXPECT_EQ(packets->in_use(), 0U);
  EXPECT_EQ(chains.nodes_in_use(), 0U);
  EXPECT_EQ(chunks.chunks_in_use(), 0U);
}

}  // namespace
}  // namespace millrace::http::http1
