// Each oracle catches a bug that is seeded for it here: an oracle that never complains proves nothing.
#include <gtest/gtest.h>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "tests/simulation/audit.h"
#include "tests/simulation/ejection_oracle.h"
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

std::shared_ptr<const config::RetryPolicy> policy_of(config::RetryCondition condition, std::uint32_t retries) {
  auto policy = std::make_shared<config::RetryPolicy>();
  policy->conditions.add(condition);
  policy->num_retries = retries;
  return policy;
}

GatewayScenario with_failures(std::uint32_t failed_tries, std::uint32_t retries) {
  GatewayScenario scenario = small_gateway();
  scenario.retry = policy_of(config::RetryCondition::k5xx, retries);
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
  GatewayScenario scenario = with_failures(2, 2);
  scenario.believed_retry = policy_of(config::RetryCondition::k5xx, 1);
  EXPECT_TRUE(run(scenario).findings.mention("beyond its retries: attempt 3"));
}

// A gateway that retries whatever fails, where the policy covers other failures only.
TEST(GatewayOracle, SeesTriesThatThePolicyDoesNotCover) {
  using config::RetryCondition;
  GatewayScenario scenario = with_failures(1, 1);
  const auto finds = [&](RetryCondition believed, const char* finding) {
    scenario.believed_retry = policy_of(believed, 1);
    const GatewayOutcome outcome = run(scenario);
    EXPECT_TRUE(outcome.findings.mention(finding)) << outcome.findings.render();
  };
  finds(RetryCondition::kReset, "was sent again against its policy, after attempt 1, to which an origin said 503");
  finds(RetryCondition::kConnectFailure, "said 503");
  finds(RetryCondition::kRetriableStatusCodes, "said 503");
  for (RequestPlan& plan : scenario.requests) plan.failure_status = 500;
  finds(RetryCondition::kGatewayError, "said 500");
  for (RequestPlan& plan : scenario.requests) plan.failure = RequestPlan::Failure::kReset;
  finds(RetryCondition::kConnectFailure, "after attempt 1, which an origin broke");
  finds(RetryCondition::kResetBeforeRequest, "which an origin broke");
  finds(RetryCondition::kRefusedStream, "which an origin broke");
}

TEST(GatewayOracle, SeesTriesThatFollowAFailureToConnectAndAreNotCovered) {
  GatewayScenario scenario = with_failures(0, 1);
  scenario.dead_endpoint = true;
  EXPECT_TRUE(run(scenario).findings.empty());
  scenario.believed_retry = policy_of(config::RetryCondition::kRetriableStatusCodes, 1);
  EXPECT_TRUE(run(scenario).findings.mention("after attempt 1, which reached nobody"));
}

// Origins are slow, and the gateway is impatient where it should not be.
TEST(GatewayOracle, SeesTriesWhoseTimeIsNotOver) {
  GatewayScenario scenario = with_failures(0, 1);
  scenario.links.resize(3);
  scenario.origins = 2;
  auto policy = std::make_shared<config::RetryPolicy>(*scenario.retry);
  policy->per_try_timeout = Duration::milliseconds(200);
  scenario.retry = policy;
  for (RequestPlan& plan : scenario.requests) plan.origin_delay = Duration::milliseconds(300), plan.may_fail = true;
  scenario.believed_retry = policy_of(config::RetryCondition::k5xx, 1);
  EXPECT_TRUE(run(scenario).findings.mention("after attempt 1, to which its origin said nothing"));
}

RequestTable table_of(std::initializer_list<TryRecord> tries, std::uint32_t told_attempts) {
  RequestTable table;
  table.retry = policy_of(config::RetryCondition::k5xx, 3);
  table.rows.push_back(
      {.plan = {}, .result = RequestTable::Result::kAnswered, .tries = tries, .arrivals = 1, .told_attempts = told_attempts});
  table.judge();
  return table;
}

TEST(GatewayOracle, SeesATryAfterTheClientHasTheHeadOfAResponse) {
  const TryRecord failed{.attempt = 1, .status = 503};
  const TryRecord good{.attempt = 2, .status = 200};
  EXPECT_TRUE(table_of({failed, good}, 2).findings.empty());
  EXPECT_TRUE(table_of({failed, good}, 1).findings.mention("was sent again after its client had a response"));
}

TEST(GatewayOracle, SeesATryThatIsMadeTwice) {
  const TryRecord good{.attempt = 1, .status = 200};
  EXPECT_TRUE(table_of({good, good}, 1).findings.mention("reached origins twice as attempt 1"));
}

