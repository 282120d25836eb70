// A whole worker: requests, memory, snapshots, drain, counters.
#include "tests/unit/dataplane/worker/worker_fixture.h"

namespace millrace::worker {
namespace {

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
  const auto& http = snapshot_->listeners[0]->chains[0].http()->cell->per_worker[0];
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
