// A fixed workload of one worker in virtual time, for counting its instructions: run it under callgrind with collection inside
// worker::Worker::turn() only. Everything is the same in every run, so the difference of two runs is what the requests cost.
//
//   workload CASE REQUESTS     CASE: keepalive-64, keepalive-1k, bulk-64k, close-64
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "perf/millload/clients.h"
#include "perf/millload/origin.h"
#include "tests/simulation/gateway.h"
#include "tests/simulation/host.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)

constexpr IpAddress kClient = IpAddress::v4(198, 18, 0, 1);
constexpr IpAddress kEdge = IpAddress::v4(198, 18, 0, 2);
constexpr IpAddress kOrigin = IpAddress::v4(198, 18, 1, 1);
constexpr IpAddress kInside = IpAddress::v4(198, 18, 1, 2);

std::optional<perf::LoadConfig> load_of(std::string_view name) {
  perf::LoadConfig load{.targets = {{kEdge, 80}}, .connections = 16};
  if (name == "keepalive-64") return load;
  if (name == "close-64") {
    load.requests_per_connection = 1;
    return load;
  }
  load.response_bytes = name == "keepalive-1k" ? 1'024 : 64 * 1'024;
  return name == "keepalive-1k" || name == "bulk-64k" ? std::optional(load) : std::nullopt;
}

sim::HostConfig host(const char* name, std::uint8_t number, const IpAddress& address) {
  return {.name = name,
          .mac = {{2, 0, 0, 0, 0, number}},
          .addresses = {{address, 24}},
          .stack = sim::small_stack(),
          .packets = 16'384};
}

int run(const perf::LoadConfig& load, std::uint64_t requests) {
  sim::Network network(1);
  sim::Host clients_host(network, host("clients", 1, kClient));
  sim::Host origin_host(network, host("origin", 2, kOrigin));
  // What memif offers: segments are cut in software, bodies referenced.
  sim::Gateway gateway(network, {.addresses = {{kEdge, 24}, {kInside, 24}},
                                 .endpoints = {{kOrigin, 8000}},
                                 .route_timeout = {},
                                 .packets = 16'384,
                                 .tx = {.multi_segment = true}});
  const sim::LinkConfig link{.delay = Duration::microseconds(20)};
  network.join(clients_host.port(), gateway.port(0), link, link);
  network.join(origin_host.port(), gateway.port(1), link, link);

  perf::Failures failures;
  const perf::Pattern client_pattern(clients_host.chains());
  const perf::Pattern origin_pattern(origin_host.chains());
  perf::Origin origin(origin_host.chains(), origin_pattern, failures, {});
  if (!origin_host.tcp().listen({kOrigin, 8000}, origin)) return 2;
  perf::Clients clients(clients_host.tcp(), clients_host.chains(), client_pattern, failures, load);
  while (clients.requests() < requests && failures.count() == 0) {
    clients.pace(network.now());
    network.run_for(Duration::microseconds(20));
  }
  if (failures.count() > 0) {
    std::fprintf(stderr, "workload: %s\n", failures.first().c_str());
    return 1;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(clients.requests()));
  std::fflush(stdout);
  std::_Exit(0);  // what is still open does not matter
}

}  // namespace

int main(int argc, char** argv) {
  const auto load = argc == 3 ? load_of(argv[1]) : std::nullopt;
  const std::uint64_t requests = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (!load || requests == 0) {
    std::fprintf(stderr, "usage: workload keepalive-64|keepalive-1k|bulk-64k|close-64 REQUESTS\n");
    return 2;
  }
  return run(*load, requests);
}