// Ten clients at once, whose requests take half a second.
GatewayScenario busy_gateway() {
  GatewayScenario scenario = small_gateway();
  scenario.limited = true;
  scenario.requests.assign(10, {.response_bytes = 100, .origin_delay = Duration::milliseconds(500)});
  scenario.clients.clear();
  for (std::uint64_t i = 0; i < scenario.requests.size(); ++i) scenario.clients.push_back({.requests = {i}});
  scenario.believed_breakers.emplace();
  return scenario;
}

TEST(GatewayOracle, SeesLimitsThatAreExceeded) {
  GatewayScenario scenario = busy_gateway();
  EXPECT_TRUE(run(scenario).findings.empty());
  for (config::BreakerThresholds& limits : scenario.breakers.thresholds) limits.max_connection_pools = 50;
  scenario.breakers.max_connections_per_endpoint = {50, 50};  // what nothing limits is not counted
  const auto finds = [&](auto&& believe, const char* finding) {
    scenario.believed_breakers.emplace();
    believe(*scenario.believed_breakers);
    const GatewayOutcome outcome = run(scenario);
    EXPECT_TRUE(outcome.findings.mention(finding)) << outcome.findings.render();
  };
  finds([](config::CircuitBreakers& limits) { limits.thresholds[0].max_connections = 2; }, "connections, of");
  finds([](config::CircuitBreakers& limits) { limits.thresholds[0].max_pending_requests = 2; }, "waiting requests, of");
  finds([](config::CircuitBreakers& limits) { limits.thresholds[0].max_requests = 4; }, "8 requests, of");
  finds([](config::CircuitBreakers& limits) { limits.thresholds[0].max_connection_pools = 0; }, "1 connection pools, of");
  finds([](config::CircuitBreakers& limits) { limits.max_connections_per_endpoint = {1, 1}; }, "and 1 may be");
  for (RequestPlan& plan : scenario.requests) plan.high_priority = true;
  finds([](config::CircuitBreakers& limits) { limits.thresholds[1].max_requests = 4; }, "8 requests of high priority, of");
}

TEST(GatewayOracle, SeesRetriesBeyondTheirLimitOrBudget) {
  GatewayScenario scenario = with_failures(1, 1);
  scenario.limited = true;
  EXPECT_TRUE(run(scenario).findings.empty());
  scenario.believed_breakers.emplace().thresholds[0].max_retries = 0;
  EXPECT_TRUE(run(scenario).findings.mention("1 retries, of"));
  scenario.believed_breakers->thresholds[0].retry_budget = config::RetryBudget{.percent = 100, .min_concurrency = 0};
  EXPECT_TRUE(run(scenario).findings.empty());
  scenario.believed_breakers->thresholds[0].retry_budget = config::RetryBudget{.percent = 20, .min_concurrency = 0};
  EXPECT_TRUE(run(scenario).findings.mention("1 retries, while"));
}

TEST(GatewayOracle, SeesRefusalsWithoutAReason) {
  GatewayScenario scenario = busy_gateway();
  scenario.believed_breakers.reset();
  scenario.breakers.thresholds[0].max_requests = 4;
  EXPECT_TRUE(run(scenario).findings.mention("answered with HTTP/1.1 503"));
  for (RequestPlan& plan : scenario.requests) plan.may_overflow = true;
  EXPECT_TRUE(run(scenario).findings.empty());
}

// The first twelve requests of forty fail.
GatewayScenario failing_gateway() {
  GatewayScenario scenario = small_gateway();
  scenario.origins = 3;
  scenario.links.resize(4);
  scenario.clients[0].requests.clear();
  for (std::uint64_t i = 0; i < 40; ++i) scenario.clients[0].requests.push_back(i);
  scenario.requests.assign(40, {.response_bytes = 100, .think = Duration::milliseconds(100)});
  for (std::size_t i = 0; i < 12; ++i) {
    scenario.requests[i].failed_tries = 1;
    scenario.requests[i].may_fail = true;
  }
  config::OutlierDetection& detection = scenario.outlier_detection.emplace();
  detection.consecutive_5xx.count = 3;
  detection.consecutive_gateway_failure.count = 4;  // and not enforced
  detection.interval = Duration::milliseconds(100);
  detection.base_ejection_time = Duration::milliseconds(500);
  detection.max_ejection_time = Duration::seconds(10);
  detection.max_ejection_percent = 40;
  scenario.believed_detection = detection;
  return scenario;
}

