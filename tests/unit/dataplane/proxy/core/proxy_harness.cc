#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

#include <algorithm>

namespace millrace::proxy::test {
namespace {

config::Format log_format() {
  using enum config::FormatCommand;
  config::Format format;
  const auto add = [&](config::FormatCommand command, std::string text = {}) {
    format.elements.push_back({command, std::move(text), {}, {}});
  };
  add(kResponseCode);
  add(kLiteral, " ");
  add(kResponseFlags);
  add(kLiteral, " ");
  add(kResponseCodeDetails);
  add(kLiteral, " ");
  add(kBytesReceived);
  add(kLiteral, "/");
  add(kBytesSent);
  return format;
}

}  // namespace

ProxyHarness::ProxyHarness(const Change& change, ProxyLimits limits, std::uint32_t worker, bool drain_gradually)
    : worker_(worker) {
  proxy = std::make_unique<Proxy>(ProxyContext{.worker_index = worker,
                                               .timers = timers,
                                               .chains = chains,
                                               .rng = rng,
                                               .connector = net,
                                               .tls = tls,
                                               .log = report.log,
                                               .report = report,
                                               .wall_offset_nanoseconds = 1'700'000'000'000'000'000,
                                               .limits = limits,
                                               .drain_gradually = drain_gradually});
  origin_ = std::make_unique<Origin>(chains, now);
  net.listen(kOrigin, *origin_);

  routes_ = std::make_shared<config::RouteTable>();
  config::Route route;
  route.match.path.text = "/";
  config::ForwardAction forward;
  forward.clusters.push_back({.name = "origin", .weight = 1, .headers = {}, .host_rewrite = {}});
  forward.total_weight = 1;
  route.action = forward;
  config::VirtualHost host;
  host.name = "all";
  host.domains = {"*"};
  host.routes.push_back(route);
  routes_->virtual_hosts.push_back(host);
  routes_->default_domain = 0;

  cluster_ = make_cluster(0, "origin", kOrigin);

  listener_ = std::make_shared<config::Listener>();
  listener_->name = "edge";
  listener_->addresses = {kListen};
  listener_->cell = std::make_shared<report::ListenerCell>(0, "198.18.0.2_80", kWorkers);
  listener_->chains.resize(1);
  listener_->table.fallback = 0;
  listener_->chains[0].http()->stat_prefix = "ingress";
  listener_->chains[0].http()->cell = http_cell_;
  listener_->chains[0].http()->generate_request_id = false;
  listener_->chains[0].http()->access_logs.push_back({.sink = 0, .format = log_format()});
  listener_->content_hash = 1;
  if (change) change(*listener_, *cluster_, routes_->virtual_hosts[0].routes[0]);
  publish();
  net.listen(kListen, proxy->acceptor_for(*listener_));
}

std::shared_ptr<config::Cluster> ProxyHarness::make_cluster(std::uint32_t id, std::string name, SocketAddress endpoint) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = name;
  cluster->cell = std::make_shared<report::ClusterCell>(id, name, kWorkers);
  cluster->endpoints.push_back(
      {.address = endpoint, .healthy = true, .weight = 1, .cell = std::make_shared<report::EndpointCell>(id, kWorkers)});
  cluster->healthy_weight = 1;
  cluster->balancing.panic_threshold = 0;
  return cluster;
}

report::ClusterStats& ProxyHarness::add_cluster(std::string name, SocketAddress endpoint) {
  more_clusters_.push_back(make_cluster(static_cast<std::uint32_t>(more_clusters_.size() + 1), std::move(name), endpoint));
  publish();
  return more_clusters_.back()->cell->per_worker[worker_];
}

report::ClusterStats& ProxyHarness::add_aggregate(std::string name, std::vector<std::string> members) {
  auto cluster = make_cluster(static_cast<std::uint32_t>(more_clusters_.size() + 1), std::move(name), kOrigin);
  cluster->endpoints.clear();
  cluster->members = std::move(members);
  more_clusters_.push_back(std::move(cluster));
  publish();
  return more_clusters_.back()->cell->per_worker[worker_];
}

void ProxyHarness::remove_last_cluster() {
  more_clusters_.pop_back();
  publish();
}

void ProxyHarness::publish(bool with_listener) {
  for (config::FilterChain& chain : listener_->chains) {
    if (chain.http() != nullptr) chain.http()->routes = routes_;
  }
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = ++version_;
  if (with_listener) snapshot->listeners.push_back(listener_);
  snapshot->clusters.set(cluster_->name, cluster_);
  if (checking_ != nullptr) snapshot->checking.set(checking_->name, checking_);
  for (const auto& cluster : more_clusters_) snapshot->clusters.set(cluster->name, cluster);
  snapshot->log_sinks.push_back({"/dev/null"});
  snapshot->overload = overload_;
  if (local_cluster_ != nullptr) {
    snapshot->clusters.set(local_cluster_->name, local_cluster_);
    snapshot->local_cluster = local_cluster_->name;
    snapshot->locality = locality_;
  }
  proxy->apply(snapshot, now);
  run();
}

