// Each oracle catches a bug that is seeded for it here: an oracle that never complains proves nothing.
#include <gtest/gtest.h>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "tests/simulation/audit.h"
#include "tests/simulation/gateway_scenario.h"
#include "tests/simulation/stream_program.h"

namespace millrace::sim {
namespace {

constexpr std::uint16_t kPort = 80;

HostConfig host_config(std::uint8_t number) {
  HostConfig config;
  config.name = number == 1 ? "client" : "server";
  config.mac = {{2, 0, 0, 0, 0, number}};
  config.addresses = {{IpAddress::v4(10, 0, 0, number), 24}};
  config.stack = small_stack();
  return config;
}

// Two hosts on a good link and one connection that sends 100 kB each way.
class OracleTest : public ::testing::Test {
 protected:
  OracleTest() {
    const LinkConfig link{.bits_per_second = 100'000'000, .delay = Duration::milliseconds(5)};
    network_.join(client_.port(), server_.port(), link, link);
    servers_.listen({server_.config().addresses[0].address, kPort});
    StreamPlan plan;
    for (EndPlan& end : plan.end) end.bytes = 100'000;
    table_.rows.push_back({.plan = plan, .state = {}});
  }

  void open() { clients_.open(0, {server_.config().addresses[0].address, kPort}, network_.now()); }
  void run(Duration time) {
    network_.run_for(time, [&] { return table_.over(); });
  }
  void audit() {
    audit_timers(client_, table_.findings);
    audit_timers(server_, table_.findings);
  }
  // Everything ends, TIME-WAIT included; then all is judged.
  const Findings& judge() {
    network_.run_for(Duration::seconds(70));
    audit();
    table_.judge();
    audit_leaks(client_, table_.findings);
    audit_leaks(server_, table_.findings);
    return table_.findings;
  }