TEST(GatewayOracle, SeesEjectionsAndReturnsAtTheWrongTime) {
  GatewayScenario scenario = failing_gateway();
  const config::OutlierDetection right = *scenario.outlier_detection;
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  const auto finds = [&](auto&& believe, const char* finding) {
    scenario.believed_detection = right;
    believe(*scenario.believed_detection);
    const GatewayOutcome wrong = run(scenario);
    EXPECT_TRUE(wrong.findings.mention(finding)) << wrong.findings.render();
  };
  finds([](config::OutlierDetection& detection) { detection.consecutive_5xx.count = 2; }, "has failed, and is not ejected");
  finds([](config::OutlierDetection& detection) { detection.consecutive_5xx.count = 4; }, "is ejected for no reason");
  finds([](config::OutlierDetection& detection) { detection.consecutive_gateway_failure = {.count = 2}; },
        "has failed, and is not ejected");
  finds([](config::OutlierDetection& detection) { detection.base_ejection_time = Duration::milliseconds(900); },
        "has returned too early");
  finds([](config::OutlierDetection& detection) { detection.base_ejection_time = Duration::milliseconds(200); },
        "is ejected for too long");
  finds([](config::OutlierDetection& detection) { detection.max_ejection_percent = 10; }, "1 endpoints are ejected");
}

TEST(GatewayOracle, SeesRatesThatAreNotLookedAt) {
  GatewayScenario scenario = failing_gateway();
  scenario.outlier_detection->consecutive_5xx.count = 100;
  scenario.outlier_detection->interval = Duration::seconds(1);
  scenario.believed_detection = scenario.outlier_detection;
  scenario.believed_detection->failure_percentage = {
      .threshold = 50, .minimum_hosts = 1, .request_volume = 2, .enforcing_percent = 100};
  EXPECT_TRUE(run(scenario).findings.mention("has failed, and is not ejected"));
  scenario.outlier_detection->failure_percentage = scenario.believed_detection->failure_percentage;
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  scenario.believed_detection->failure_percentage.enforcing_percent = 0;
  EXPECT_TRUE(run(scenario).findings.mention("is ejected for no reason"));
}

std::shared_ptr<report::EndpointCell> endpoint_cell() { return std::make_shared<report::EndpointCell>(0, 1); }

// An account of its own, fed by hand: three endpoints of which the first is ejected and is asked all the same.
TEST(EjectionOracle, SeesRequestsToAnEjectedEndpoint) {
  config::Cluster cluster;
  cluster.cell = std::make_shared<report::ClusterCell>(0, "app", 1);
  for (int i = 0; i < 3; ++i) cluster.endpoints.push_back({.address = {}, .cell = endpoint_cell()});
  config::OutlierDetection detection;
  detection.consecutive_5xx.count = 1;
  detection.max_ejection_percent = 100;
  EjectionOracle oracle(cluster, {.detection = detection, .delay = {}});
  Findings findings;
  report::EndpointCell& cell = *cluster.endpoints[0].cell;
  cell.per_worker[0].external_results.requests.add();
  cell.set(report::EndpointFault::kEjected, true, *cluster.cell);
  cluster.cell->outlier.get().ejected = 1;
  oracle.after_turn(Instant(), findings);
  EXPECT_TRUE(findings.empty()) << findings.render();
  cell.per_worker[0].rq_total.add();
  oracle.after_turn(Instant(), findings);
  EXPECT_TRUE(findings.mention("gets requests, and is ejected")) << findings.render();
  cluster.cell->outlier.get().ejected = 2;
  oracle.after_turn(Instant(), findings);
  EXPECT_TRUE(findings.mention("ejections are miscounted")) << findings.render();
}

