// A whole worker between a client and an origin, in virtual time: frames in, frames out.
#include "dataplane/worker/worker.h"

#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "config/compile/route_table.h"
#include "tests/support/heap_trap.h"
#include "tests/support/scripted_http.h"
#include "tests/support/slab_pool.h"

namespace millrace::worker {
namespace {

constexpr IpAddress kGateway = IpAddress::v4(198, 18, 0, 2);
constexpr IpAddress kHost = IpAddress::v4(198, 18, 0, 1);
const std::string kResponse = "HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + std::string(64, 'b');

std::shared_ptr<config::Snapshot> proxy_snapshot(std::uint64_t version = 1) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = version;
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
  route.action = std::move(forward);
  host.routes.push_back(std::move(route));
  routes->virtual_hosts.push_back(std::move(host));
  EXPECT_TRUE(config::index_domains(*routes).empty());

  auto listener = std::make_shared<config::Listener>();
  listener->name = "edge";
  listener->addresses = {{kGateway, 80}};
  listener->cell = std::make_shared<report::ListenerCell>(0, "edge", 1);
  listener->chain.http.stat_prefix = "edge";
  listener->chain.http.use_remote_address = true;
  listener->chain.http.routes = routes;
  listener->chain.http.cell = std::make_shared<report::HttpCell>(0, "edge", 1);
  listener->chain.http.access_logs = {{.sink = 0, .format = *config::compile_format(config::kDefaultAccessLogFormat)}};
  snapshot->listeners.push_back(listener);

  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "app";
  cluster->cell = std::make_shared<report::ClusterCell>(0, "app", 1);
  cluster->endpoints.push_back(
      {.address = {kHost, 8000}, .hostname = {}, .cell = std::make_shared<report::EndpointCell>(0, "app|198.18.0.1:8000", 1)});
  cluster->healthy_weight = 1;
  snapshot->clusters.emplace("app", cluster);
  return snapshot;
}

// The worker as a node of the simulated network; what its turns take from the heap can be counted.
class WorkerNode final : public sim::Node {
 public:
  bool turn(Instant now) override {
    bool busy = false;
    if (trapped) {
      const test::HeapTrap trap;
      busy = worker->turn(now);
    } else {
      busy = worker->turn(now);
    }
    report->log.drain(
        [this](std::uint32_t, std::string_view first, std::string_view second) { log.append(first).append(second); });
    return busy;
  }
  [[nodiscard]] Instant next_due() const override { return worker->next_due(); }

  Worker* worker = nullptr;
  report::WorkerReport* report = nullptr;
  std::string log;
  bool trapped = false;
};

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    node_.worker = &worker_;
    node_.report = &report_;
    const sim::LinkConfig link{.delay = Duration::microseconds(50)};
    network_.join(gateway_port_, host_.port(), link, link);
    slot_.publish(snapshot_);
  }
  ~WorkerTest() override { worker_.stop(now()); }

  WorkerConfig config() {
    WorkerConfig config;
    config.ports = {{.port = &gateway_port_, .queue = 0}};
    config.interfaces = {{.mac = gateway_port_.info().mac, .mtu = 1500, .addresses = {{kGateway, 24}}}};
    config.seed = 42;
    config.packet_buffers = gateway_packets_.capacity();
    return config;
  }
  sim::HostConfig host_config() {
    return {
        .name = "host", .mac = *MacAddress::parse("02:00:00:00:00:01"), .addresses = {{kHost, 24}}, .stack = sim::small_stack()};
  }

  [[nodiscard]] Instant now() const { return network_.now(); }
  void step() { network_.run_for(Duration::microseconds(50)); }
  template <typename Condition>
  bool run_until(Condition condition, Duration time = Duration::seconds(2)) {
    // In slices: each begins with a turn, as a thread that sleeps wakes up now and then.
    const Instant end = now() + time;
    while (now() < end) {
      if (network_.run_for(Duration::milliseconds(10), condition)) return true;
    }
    return false;
  }

  sim::Network network_{1};
  test::SlabPool gateway_packets_{4096};
  WorkerNode node_;
  sim::Port gateway_port_{(network_.add(node_), network_),
                          node_,
                          gateway_packets_,
                          "gateway",
                          *MacAddress::parse("02:00:00:00:00:02"),
                          std::uint16_t{1'500},
                          std::uint8_t{0}};
  std::shared_ptr<config::Snapshot> snapshot_ = proxy_snapshot();
  config::SnapshotSlot slot_;
  Control control_;
  report::WorkerReport report_{0, 1 << 20};
  Worker worker_{config(), gateway_packets_, slot_, control_, report_, now()};
  sim::Host host_{network_, host_config()};
  test::ScriptedOrigin origin_{host_, {kHost, 8000}, kResponse};
  test::ScriptedClient client_{host_, "GET /path HTTP/1.1\r\nHost: example.org\r\nUser-Agent: sim\r\n\r\n", 64};
};

