// A whole worker between a client and an origin, in virtual time: frames in, frames out.
#include "dataplane/worker/worker.h"

#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "config/compile/route_table.h"
#include "tests/support/heap_trap.h"
#include "tests/support/sim_host.h"
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

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    test::SimPort::join(gateway_port_, host_port_);
    slot_.publish(snapshot_);
  }
  ~WorkerTest() override { worker_.stop(now_); }

  WorkerConfig config() {
    WorkerConfig config;
    config.ports = {{.port = &gateway_port_, .queue = 0}};
    config.interfaces = {{.mac = gateway_port_.info().mac, .mtu = 1500, .addresses = {{kGateway, 24}}}};
    config.seed = 42;
    config.packet_buffers = gateway_packets_.capacity();
    return config;
  }

  // One step: both sides have a turn, then 50 us pass.
  void step() {
    worker_.turn(now_);
    host_.turn(now_);
    now_ = now_ + Duration::microseconds(50);
    report_.log.drain(
        [this](std::uint32_t, std::string_view first, std::string_view second) { log_.append(first).append(second); });
  }
  template <typename Condition>
  bool run_until(Condition condition, int steps = 20'000) {
    for (int i = 0; i < steps && !condition(); ++i) step();
    return condition();
  }

  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  test::SlabPool gateway_packets_{4096};
  test::SlabPool host_packets_{4096};
  test::SimPort gateway_port_{gateway_packets_, *MacAddress::parse("02:00:00:00:00:02")};
  test::SimPort host_port_{host_packets_, *MacAddress::parse("02:00:00:00:00:01")};
  std::shared_ptr<config::Snapshot> snapshot_ = proxy_snapshot();
  config::SnapshotSlot slot_;
  Control control_;
  report::WorkerReport report_{0, 1 << 20};
  std::string log_;
  Worker worker_{config(), gateway_packets_, slot_, control_, report_, now_};
  test::SimHost host_{host_port_, host_packets_, {kHost, 24}, now_};
  test::SimOrigin origin_{host_, {kHost, 8000}, kResponse};
  test::SimClient client_{host_, "GET /path HTTP/1.1\r\nHost: example.org\r\nUser-Agent: sim\r\n\r\n", 64};
};

TEST_F(WorkerTest, CarriesARequestToTheOriginAndTheAnswerBack) {
  client_.start({kGateway, 80}, 1, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  EXPECT_TRUE(client_.last_answer().starts_with("HTTP/1.1 200 OK\r\n")) << client_.last_answer();
  EXPECT_TRUE(client_.last_answer().ends_with(std::string(64, 'b')));
  ASSERT_TRUE(run_until([&] { return !log_.empty(); }));
  EXPECT_NE(log_.find("\"GET /path HTTP/1.1\" 200 - 0 64"), std::string::npos) << log_;
  client_.close(now_);
}

TEST_F(WorkerTest, KeepsTheUpstreamConnectionForTheNextRequest) {
  client_.start({kGateway, 80}, 500, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }, 200'000));
  EXPECT_EQ(origin_.requests(), 500u);
  EXPECT_EQ(origin_.accepted(), 1u);
  client_.close(now_);
}

TEST_F(WorkerTest, AllocatesNothingPerRequest) {
  client_.start({kGateway, 80}, 50, now_);  // warm-up: pools, neighbours, the upstream connection
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  client_.more(200, now_);
  test::heap_trap_allocations = 0;
  for (int i = 0; i < 100'000 && !client_.done(); ++i) {
    {
      const test::HeapTrap trap;
      worker_.turn(now_);
    }
    host_.turn(now_);
    now_ = now_ + Duration::microseconds(50);
    report_.log.drain([](auto...) {});
  }
  ASSERT_TRUE(client_.done());
  EXPECT_EQ(client_.answered(), 250u);
  EXPECT_EQ(test::heap_trap_allocations, 0u);
  client_.close(now_);
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
    test::SimClient client(host_, "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n", 64);
    client.start({kGateway, 80}, 1, now_);
    for (int i = 0; i < 1'000 && !client.done(); ++i) {
      {
        const test::HeapTrap trap;
        worker_.turn(now_);
      }
      host_.turn(now_);
      now_ = now_ + Duration::microseconds(50);
      report_.log.drain([](auto...) {});
    }
    EXPECT_TRUE(client.done());
    client.close(now_);
    for (int i = 0; i < 20; ++i) step();
  };
  for (int i = 0; i < 20; ++i) one_connection();
  test::heap_trap_allocations = 0;
  for (int i = 0; i < 50; ++i) one_connection();
  EXPECT_EQ(test::heap_trap_allocations, 0u);
}

TEST_F(WorkerTest, GivesEverythingBackWhenConnectionsEnd) {
  client_.start({kGateway, 80}, 10, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  client_.close(now_);
  const auto& http = snapshot_->listeners[0]->chain.http.cell->per_worker[0];
  ASSERT_TRUE(run_until([&] { return http.downstream_cx_active.value() == 0; }));
  EXPECT_EQ(http.downstream_rq_total.value(), 10u);
  EXPECT_EQ(http.downstream_rq_active.value(), 0);
  worker_.stop(now_);
  host_.turn(now_);
  EXPECT_EQ(gateway_packets_.in_use(), 0u);
}

TEST_F(WorkerTest, RefusesNewConnectionsWhileDrainingAndFinishesWhatIsInFlight) {
  client_.start({kGateway, 80}, 1, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  EXPECT_FALSE(control_.drained);
  control_.wanted = Lifecycle::kDraining;
  step();
  test::SimClient late(host_, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 64);
  late.start({kGateway, 80}, 1, now_);
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
  client_.start({kGateway, 81}, 1, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  test::SimClient old(host_, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 64);
  old.start({kGateway, 80}, 1, now_);
  EXPECT_TRUE(run_until([&] { return old.broken(); }));
  EXPECT_EQ(report_.snapshot_version.value(), 2);
  client_.close(now_);
}

TEST_F(WorkerTest, PublishesItsCounters) {
  client_.start({kGateway, 80}, 1, now_);
  ASSERT_TRUE(run_until([&] { return client_.done(); }));
  ASSERT_TRUE(run_until([&] {
    return std::ranges::any_of(report_.values,
                               [](const auto& v) { return v.name == "tcp.segments_received" && v.value.value() > 3; });
  }));
  EXPECT_TRUE(std::ranges::any_of(report_.values, [](const auto& v) { return v.name == "tcp.connections.established"; }));
  client_.close(now_);
}

}  // namespace
}  // namespace millrace::worker
