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
                              .upstream_idle = config.upstream_idle,
                              .retry = config.retry,
                              .hedge_on_try_timeout = config.hedged,
                              .counts_attempts = config.counts_attempts,
                              .mirrored = config.mirrored,
                              .high_priority = config.high_priority,
                              .breakers = config.breakers,
                              .outlier_detection = config.outlier_detection,
                              .health_check = config.health_check,
                              .workers = config.workers,
                              .listener_tls = config.listener_tls,
                              .cluster_tls = config.cluster_tls});
}

// As devices of another make would: not symmetric, and not what the workers go by.
RssTable another_rule(std::uint16_t workers) {
  RssTable rule = RssTable::symmetric(workers);
  for (std::size_t i = 0; i < rule.key.size(); ++i) rule.key[i] = static_cast<std::uint8_t>(37 * i + 11);
  return rule;
}

}  // namespace

const char* to_text(Spread spread) {
  switch (spread) {
    case Spread::kOneQueue: return "one queue";
    case Spread::kByOwner: return "a queue for each, by owner";
    case Spread::kAnotherRule: return "a queue for each, by another rule";
  }
  return "unknown";
}

Gateway::Gateway(Network& network, const GatewayConfig& config)
    : packets_(config.packets), dead_endpoint_(config.dead_endpoint), network_(network) {
  snapshot_ = snapshot_of(config);
  cluster_ = *snapshot_->clusters.find("app");
  slot_.publish(snapshot_);
  for (std::uint16_t i = 0; i < config.workers; ++i) {
    members_.push_back(std::make_unique<Member>(*this, i));
    network.add(*members_.back());
  }
  make_ports(config);
  if (config.workers > 1) {
    steering_.emplace(RssTable::symmetric(config.workers));
    exchange_ = std::make_unique<worker::Exchange>(config.workers);
    for (const auto& member : members_) exchange_->set_waker(member->index, [this, &member] { network_.wake(*member); });
  }
  for (const auto& member : members_) {
    member->worker.emplace(worker_config(config, member->index), packets_, slot_, member->control, member->report, network.now());
  }
}

