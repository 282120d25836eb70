#include "tests/simulation/gateway.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "tests/support/proxy_snapshot.h"

namespace millrace::sim {
namespace {

// What the worker publishes and what must be nothing once all is over.
constexpr std::string_view kTransient[] = {"tcp.connections.syn_sent",
                                           "tcp.connections.syn_received",
                                           "tcp.connections.established",
                                           "tcp.connections.fin_wait_1",
                                           "tcp.connections.fin_wait_2",
                                           "tcp.connections.close_wait",
                                           "tcp.connections.closing",
                                           "tcp.connections.last_ack",
                                           "tcp.bytes_queued",
                                           "tcp.half_open",
                                           "tcp.time_wait",
                                           "packets_in_use",
                                           "chain_nodes_in_use",
                                           "proxy.upstream_connections",
                                           "proxy.requests"};

std::shared_ptr<config::Snapshot> snapshot_of(const GatewayConfig& config) {
  return test::make_snapshot({.listener = {config.addresses[0].address, config.port},
                              .endpoints = config.endpoints,
                              .route_timeout = config.route_timeout,
                              .client_idle = Duration::seconds(60),  // of clients that crashed
                              .connect_timeout = config.connect_timeout,
                              .upstream_idle = config.upstream_idle});
}

}  // namespace

Gateway::Gateway(Network& network, const GatewayConfig& config) : packets_(config.packets), network_(network) {
  network.add(*this);
  slot_.publish(snapshot_of(config));
  worker::WorkerConfig worker;
  for (std::size_t i = 0; i < config.addresses.size(); ++i) {
    const MacAddress mac{{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}};
    ports_.push_back(std::make_unique<Port>(network, *this, packets_, "gateway" + std::to_string(i), mac, std::uint16_t{1'500},
                                            static_cast<std::uint8_t>(i), config.tx));
    worker.ports.push_back({.port = ports_.back().get()});
    worker.interfaces.push_back({.mac = mac, .mtu = 1'500, .addresses = {config.addresses[i]}, .tx = config.tx});
  }
  worker.seed = config.seed;
  worker.secret.fill(static_cast<std::uint8_t>(config.seed));
  worker.packet_buffers = config.packets;
  worker_.emplace(worker, packets_, slot_, control_, report_, network.now());
}

Gateway::~Gateway() {
  hogged_.clear();
  worker_->stop(network_.now());
}

bool Gateway::turn(Instant now) {
  const bool busy = worker_->turn(now);
  report_.log.drain([&](auto...) { ++log_lines_; });
  return busy;
}

std::int64_t Gateway::published(std::string_view name) const {
  const auto value = std::ranges::find(report_.values, name, &report::NamedValue::name);
  MR_ASSERT(value != report_.values.end());
  return value->value.value();
}

void Gateway::hog(std::size_t left) {
  while (!hogged_.empty() && packets_.capacity() - packets_.in_use() < left) hogged_.pop_back();
  while (packets_.capacity() - packets_.in_use() > left) hogged_.push_back(packets_.allocate());
}

bool Gateway::clean() const {
  return std::ranges::all_of(kTransient, [&](std::string_view name) { return published(name) == 0; });
}

void Gateway::audit_leaks(Findings& findings) {
  for (const std::string_view name : kTransient) {
    if (published(name) != 0) findings.add("gateway: leak: " + std::string(name) + " is " + std::to_string(published(name)));
  }
}

}  // namespace millrace::sim
