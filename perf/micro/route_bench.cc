// Finding the virtual host and the route of a request among many.
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/compile/route_index.h"
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

// One virtual host whose routes are half exact paths and half prefixes, as an API gateway's: of services with versions.
std::string path_of(std::int64_t route) {
  return "/v" + std::to_string(route % 3) + "/service-" + std::to_string(route / 8) + "/method" + std::to_string(route % 8);
}

config::RouteTable table_of_one_host(std::int64_t routes) {
  config::RouteTable table;
  config::VirtualHost& host = table.virtual_hosts.emplace_back();
  host.domains = {"example.com"};
  for (std::int64_t r = 0; r < routes; ++r) {
    config::Route& route = host.routes.emplace_back();
    route.match.path.kind = r % 2 == 0 ? config::PathMatcher::Kind::kExact : config::PathMatcher::Kind::kPathSeparatedPrefix;
    route.match.path.text = path_of(r);
    route.action = config::DirectResponse{};
  }
  (void)config::index_domains(table);
  return table;
}

std::size_t bytes_of(const config::PathTree& tree) {
  return tree.nodes.capacity() * sizeof(config::PathTree::Node) + tree.branches.capacity() + tree.labels.capacity() +
         tree.candidates.capacity() * sizeof(config::Candidate);
}

std::size_t bytes_of(const config::RouteIndex& index) { return bytes_of(index.as_written) + bytes_of(index.lower_case); }

// What requests ask for, one path behind the other, so that they leave the caches to the index: a gateway's come and go in
// packets that it has just read.
class Paths {
 public:
  // Of `asked` of the routes, by chance.
  Paths(std::int64_t routes, std::int64_t asked, Rng& rng) {
    for (std::int64_t i = 0; i < asked; ++i) {
      text_ += path_of(rng.below(static_cast<std::uint32_t>(routes))) + "?q=1\n";
    }
  }

  std::string_view next() {
    if (at_ == text_.size()) at_ = 0;
    const std::size_t begin = std::exchange(at_, text_.find('\n', at_) + 1);
    return std::string_view(text_).substr(begin, at_ - 1 - begin);
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

// Of what follows, the share of the benchmark itself: that the paths come out of memory, too.
void paths_alone(benchmark::State& state) {
  Rng rng(1);
  Paths paths(state.range(0), state.range(1), rng);
  for (auto _ : state) benchmark::DoNotOptimize(paths.next().find('?'));
}
BENCHMARK(paths_alone)->ArgsProduct({{100'000}, {64, 16'384}});

// Requests for `asked` of the routes, in turn: as many as the caches may hold, or all.
void route_in_one_host(benchmark::State& state) {
  config::RouteTable table = table_of_one_host(state.range(0));
  config::VirtualHost& host = table.virtual_hosts.front();
  const auto begin = std::chrono::steady_clock::now();
  host.index = config::index_routes(host.routes);
  state.counters["build_ms"] = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  state.counters["index_bytes"] = static_cast<double>(bytes_of(host.index));
  Rng rng(1);
  Paths paths(state.range(0), state.range(1), rng);
  ChunkPool chunks(4, 4, 1);
  Arena arena(chunks);
  http::RequestHead head(arena, 100);
  head.method = "GET";
  head.authority = "example.com";
  const AllocationColumn column(state);
  for (auto _ : state) {
    head.path = paths.next();
    benchmark::DoNotOptimize(proxy::find_route(*proxy::find_virtual_host(table, head.authority), head, {0, rng}));
  }
}
BENCHMARK(route_in_one_host)->ArgsProduct({{10, 1'000, 100'000}, {64, 16'384}});

}  // namespace
}  // namespace millrace::perf
