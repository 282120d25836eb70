// Writing the heads of a proxied exchange: the request to the origin, the response to the client.
#include "dataplane/http/http1/head_writer.h"

#include "nic/heap_pool.h"
#include "perf/micro/allocations.h"

namespace millrace::perf {
namespace {

// What both benchmarks need; packets come from malloc, not from operator new: the column counts the writer's own.
struct Fixture {
  nic::HeapPool packets{64};
  stream::ChainPool chains{packets, 64, 64};
  ChunkPool chunks{8, 8, 1};
  Arena arena{chunks};
};

void encode_response_head(benchmark::State& state) {
  Fixture fixture;
  http::ResponseHead head(fixture.arena, 20);
  head.status = 200;
  (void)head.headers.add_copy("content-type", "application/json");
  (void)head.headers.add_copy("content-length", "1024");
  (void)head.headers.add_copy("date", "Sat, 21 Nov 2026 13:00:00 GMT");
  (void)head.headers.add_copy("server", "envoy");
  (void)head.headers.add_copy("x-envoy-upstream-service-time", "3");
  (void)head.headers.add_copy("cache-control", "private, max-age=0");
  std::uint64_t refused = 0;
  stream::Chain out(fixture.chains);
  const AllocationColumn column(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(http::http1::write_response_head(head, {}, out, refused));
    out.clear();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_response_head);

void encode_request_head(benchmark::State& state) {
  Fixture fixture;
  http::RequestHead head(fixture.arena, 20);
  head.method = "GET";
  head.authority = "shop.example.com";
  head.path = "/api/v1/products/7?detail=full";
  (void)head.headers.add_copy("user-agent", "wrk/4.1");
  (void)head.headers.add_copy("accept", "*/*");
  (void)head.headers.add_copy("cookie", "session=0123456789abcdef");
  (void)head.headers.add_copy("x-request-id", "3e21c7a0-6d0c-4d9c-9a53-8a2d52d1a9f1");
  (void)head.headers.add_copy("x-forwarded-for", "198.18.0.1");
  (void)head.headers.add_copy("x-forwarded-proto", "http");
  std::uint64_t refused = 0;
  stream::Chain out(fixture.chains);
  const AllocationColumn column(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(http::http1::write_request_head(head, true, out, refused));
    out.clear();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_request_head);

}  // namespace
}  // namespace millrace::perf