TEST(GatewayOracle, IsContentWithAnOriginThatRefusesForAWhile) {
  GatewayScenario scenario = failing_gateway();
  using Fault = GatewayScenario::Fault;
  scenario.events.push_back(
      {.at = Duration::milliseconds(1'500), .fault = Fault::kRefuse, .node = 2, .time = Duration::seconds(1)});
  for (RequestPlan& plan : scenario.requests) plan.may_fail = true;
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.empty()) << outcome.findings.render();
  for (RequestPlan& plan : scenario.requests) plan.failed_tries = 0, plan.may_fail = false;
  EXPECT_TRUE(run(scenario).findings.mention("answered with HTTP/1.1 503")) << "nobody noticed";
}

// A gateway between two hosts, whose health checks find its endpoint.
class CheckedGateway : public ::testing::Test {
 protected:
  static constexpr std::uint16_t kOrigin = 8'000;
  static GatewayConfig config() {
    GatewayConfig config;
    config.addresses = {{IpAddress::v4(10, 0, 0, 3), 24}, {IpAddress::v4(10, 0, 1, 3), 24}};
    config.endpoints = {{IpAddress::v4(10, 0, 1, 2), kOrigin}};
    config.dead_endpoint = config.endpoints[0];  // which it is not
    auto check = std::make_shared<config::HealthCheck>();
    check->interval = check->no_traffic_interval = Duration::seconds(1);
    check->healthy_threshold = 1;
    check->check = config::TcpHealthCheck{};
    config.health_check = check;
    return config;
  }
  static HostConfig origin_config() {
    HostConfig config = host_config(2);
    config.addresses = {{IpAddress::v4(10, 0, 1, 2), 24}};
    return config;
  }
  CheckedGateway() {
    network_.join(gateway_.port(0), client_.port(), {}, {});
    network_.join(gateway_.port(1), origin_host_.port(), {}, {});
    network_.run_for(Duration::seconds(5));
  }

  Network network_{1};
  Gateway gateway_{network_, config()};
  Host client_{network_, host_config(1)};
  Host origin_host_{network_, origin_config()};
  RequestTable table_;
  HttpOrigin origin_{origin_host_, table_, kOrigin};
};

TEST_F(CheckedGateway, OracleSeesAnEndpointThatIsHealthyWithoutAnybody) {
  gateway_.audit_health_checks(table_.findings);
  EXPECT_TRUE(table_.findings.mention("is healthy, and nobody is there")) << table_.findings.render();
}

TEST_F(CheckedGateway, OracleSeesAnEndpointThatIsHealthyLongAfterItHasGone) {
  const SocketAddress endpoint = gateway_.cluster().endpoints[0].address;
  gateway_.audit_absence(endpoint, Duration::seconds(1), {}, table_.findings);
  EXPECT_TRUE(table_.findings.empty()) << table_.findings.render();
  gateway_.audit_absence(endpoint, Duration::seconds(600), {}, table_.findings);
  EXPECT_TRUE(table_.findings.mention("nobody has been there for 600000 ms")) << table_.findings.render();
}

TEST_F(CheckedGateway, OracleSeesChecksWithoutResultsAndResultsWithoutChecks) {
  report::HealthCheckStats& stats = gateway_.cluster().cell->per_worker[0].health_check;
  stats.success.add(5);
  gateway_.audit_health_checks(table_.findings);
  EXPECT_TRUE(table_.findings.mention("health checks with")) << table_.findings.render();
  stats.attempt.add(10);
  Findings findings;
  gateway_.audit_health_checks(findings);
  EXPECT_TRUE(findings.mention("health checks with")) << findings.render();
}

TEST_F(CheckedGateway, OracleSeesAnAccountThatIsNotSettled) {
  gateway_.cluster().cell->per_worker[0].breakers[1].of(report::BreakerResource::kRetries).add();
  gateway_.audit_leaks(table_.findings);
  EXPECT_TRUE(table_.findings.mention("a circuit breaker counts 1")) << table_.findings.render();
}

// A client and an origin without a gateway between them.
class DirectTest : public ::testing::Test {
 protected:
  DirectTest() {
    network_.join(client_host_.port(), origin_host_.port(), {}, {});
    table_.rows.assign(2, {.plan = {.response_bytes = 100, .think = Duration::seconds(1)}});
  }
  void ask(std::vector<std::uint64_t> requests) {
    clients_.push_back(std::make_unique<HttpClient>(client_host_, table_, SocketAddress{IpAddress::v4(10, 0, 0, 2), kPort},
                                                    std::move(requests), Duration(), network_.now()));
  }

  Network network_{1};
  Host client_host_{network_, host_config(1)};
  Host origin_host_{network_, host_config(2)};
  RequestTable table_;
  HttpOrigin origin_{origin_host_, table_, kPort};
  std::vector<std::unique_ptr<HttpClient>> clients_;
};

TEST_F(DirectTest, OracleSeesARequestThatIsAnsweredTwice) {
  ask({0});
  ask({0});
  network_.run_for(Duration::seconds(5));
  EXPECT_TRUE(table_.findings.mention("answered twice")) << table_.findings.render();
}

TEST_F(DirectTest, OracleSeesBytesBehindTheLastAnswer) {
  origin_.answer_twice();
  ask({0, 1});
  network_.run_for(Duration::seconds(5));
  EXPECT_TRUE(table_.findings.mention("bytes behind the last answer")) << table_.findings.render();
}

TEST(GatewayOracle, SeesARequestThatIsNotAnswered) {
  GatewayScenario scenario = small_gateway();
  scenario.requests[3].origin_delay = Duration::seconds(5 * 3'600);
  const GatewayOutcome outcome = run(scenario);
  EXPECT_TRUE(outcome.findings.mention("request 3: ")) << outcome.findings.render();
}

}  // namespace
}  // namespace millrace::sim