TEST_F(WorkerTest, CarriesARequestToTheOriginAndTheAnswerBack) {
  client_.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  EXPECT_TRUE(client_.last_answer().starts_with("HTTP/1.1 200 OK\r\n")) << client_.last_answer();
  EXPECT_TRUE(client_.last_answer().ends_with(std::string(64, 'b')));
  ASSERT_TRUE(run_until([&] { return !node_.log.empty(); }));
  EXPECT_NE(node_.log.find("\"GET /path HTTP/1.1\" 200 - 0 64"), std::string::npos) << node_.log;
  client_.close(now());
}

TEST_F(WorkerTest, KeepsTheUpstreamConnectionForTheNextRequest) {
  client_.start({kGateway, 80}, 500, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }, Duration::seconds(20)));
  EXPECT_EQ(origin_.requests(), 500u);
  EXPECT_EQ(origin_.accepted(), 1u);
  client_.close(now());
}

TEST_F(WorkerTest, AllocatesNothingPerRequest) {
  client_.start({kGateway, 80}, 50, now());  // warm-up: pools, neighbours, the upstream connection
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  client_.more(200, now());
  test::heap_trap_allocations = 0;
  node_.trapped = true;
  run_until([&] { return client_.done(); });
  node_.trapped = false;
  ASSERT_TRUE(client_.done());
  EXPECT_EQ(client_.answered(), 250u);
  EXPECT_EQ(test::heap_trap_allocations, 0u);
  client_.close(now());
}

TEST(HeapTrap, SeesAnAllocation) {
  test::heap_trap_allocations = 0;
  {
    const test::HeapTrap trap;
    auto* volatile number = new int(1);
    delete number;
  }
  EXPECT_EQ(test::heap_trap_allocations, 1u);
}

TEST_F(WorkerTest, AllocatesNothingPerConnectionOnceItHasServedAFew) {
  const auto one_connection = [&] {
    test::ScriptedClient client(host_, "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n", 64);
    client.start({kGateway, 80}, 1, now());
    node_.trapped = true;
    run_until([&] { return client.done(); });
    node_.trapped = false;
    EXPECT_TRUE(client.done());
    client.close(now());
    for (int i = 0; i < 20; ++i) step();
  };
  for (int i = 0; i < 20; ++i) one_connection();
  test::heap_trap_allocations = 0;
  for (int i = 0; i < 50; ++i) one_connection();
  EXPECT_EQ(test::heap_trap_allocations, 0u);
}

TEST_F(WorkerTest, GivesEverythingBackWhenConnectionsEnd) {
  client_.start({kGateway, 80}, 10, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  client_.close(now());
  const auto& http = snapshot_->listeners[0]->chain.http.cell->per_worker[0];
  ASSERT_TRUE(run_until([&] { return http.downstream_cx_active.value() == 0; }));
  EXPECT_EQ(http.downstream_rq_total.value(), 10u);
  EXPECT_EQ(http.downstream_rq_active.value(), 0);
  worker_.stop(now());
  network_.run_for(Duration::milliseconds(1));
  EXPECT_EQ(gateway_packets_.in_use(), 0u);
}

TEST_F(WorkerTest, RefusesNewConnectionsWhileDrainingAndFinishesWhatIsInFlight) {
  client_.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  EXPECT_FALSE(control_.drained);
  control_.wanted = Lifecycle::kDraining;
  step();
  test::ScriptedClient late(host_, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 64);
  late.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return late.broken(); }));
  ASSERT_TRUE(run_until([&] { return control_.drained.load(); }));
}

TEST_F(WorkerTest, FollowsASnapshotThatMovesTheListener) {
  step();
  auto moved = proxy_snapshot(2);
  auto listener = std::make_shared<config::Listener>(*moved->listeners[0]);
  listener->addresses = {{kGateway, 81}};
  listener->content_hash = 1;
  moved->listeners = {listener};
  slot_.publish(moved);
  step();
  client_.start({kGateway, 81}, 1, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  test::ScriptedClient old(host_, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 64);
  old.start({kGateway, 80}, 1, now());
  EXPECT_TRUE(run_until([&] { return old.broken(); }));
  EXPECT_EQ(report_.snapshot_version.value(), 2);
  client_.close(now());
}

TEST_F(WorkerTest, PublishesItsCounters) {
  client_.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  ASSERT_TRUE(run_until([&] {
    return std::ranges::any_of(report_.values,
                               [](const auto& v) { return v.name == "tcp.segments_received" && v.value.value() > 3; });
  }));
  EXPECT_TRUE(std::ranges::any_of(report_.values, [](const auto& v) { return v.name == "tcp.connections.established"; }));
  client_.close(now());
}

}  // namespace
}  // namespace millrace::worker
