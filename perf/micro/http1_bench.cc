// One keep-alive exchange on the server's side: request parsed, response encoded.
#include <string_view>

#include "dataplane/http/http1/server_codec.h"
#include "nic/heap_pool.h"
#include "perf/micro/allocations.h"

namespace millrace::perf {
namespace {

constexpr std::string_view kRequest =
    "GET /api/v1/products/7?detail=full HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk/4.1\r\nAccept: */*\r\n"
    "X-Request-Id: 3e21c7a0-6d0c-4d9c-9a53-8a2d52d1a9f1\r\nCookie: session=0123456789abcdef\r\n\r\n";

// Answers every request with an empty 200.
class Answerer final : public http::ServerEvents {
 public:
  http::ServerCodec* codec = nullptr;

  Arena* on_stream_begin(http::StreamId, Instant) override { return &arena_; }
  void on_request(http::StreamId stream, http::RequestHead&, bool, Instant) override {
    http::ResponseHead head(arena_, 10);
    head.status = 200;
    (void)head.headers.add_reference(http::HeaderId::kContentLength, "0");
    (void)codec->send_response(stream, head, true);
  }
  void on_request_data(http::StreamId, stream::Chain& data, bool, Instant) override { data.clear(); }
  void on_request_trailers(http::StreamId, http::HeaderMap&, Instant) override {}
  void on_request_error(http::StreamId, http::ProtocolError, Instant) override {}
  void on_stream_reset(http::StreamId, http::StreamReset, Instant) override { arena_.clear(); }
  void on_send_credit(http::StreamId, Instant) override {}
  void on_stream_complete(http::StreamId, Instant) override { arena_.clear(); }

 private:
  ChunkPool chunks_{8, 8, 1};
  Arena arena_{chunks_};
};

void http1_exchange(benchmark::State& state) {
  nic::HeapPool packets(64);  // malloc, not operator new: the column counts the codec's own
  stream::ChainPool chains(packets, 64, 64);
  Answerer user;
  http::http1::ServerCodec codec(http::http1::Settings{}, chains, user);
  user.codec = &codec;
  const Instant now;
  const AllocationColumn column(state);
  for (auto _ : state) {
    stream::Chain input(chains);
    (void)input.append_copy(kRequest);
    codec.receive(input, now);
    benchmark::DoNotOptimize(codec.output().size());
    codec.output().clear();
    codec.output_drained(now);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(http1_exchange);

}  // namespace
}  // namespace millrace::perf
