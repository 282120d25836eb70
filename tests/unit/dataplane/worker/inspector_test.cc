// What a worker tells of itself: its connections, and the frames that pass.
#include "dataplane/worker/inspector.h"

#include "tests/unit/dataplane/worker/worker_fixture.h"

namespace millrace::worker {
namespace {

using report::ConnectionInfo;
using report::ConnectionState;

class InspectorTest : public WorkerTest {
 protected:
  /// Posts the letter and lets the worker serve it.
  std::vector<ConnectionInfo> ask(const report::ConnectionFilter& filter = {}, std::size_t limit = 100) {
    letter_ = std::make_shared<Letter>(std::in_place_type<ConnectionQuery>, filter, limit);
    EXPECT_TRUE(control_.mailbox.post(letter_));
    EXPECT_TRUE(run_until([&] { return letter_->state() == Letter::State::kDone; }));
    const auto& query = std::get<ConnectionQuery>(letter_->request);
    return {query.found.begin(), query.found.begin() + static_cast<std::ptrdiff_t>(query.count)};
  }
  void serve_one() {
    client_.start({kGateway, 80}, 1, now());
    ASSERT_TRUE(run_until([&] { return client_.done(); }));
  }
  std::shared_ptr<Letter> letter_;
};

TEST_F(InspectorTest, ShowsBothSidesOfAProxiedRequest) {
  serve_one();
  network_.run_for(Duration::seconds(1));  // until all is acknowledged
  const auto all = ask();
  ASSERT_EQ(all.size(), 2u);
  const ConnectionInfo& accepted = all[0].opened ? all[1] : all[0];
  const ConnectionInfo& opened = all[0].opened ? all[0] : all[1];
  EXPECT_EQ(accepted.local, (SocketAddress{kGateway, 80}));
  EXPECT_EQ(accepted.peer.ip, kHost);
  EXPECT_EQ(opened.peer, (SocketAddress{kHost, 8000}));
  for (const ConnectionInfo& one : all) {
    EXPECT_EQ(one.state, ConnectionState::kEstablished);
    EXPECT_EQ(one.kind, ConnectionInfo::Kind::kConnection);
    EXPECT_TRUE(one.sack && one.timestamps);
    EXPECT_GT(one.mss, 1'000u);
    EXPECT_GE(one.cwnd, one.mss);
    EXPECT_GT(one.peer_window, 0u);
    EXPECT_GT(one.receive_window, 0u);
    ASSERT_TRUE(one.srtt);
    EXPECT_GE(*one.srtt, Duration::microseconds(100)) << "50 us each way";
    EXPECT_EQ(one.retransmissions + one.timeouts + one.losses, 0u);
    EXPECT_EQ(one.unacked + one.unsent + one.readable, 0u);
  }
  client_.close(now());
}

TEST_F(InspectorTest, TellsAgeAndIdleTime) {
  serve_one();
  network_.run_for(Duration::seconds(3));
  for (const ConnectionInfo& one : ask()) {
    EXPECT_GE(one.age, Duration::seconds(3));
    EXPECT_LT(one.age, Duration::seconds(6));
    ASSERT_TRUE(one.idle);
    EXPECT_GE(*one.idle, Duration::milliseconds(2'900));
  }
  client_.close(now());
}

TEST_F(InspectorTest, ShowsOnlyWhatTheFilterLetsThrough) {
  serve_one();
  report::ConnectionFilter filter;
  filter.port = 8000;
  EXPECT_EQ(ask(filter).size(), 1u);
  filter = {};
  filter.states = 1u << static_cast<unsigned>(ConnectionState::kTimeWait);
  EXPECT_TRUE(ask(filter).empty());
  client_.close(now());
}

TEST_F(InspectorTest, CountsWhatIsBeyondTheLimit) {
  serve_one();
  EXPECT_EQ(ask({}, 1).size(), 1u);
  EXPECT_EQ(std::get<ConnectionQuery>(letter_->request).left_out, 1u);
  client_.close(now());
}

TEST_F(InspectorTest, ShowsWhatIsInTimeWait) {
  test::ScriptedClient last(host_, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 64);
  last.start({kGateway, 80}, 1, now());
  ASSERT_TRUE(run_until([&] { return last.done(); }));
  last.close(now());
  run_until([] { return false; }, Duration::milliseconds(500));
  report::ConnectionFilter filter;
  filter.local.port = 80;
  const auto all = ask(filter);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].state, ConnectionState::kTimeWait);
  EXPECT_EQ(all[0].kind, ConnectionInfo::Kind::kTimeWait);
  EXPECT_FALSE(all[0].opened);
  EXPECT_TRUE(all[0].timestamps);
}

TEST_F(InspectorTest, CopiesFramesBothWaysUntilItIsAbandoned) {
  const auto letter =
      std::make_shared<Letter>(std::in_place_type<Capture>, report::CaptureOrder{.ports = 1, .snap_bytes = 2'000, .filter = {}});
  ASSERT_TRUE(control_.mailbox.post(letter));
  step();
  serve_one();
  std::size_t from_us = 0;
  std::size_t to_us = 0;
  std::size_t bytes = 0;
  report::CaptureRing& ring = std::get<Capture>(letter->request).ring;
  const MacAddress ours = gateway_port_.info().mac;
  const auto count = [&](const report::CaptureRing::Record& record, std::span<const std::uint8_t> first, auto) {
    from_us += std::equal(ours.bytes.begin(), ours.bytes.end(), first.begin() + 6);
    to_us += std::equal(ours.bytes.begin(), ours.bytes.end(), first.begin());
    bytes += record.size;
    return true;
  };
  ring.drain(count);
  EXPECT_GE(from_us, 4u) << "a SYN, a SYN-ACK, the request and the answer";
  EXPECT_GE(to_us, 4u) << "as many of the client and the origin";
  EXPECT_GT(bytes, 2 * kResponse.size());
  letter->abandon();
  EXPECT_TRUE(run_until([&] { return letter->state() == Letter::State::kDone; }));
  client_.close(now());
  run_until([] { return false; }, Duration::milliseconds(50));
  from_us = 0;
  ring.drain(count);
  EXPECT_EQ(from_us, 0u);
}

}  // namespace
}  // namespace millrace::worker
