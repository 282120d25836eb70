// Finding the virtual host and the route of a request among many.
#include <string>

#include "config/compile/route_table.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "perf/micro/allocations.h"

namespace millrace::perf {
namespace {

// `hosts` virtual hosts with exact names, each with ten prefixes; the last prefix of the last host matches.
config::RouteTable table_of(std::int64_t hosts) {
  config::RouteTable table;
  for (std::int64_t h = 0; h < hosts; ++h) {
    config::VirtualHost& host = table.virtual_hosts.emplace_back();
    host.domains = {"host" + std::to_string(h) + ".example.com"};
    for (int r = 0; r < 10; ++r) {
      config::Route route;
      route.match.path.text = "/service" + std::to_string(r) + "/";
      route.action = config::DirectResponse{};
      host.routes.push_back(std::move(route));
    }
  }
  (void)config::index_domains(table);
  return table;
}

void route(benchmark::State& state) {
  const config::RouteTable table = table_of(state.range(0));
  const std::string authority = "host" + std::to_string(state.range(0) - 1) + ".example.com";
  ChunkPool chunks(4, 4, 1);
  Arena arena(chunks);
  http::RequestHead head(arena, 100);
  head.method = "GET";
  head.authority = authority;
  head.path = "/service9/some/page?q=1";
  Rng rng(1);
  const AllocationColumn column(state);
  for (auto _ : state) {
    const config::VirtualHost* host = proxy::find_virtual_host(table, head.authority);
    benchmark::DoNotOptimize(proxy::find_route(*host, head, {0, rng}));
  }
}
BENCHMARK(route)->Arg(1)->Arg(10'000);

}  // namespace
}  // namespace millrace::perf