void ProxyHarness::reconfigure(const Change& change) {
  listener_ = std::make_shared<config::Listener>(*listener_);
  cluster_ = std::make_shared<config::Cluster>(*cluster_);
  routes_ = std::make_shared<config::RouteTable>(*routes_);
  change(*listener_, *cluster_, routes_->virtual_hosts[0].routes[0]);
  publish();
}

void ProxyHarness::check_first(const Change& change) {
  checking_ = std::make_shared<config::Cluster>(*cluster_);
  change(*listener_, *checking_, routes_->virtual_hosts[0].routes[0]);
  publish();
}

void ProxyHarness::end_first_checks(bool serve) {
  if (serve) cluster_ = checking_;
  checking_.reset();
  publish();
}

void ProxyHarness::set_overload(std::shared_ptr<const config::Overload> overload) {
  overload_ = std::move(overload);
  reconfigure([](auto&, auto&, auto&) {});
}

void ProxyHarness::set_local_cluster(std::shared_ptr<config::Cluster> cluster, std::string own) {
  local_cluster_ = std::move(cluster);
  locality_.zone = std::move(own);
  publish();
}

void ProxyHarness::remove_listener() {
  net.close_listener(kListen);
  publish(false);
}

void ProxyHarness::count_attempts() {
  routes_ = std::make_shared<config::RouteTable>(*routes_);
  routes_->virtual_hosts[0].include_request_attempt_count = true;
  reconfigure([](auto&, auto&, auto&) {});
}

// Every test ends with the proof that nothing leaks: pools, buffers and gauges at zero.
ProxyHarness::~ProxyHarness() {
  for (auto& client : clients_) client->reset();
  run();
  proxy->force_close_all(now);
  run();
  const ProxyCounts counts = proxy->counts();
  EXPECT_EQ(counts.downstream_connections, 0u);
  EXPECT_EQ(counts.requests, 0u);
  EXPECT_EQ(counts.upstream_connections, 0u);
  EXPECT_EQ(counts.chunks, 0u);
  EXPECT_TRUE(proxy->idle());
  EXPECT_EQ(http().downstream_cx_active.value(), 0);
  EXPECT_EQ(http().downstream_rq_active.value(), 0);
  EXPECT_EQ(http().downstream_cx_upgrades_active.value(), 0);
  EXPECT_EQ(listener_stats().downstream_cx_active.value(), 0);
  EXPECT_EQ(listener_stats().downstream_pre_cx_active.value(), 0);
  EXPECT_EQ(cluster().upstream_cx_active.value(), 0);
  EXPECT_EQ(cluster().upstream_rq_active.value(), 0);
  EXPECT_EQ(cluster().upstream_rq_pending_active.value(), 0);
  if (!cluster_->endpoints.empty()) {
    EXPECT_EQ(endpoint().cx_active.value(), 0);
    EXPECT_EQ(endpoint().rq_active.value(), 0);
  }
  proxy.reset();
  clients_.clear();
  origin_.reset();
}

Client& ProxyHarness::connect() {
  clients_.push_back(std::make_unique<Client>(chains, now));
  stream::CloseReason reason{};
  stream::ByteStream* stream = net.connect(kListen, *clients_.back(), reason, now);
  clients_.back()->attach(*stream);
  return *clients_.back();
}

std::string ProxyHarness::exchange(std::string_view request) {
  Client& client = connect();
  client.send(request);
  run();
  return client.received();
}

void ProxyHarness::run() {
  for (int quiet = 0; quiet < 2;) {
    const std::size_t events = net.run(now);
    tls.service(now);
    AllocationTrap::armed = true;
    proxy->end_of_turn(now);
    AllocationTrap::armed = false;
    tls.service(now);
    quiet = events == 0 && !tls.has_work() ? quiet + 1 : 0;
  }
}

void ProxyHarness::advance(Duration duration) {
  run();
  const Instant target = now + duration;
  while (now < target) {
    const Instant next = timers.next_expiry();
    now = std::max(now + Duration::microseconds(1), std::min(next, target));
    timers.advance(now);
    run();
  }
}

std::string ProxyHarness::log() {
  std::string all;
  report.log.drain([&](std::uint32_t, std::string_view first, std::string_view second) {
    std::string line(first);
    line += second;
    while (!line.empty() && line.back() == '\n') line.pop_back();
    all += line + "|";
  });
  return all;
}

std::string get(std::string_view path, std::string_view fields) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nhost: example.com\r\n" + std::string(fields) + "\r\n";
}

std::string ok(std::string_view body, std::string_view fields) {
  return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + std::string(fields) + "\r\n" +
         std::string(body);
}

std::string body_of(std::string_view message) {
  const std::size_t end = message.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(message.substr(end + 4));
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

}  // namespace millrace::proxy::test