void Gateway::make_ports(const GatewayConfig& config) {
  std::vector<Node*> nodes;
  for (const auto& member : members_) nodes.push_back(member.get());
  for (std::size_t i = 0; i < config.addresses.size(); ++i) {
    const MacAddress mac{{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}};
    // The only queue goes to another worker at each port, as worker::bind_port() says.
    ports_.push_back(std::make_unique<Port>(network_, *nodes[i % nodes.size()], packets_, "gateway" + std::to_string(i), mac,
                                            std::uint16_t{1'500}, static_cast<std::uint8_t>(i), config.tx));
    if (config.workers == 1 || config.spread == Spread::kOneQueue) continue;
    const bool by_owner = config.spread == Spread::kByOwner;
    ports_.back()->set_queues(nodes, by_owner ? RssTable::symmetric(config.workers) : another_rule(config.workers), by_owner);
  }
}

worker::WorkerConfig Gateway::worker_config(const GatewayConfig& config, std::uint16_t index) {
  worker::WorkerConfig worker;
  if (config.mistaken_owner && index == 1) mistake_.emplace(another_rule(config.workers));
  worker.team = {.steering = mistake_ && index == 1 ? &*mistake_
                             : steering_            ? &*steering_
                                                    : nullptr,
                 .exchange = exchange_.get(),
                 .index = index};
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    worker.ports.push_back(worker::bind_port(*ports_[i], i, index, members_.size()));
    worker.interfaces.push_back({.mac = ports_[i]->info().mac,
                                 .mtu = 1'500,
                                 .addresses = {config.addresses[i]},
                                 .tx = config.tx,
                                 .silent = !worker.ports.back().speaks(),
                                 .probe_nonce = 1});
  }
  worker.seed = config.seed + index;
  worker.secret.fill(static_cast<std::uint8_t>(config.seed + index));
  return worker;
}

Gateway::~Gateway() {
  hogged_.clear();
  for (const auto& member : members_) member->worker->stop(network_.now());
}

bool Gateway::Member::turn(Instant now) {
  const bool busy = worker->turn(now);
  report.log.drain([&](auto...) { ++gateway.log_lines_; });
  return gateway.exchange_ != nullptr && !gateway.exchange_->may_sleep(index) ? true : busy;
}

bool Gateway::is_worker(const Node& node) const {
  return std::ranges::any_of(members_, [&](const auto& member) { return member.get() == &node; });
}

Instant Gateway::next_due() const {
  Instant due = Instant::never();
  for (const auto& member : members_) due = std::min(due, member->next_due());
  return due;
}

std::int64_t Gateway::published(std::size_t worker, std::string_view name) const {
  const auto& values = members_[worker]->report.values;
  const auto value = std::ranges::find(values, name, &report::NamedValue::name);
  return value == values.end() ? 0 : value->value.value();  // what all share, the first one tells
}

std::int64_t Gateway::published(std::string_view name) const {
  const auto& known = members_[0]->report.values;
  MR_ASSERT(std::ranges::find(known, name, &report::NamedValue::name) != known.end());
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < members_.size(); ++i) sum += published(i, name);
  return sum;
}

void Gateway::hog(std::size_t left) {
  while (!hogged_.empty() && packets_.capacity() - packets_.in_use() < left) hogged_.pop_back();
  while (packets_.capacity() - packets_.in_use() > left) hogged_.push_back(packets_.allocate());
}

void Gateway::audit_ownership(Findings& findings) const {
  if (!steering_) return;
  for (const auto& member : members_) {
    std::size_t position = 0;
    member->worker->tcp().walk(position, SIZE_MAX, [&](const tcp::FlowEntry& entry) {
      const SocketAddress peer{entry.key.peer_ip, entry.key.peer_port};
      const SocketAddress local{entry.key.local_ip, entry.key.local_port};
      const std::uint16_t owner = steering_->worker_of(peer, local);
      if (owner == member->index) return;
      findings.add("gateway: the flow " + peer.to_string() + " to " + local.to_string() + " is of worker " +
                   std::to_string(owner) + ", and is with worker " + std::to_string(member->index));
    });
  }
}

void Gateway::audit_health_checks(Findings& findings) const {
  if (cluster_->health_check == nullptr) return;
  std::uint64_t attempts = 0;
  std::uint64_t results = 0;
  for (const report::ClusterStats& worker : cluster_->cell->per_worker) {
    attempts += worker.health_check.attempt.value();
    results += worker.health_check.success.value() + worker.health_check.failure.value();
  }
  if (results > attempts || attempts > results + cluster_->endpoints.size())
    findings.add("gateway: " + std::to_string(attempts) + " health checks with " + std::to_string(results) + " results");
  for (const config::Endpoint& endpoint : cluster_->endpoints) {
    if (endpoint.address == dead_endpoint_ && config::health_of(endpoint) == config::EndpointHealth::kHealthy)
      findings.add("gateway: " + endpoint.address.to_string() + " is healthy, and nobody is there");
  }
}

void Gateway::audit_absence(const SocketAddress& address, Duration time, Duration late, Findings& findings) const {
  if (cluster_->health_check == nullptr) return;
  const config::HealthCheck& check = *cluster_->health_check;
  const Duration between =
      std::max({check.interval, check.unhealthy_interval, check.no_traffic_interval, check.no_traffic_healthy_interval,
                check.unhealthy_edge_interval, check.healthy_edge_interval}) +
      check.interval_jitter;
  // One that has found somebody may just be over.
  const Duration enough = check.initial_jitter + (between + check.timeout) * (check.unhealthy_threshold + 1) + late;
  if (time <= enough) return;
  for (const config::Endpoint& endpoint : cluster_->endpoints) {
    if (endpoint.address == address && config::health_of(endpoint) == config::EndpointHealth::kHealthy)
      findings.add("gateway: " + address.to_string() + " is healthy, and nobody has been there for " +
                   std::to_string(time.to_milliseconds()) + " ms");
  }
}

void Gateway::wake_workers() {
  for (const auto& member : members_) network_.wake(*member);
}

void Gateway::end_health_checks() {
  if (cluster_->health_check == nullptr) return;
  auto cluster = std::make_shared<config::Cluster>(*cluster_);
  cluster->health_check = nullptr;
  for (config::Endpoint& endpoint : cluster->endpoints) endpoint.own_extras().health_target = nullptr;
  auto snapshot = std::make_shared<config::Snapshot>(*snapshot_);
  ++snapshot->version;
  snapshot->clusters.set("app", cluster);
  cluster_ = cluster;
  slot_.publish(snapshot);
  for (const auto& member : members_) network_.wake(*member);
}

void Gateway::audit_counters(Findings& findings) const {
  const auto expect_equal = [&](const char* what, std::int64_t left, std::int64_t right) {
    if (left != right)
      findings.add(std::string("gateway: ") + what + ": " + std::to_string(left) + " and " + std::to_string(right));
  };
  std::int64_t received = 0;
  for (const auto& port : ports_) received += static_cast<std::int64_t>(port->counters().rx_packets);
  expect_equal("frames that ports and workers received", received, published("io.frames_received"));
  expect_equal("what workers handed over, and what arrived", published("io.handed_over"),
               published("io.taken_over") + published("io.overheard"));
}

bool Gateway::has_opened_connections() const { return published("tcp.active_opens") > 0 && published("tcp.passive_opens") > 0; }

bool Gateway::clean() const {
  return std::ranges::all_of(kTransient, [&](std::string_view name) { return published(name) == 0; });
}

void Gateway::audit_leaks(Findings& findings) {
  for (const std::string_view name : kTransient) {
    if (published(name) != 0) findings.add("gateway: leak: " + std::string(name) + " is " + std::to_string(published(name)));
  }
  for (const report::ClusterStats& worker : cluster_->cell->per_worker) {
    for (const report::BreakerUse& priority : worker.breakers) {
      for (const report::Gauge& used : priority.in_use) {
        if (used.value() != 0) findings.add("gateway: leak: a circuit breaker counts " + std::to_string(used.value()));
      }
    }
  }
}

}  // namespace millrace::sim
