// A worker's listeners and endpoints on its own host, beside those of its ports.
#include "tests/unit/dataplane/worker/worker_fixture.h"

namespace millrace::worker {
namespace {

const SocketAddress kLoopback{IpAddress::v4(127, 0, 0, 1), 80};
const SocketAddress kAnywhere{IpAddress::v4(0, 0, 0, 0), 80};
const std::string kRequest = "GET /path HTTP/1.1\r\nHost: example.org\r\n\r\n";

class HostEndpoints : public WorkerTest {
 protected:
  void serve(std::vector<SocketAddress> listener, SocketAddress endpoint, std::string pipe = {}) {
    auto snapshot = test::make_snapshot({.listener = listener.front(), .endpoints = {endpoint}, .version = ++version_});
    auto changed = std::make_shared<config::Listener>(*snapshot->listeners.front());
    changed->addresses = std::move(listener);
    snapshot->listeners.front() = changed;
    const config::Snapshot::Clusters clusters = snapshot->clusters;
    for (const auto& [name, cluster] : clusters) {
      auto with_pipe = std::make_shared<config::Cluster>(*cluster);
      with_pipe->endpoints.front().own_extras().pipe = pipe;
      snapshot->clusters.set(name, with_pipe);
    }
    slot_.publish(snapshot);
    network_.run_for(Duration::milliseconds(20));
  }

  std::uint64_t version_ = 1;
};

TEST_F(HostEndpoints, ARequestFromAPortIsAnsweredByALoopbackEndpoint) {
  serve({{kGateway, 80}}, {IpAddress::v4(127, 0, 0, 1), 8000});
  client_.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return kernel_.last() >= 0; }));
  const int socket = kernel_.last();
  EXPECT_EQ(kernel_[socket].place.address, (SocketAddress{IpAddress::v4(127, 0, 0, 1), 8000}));
  kernel_.connected(socket);
  ASSERT_TRUE(run_until([&] { return kernel_[socket].written.contains("GET /path"); }));
  kernel_.arrive(socket, kResponse);
  EXPECT_TRUE(run_until([&] { return client_.answered() == 1; }));
}

TEST_F(HostEndpoints, AUnixSocketIsConnectedByItsPath) {
  serve({{kGateway, 80}}, SocketAddress::of_pipe("/run/origin.sock"), "/run/origin.sock");
  client_.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return kernel_.last() >= 0; }));
  EXPECT_EQ(kernel_[kernel_.last()].place.pipe, "/run/origin.sock");
}

TEST_F(HostEndpoints, AListenerForAllAddressesListensOnTheHostToo) {
  serve({kAnywhere}, {kHost, 8000});
  const int listener = kernel_.listener_at(kLoopback);
  ASSERT_GE(listener, 0);
  EXPECT_TRUE(kernel_[listener].place.is_half);
  kernel_.waiting_connections = 1;
  ASSERT_TRUE(run_until([&] { return kernel_.last() > listener; }));
  const int accepted = kernel_.last();
  kernel_.arrive(accepted, kRequest);
  EXPECT_TRUE(run_until([&] { return kernel_[accepted].written.contains("200 OK"); })) << "from the origin behind the port";
}

TEST_F(HostEndpoints, AListenerForAllAddressesDoesWithoutTheHostsHalf) {
  kernel_.next_listen_error = EADDRINUSE;
  serve({kAnywhere}, {kHost, 8000});
  EXPECT_EQ(control_.listeners_failed.load(), 0u);
  client_.start({kGateway, 80}, 1, now());
  EXPECT_TRUE(run_until([&] { return client_.answered() == 1; }));
}

TEST_F(HostEndpoints, AnAddressThatIsNamedAndTakenCounts) {
  kernel_.next_listen_error = EADDRINUSE;
  serve({kLoopback}, {kHost, 8000});
  EXPECT_EQ(control_.listeners_failed.load(), 1u);
}

TEST_F(HostEndpoints, AListenerOfTheVeryAddressGoesBefore) {
  serve({kAnywhere, kLoopback}, {kHost, 8000});
  const int listener = kernel_.listener_at(kLoopback);
  ASSERT_GE(listener, 0);
  EXPECT_FALSE(kernel_[listener].place.is_half);
}

TEST_F(HostEndpoints, AListenerThatIsGoneIsClosed) {
  serve({kLoopback}, {kHost, 8000});
  const int listener = kernel_.listener_at(kLoopback);
  ASSERT_GE(listener, 0);
  serve({{kGateway, 80}}, {kHost, 8000});
  EXPECT_TRUE(kernel_[listener].closed);
}

TEST_F(HostEndpoints, ADrainWaitsForWhatTheKernelHasNotTaken) {
  serve({kLoopback}, {kHost, 8000});
  const int listener = kernel_.listener_at(kLoopback);
  kernel_.waiting_connections = 1;
  ASSERT_TRUE(run_until([&] { return kernel_.last() > listener; }));
  const int accepted = kernel_.last();
  kernel_[accepted].room = 10;
  kernel_.arrive(accepted, kRequest);
  ASSERT_TRUE(run_until([&] { return kernel_[accepted].written.size() == 10; }));
  control_.wanted.store(Lifecycle::kDraining);
  EXPECT_FALSE(run_until([&] { return control_.drained.load(); }, Duration::milliseconds(100)));
  EXPECT_TRUE(kernel_[listener].closed);
  kernel_.make_room(accepted, 1'000'000);
  EXPECT_TRUE(run_until([&] { return control_.drained.load(); }));
  EXPECT_TRUE(kernel_[accepted].written.ends_with(std::string(64, 'b')));
}

}  // namespace
}  // namespace millrace::worker
