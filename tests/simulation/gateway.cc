#include "tests/simulation/gateway.h"

#include <algorithm>

#include "config/compile/format_compiler.h"
#include "config/compile/route_table.h"
#include "dataplane/base/assert.h"

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
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = 1;
  snapshot->log_sinks.push_back({"/dev/null"});

  auto routes = std::make_shared<config::RouteTable>();
  config::VirtualHost host;
  host.name = "all";
  host.domains = {"*"};
  config::Route route;
  route.match.path.text = "/";
  config::ForwardAction forward;
  forward.clusters = {{.name = "app", .weight = 1, .headers = {}, .host_rewrite = {}}};
  forward.total_weight = 1;
  forward.timeout = config.route_timeout;
  route.action = std::move(forward);
  host.routes.push_back(std::move(route));
  routes->virtual_hosts.push_back(std::move(host));
  MR_ASSERT(config::index_domains(*routes).empty());

  auto listener = std::make_shared<config::Listener>();
  listener->name = "edge";
  listener->addresses = {{config.addresses[0].address, config.port}};
  listener->cell = std::make_shared<report::ListenerCell>(0, "edge", 1);
  config::HttpConnectionManager& http = listener->chain.http;
  http.stat_prefix = "edge";
  http.idle_timeout = Duration::seconds(60);  // of clients that crashed
  http.routes = routes;
  http.cell = std::make_shared<report::HttpCell>(0, "edge", 1);
  http.access_logs = {{.sink = 0, .format = *config::compile_format(config::kDefaultAccessLogFormat)}};
  snapshot->listeners.push_back(listener);

  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "app";
  cluster->cell = std::make_shared<report::ClusterCell>(0, "app", 1);
  cluster->connect_timeout = config.connect_timeout;
  cluster->http.idle_timeout = config.upstream_idle;
  for (const SocketAddress& endpoint : config.endpoints) {
    cluster->endpoints.push_back({.address = endpoint,
                                  .hostname = {},
                                  .cell = std::make_shared<report::EndpointCell>(0, "app|" + endpoint.to_string(), 1)});
  }
  cluster->healthy_weight = config.endpoints.size();
  snapshot->clusters.emplace("app", cluster);
  return snapshot;
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
    worker.ports.push_back({.port = ports_.back().get(), .queue = 0});
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