  Network network_{1};
  Host client_{network_, host_config(1)};
  Host server_{network_, host_config(2)};
  StreamTable table_;
  StreamProgram clients_{client_, table_};
  StreamProgram servers_{server_, table_};
};

TEST_F(OracleTest, IsContentWithARunWithoutBugs) {
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(judge().empty()) << table_.findings.render();
  EXPECT_EQ(table_.rows[0].state[1].received, 100'000u);
}

TEST_F(OracleTest, MissesAByteThatAReaderLosesInTheMiddle) {
  servers_.drop_byte_at(50'000);
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(judge().mention("wrong bytes")) << table_.findings.render();
}

TEST_F(OracleTest, MissesTheLastByte) {
  servers_.drop_byte_at(99'999);
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(judge().mention("told of the end after 99999 bytes of 100000")) << table_.findings.render();
}

// A port that changes a byte of payload and mends the checksum, as bad memory in a router does.
TEST_F(OracleTest, SeesAByteThatIsChangedBehindTheChecksum) {
  bool done = false;
  client_.port().set_tamper([&](std::span<std::uint8_t> frame, Instant) {
    if (done || frame.size() < 1'000) return true;
    done = true;
    std::uint8_t* sum = &frame[34 + 16];
    const auto patch = [&](std::size_t at, int by) {
      wire::store_be16(&frame[at], static_cast<std::uint16_t>(wire::load_be16(&frame[at]) + by));
    };
    // One word up, another down by as much: the sum stays. Words that would carry are left alone.
    std::size_t up = 200;
    while (wire::load_be16(&frame[up]) == 0xffff) up += 2;
    std::size_t down = 400;
    while (wire::load_be16(&frame[down]) == 0) down += 2;
    patch(up, 1);
    patch(down, -1);
    return sum != nullptr;
  });
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(done);
  EXPECT_TRUE(judge().mention("wrong bytes")) << table_.findings.render();
}

TEST_F(OracleTest, SeesAStackThatLosesItsTimers) {
  open();
  run(Duration::milliseconds(35));  // connected, data under way
  client_.port().set_tamper([](std::span<std::uint8_t>, Instant) { return false; });
  client_.lose_timers();
  run(Duration::seconds(60));
  audit();
  EXPECT_TRUE(table_.findings.mention("lost a timer")) << table_.findings.render();
}

TEST_F(OracleTest, SeesAConnectionThatNeverEnds) {
  table_.rows[0].plan.end[0].write_pause = Duration::seconds(3'600);
  table_.rows[0].plan.end[0].write_bytes = 10'000;
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(judge().mention("never ended")) << table_.findings.render();
}

TEST_F(OracleTest, SeesAConnectionThatBreaksForNoReason) {
  client_.port().set_tamper([&, count = 0](std::span<std::uint8_t> frame, Instant) mutable {
    // The eleventh segment turns into a RST that the server must believe.
    if (frame.size() < 54 || frame[12] != 0x08 || frame[13] != 0x00 || ++count != 11) return true;
    const std::uint16_t word = wire::load_be16(&frame[34 + 12]);
    const std::uint16_t changed = static_cast<std::uint16_t>(word | 0x04);
    wire::store_be16(&frame[34 + 12], changed);
    const std::uint32_t sum = wire::load_be16(&frame[34 + 16]) + (0xffffu - changed) + word;  // RFC 1624, the other way round
    wire::store_be16(&frame[34 + 16], static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16)));
    return true;
  });
  open();
  run(Duration::seconds(60));
  EXPECT_TRUE(judge().mention("broke: reset by peer")) << table_.findings.render();
}

TEST_F(OracleTest, SeesPacketsThatAreNotGivenBack) {
  open();
  run(Duration::seconds(60));
  const nic::Packet kept = client_.packets().allocate();
  EXPECT_TRUE(judge().mention("leak: 1 packets")) << table_.findings.render();
}

TEST_F(OracleTest, SeesChainNodesThatAreNotGivenBack) {
  open();
  run(Duration::seconds(60));
  stream::Chain kept(server_.chains());
  ASSERT_TRUE(kept.append_copy("forgotten"));
  EXPECT_TRUE(judge().mention("leak: 1 chain nodes")) << table_.findings.render();
}

TEST_F(OracleTest, SeesConnectionsThatAreLeftOver) {
  open();
  run(Duration::milliseconds(35));
  audit_leaks(server_, table_.findings);
  EXPECT_TRUE(table_.findings.mention("leak: 1 connections")) << table_.findings.render();
}

GatewayScenario small_gateway() {
  GatewayScenario scenario;
  scenario.seed = 1;
  scenario.links.resize(2);
  scenario.requests.resize(4);
  for (RequestPlan& request : scenario.requests) request.response_bytes = 5'000;
  scenario.clients.push_back({.requests = {0, 1, 2, 3}});
  return scenario;
}

TEST(GatewayOracle, IsContentWithARunWithoutBugs) {
  const GatewayOutcome outcome = run(small_gateway());
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  EXPECT_EQ(outcome.answered, 4u);
}

TEST(GatewayOracle, SeesAnswersThatAreMixedUp) {
  GatewayScenario scenario = small_gateway();
  scenario.mix_up_answers = true;
  EXPECT_TRUE(run(scenario).findings.mention("wrong bytes"));
}

GatewayScenario with_failures(std::uint32_t failed_tries, std::uint32_t retries) {
  GatewayScenario scenario = small_gateway();
  scenario.retries = retries;
  for (RequestPlan& request : scenario.requests) {
    request.request_bytes = 3'000;
    request.failed_tries = failed_tries;
  }
  return scenario;
}

TEST(GatewayOracle, IsContentWithRetriesThatMakeUpForFailures) {
  GatewayScenario scenario = with_failures(2, 2);
  scenario.requests[1].failure = scenario.requests[3].failure = RequestPlan::Failure::kReset;
  scenario.requests[2].fails_early = scenario.requests[3].fails_early = true;
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  EXPECT_EQ(outcome.answered, 4u);
}

TEST(GatewayOracle, SeesFailuresThatTheyDoNotMakeUpFor) {
  EXPECT_TRUE(run(with_failures(2, 1)).findings.mention("answered with HTTP/1.1 503"));
}

TEST(GatewayOracle, SeesTriesBeyondThePolicy) {
  RequestTable table;
  table.most_tries = 2;
  table.rows.push_back({.plan = {}, .result = RequestTable::Result::kAnswered, .tries = 3, .arrivals = 3});
  table.judge();
  EXPECT_TRUE(table.findings.mention("reached origins 3 times"));
}

TEST(GatewayOracle, SeesARequestThatIsNotAnswered) {
  GatewayScenario scenario = small_gateway();
  scenario.requests[3].origin_delay = Duration::seconds(5 * 3'600);
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.mention("request 3: ")) << outcome.findings.render();
}

}  // namespace
}  // namespace millrace::sim
