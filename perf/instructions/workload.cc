// A fixed workload of one worker in virtual time, for counting its instructions: run it under callgrind with collection inside
// worker::Worker::turn() only. Everything is the same in every run, so the difference of two runs is what the requests cost.
//
//   workload CASE REQUESTS     CASE: keepalive-64, keepalive-1k, bulk-64k, close-64, tls-keepalive-1k, tls-bulk-64k (mutual TLS
//   on both
//                              sides of the gateway; handshakes are before the requests that count)
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "perf/millload/clients.h"
#include "perf/millload/origin.h"
#include "perf/millload/tls_sides.h"
#include "tests/simulation/gateway.h"
#include "tests/simulation/host.h"
#include "tests/support/test_certificates.h"
#include "tls/engines/ipsec_mb_engine.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)

constexpr IpAddress kClient = IpAddress::v4(198, 18, 0, 1);
constexpr IpAddress kEdge = IpAddress::v4(198, 18, 0, 2);
constexpr IpAddress kOrigin = IpAddress::v4(198, 18, 1, 1);
constexpr IpAddress kInside = IpAddress::v4(198, 18, 1, 2);

constexpr std::string_view kTls = "tls-";

std::optional<perf::LoadConfig> load_of(std::string_view name) {
  if (name.starts_with(kTls)) name.remove_prefix(kTls.size());
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

/// Contexts of one mesh: every side shows a certificate and asks for one.
class Mesh {
 public:
  [[nodiscard]] std::shared_ptr<const tls::Context> context(tls::Role role, const char* name) const {
    const auto [certificate, key] = authority_.issue({.common_name = name});
    tls::ContextConfig config;
    config.role = role;
    config.certificates.push_back({.chain = certificate, .key = key, .password = {}, .ocsp_response = {}});
    config.validation.emplace().trusted_ca = authority_.certificate();
    config.require_client_certificate = role == tls::Role::kServer;
    auto made = tls::Context::make(config);
    MR_ASSERT(made);
    return *made;
  }

 private:
  test::Authority authority_{"mesh"};
};

/// TLS of a host's programs.
struct HostTls {
  HostTls(sim::Host& host, perf::Failures& failures, stream::Acceptor& above, const perf::TlsSides& sides)
      : layer(host.chains(), host.program_timers(), *engine, runner, kLimit),
        connector(host.tcp(), layer, sides, kLimit),
        acceptor(above, layer, failures, sides, kLimit) {}

  static constexpr std::size_t kLimit = 1'024;
  std::unique_ptr<tls::RecordEngine> engine = tls::make_ipsec_mb_engine();
  secure::InlineHandshakeRunner runner;
  secure::TlsLayer layer;
  perf::TlsConnector connector;
  perf::TlsAcceptor acceptor;
};

int run(const perf::LoadConfig& load, bool secure, std::uint64_t requests) {
  const Mesh mesh;
  const auto slot = [&](tls::Role role) {
    return secure ? std::make_shared<tls::ContextSlot>(mesh.context(role, "gateway")) : nullptr;
  };
  const auto side = [&](tls::Role role, const char* name) { return secure ? mesh.context(role, name) : nullptr; };
  const perf::TlsSides sides{.client = side(tls::Role::kClient, "client"), .origin = side(tls::Role::kServer, "origin")};
  sim::Network network(1);
  sim::Host clients_host(network, host("clients", 1, kClient));
  sim::Host origin_host(network, host("origin", 2, kOrigin));
  // What memif offers: segments are cut in software, bodies referenced.
  sim::Gateway gateway(network, {.addresses = {{kEdge, 24}, {kInside, 24}},
                                 .endpoints = {{kOrigin, 8000}},
                                 .route_timeout = {},
                                 .packets = 16'384,
                                 .tx = {.multi_segment = true},
                                 .listener_tls = slot(tls::Role::kServer),
                                 .cluster_tls = slot(tls::Role::kClient)});
  const sim::LinkConfig link{.delay = Duration::microseconds(20)};
  network.join(clients_host.port(), gateway.port(0), link, link);
  network.join(origin_host.port(), gateway.port(1), link, link);

  perf::Failures failures;
  const perf::Pattern client_pattern(clients_host.chains());
  const perf::Pattern origin_pattern(origin_host.chains());
  perf::Origin origin(origin_host.chains(), origin_pattern, failures, {});
  HostTls origin_tls(origin_host, failures, origin, sides);
  HostTls client_tls(clients_host, failures, origin, sides);
  if (!origin_host.tcp().listen({kOrigin, 8000}, origin_tls.acceptor)) return 2;
  perf::Clients clients(client_tls.connector, clients_host.chains(), client_pattern, failures, load);
  while (clients.requests() < requests && failures.count() == 0) {
    clients.pace(network.now());
    network.run_for(Duration::microseconds(20));
    client_tls.layer.service(network.now());
    origin_tls.layer.service(network.now());
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
    std::fprintf(stderr, "usage: workload [tls-]keepalive-64|keepalive-1k|bulk-64k|close-64 REQUESTS\n");
    return 2;
  }
  return run(*load, std::string_view(argv[1]).starts_with(kTls), requests);
}
