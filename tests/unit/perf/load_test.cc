// millload's parts: messages, bodies, the histogram; and clients with an origin over the simulated network.
#include <gtest/gtest.h>

#include "dataplane/report/turn_histogram.h"
#include "perf/millload/clients.h"
#include "perf/millload/gateway_stats.h"
#include "perf/millload/messages.h"
#include "perf/millload/origin.h"
#include "tests/simulation/host.h"

namespace millrace::perf {
namespace {

TEST(LatencyHistogram, QuantilesAreCloseToWhatWasObserved) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100'000; ++i) histogram.record(Duration::nanoseconds(std::int64_t{i} * 1'000));
  EXPECT_EQ(histogram.count(), 100'000u);
  EXPECT_EQ(histogram.min(), Duration::microseconds(1));
  EXPECT_EQ(histogram.max(), Duration::microseconds(100'000));
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = static_cast<std::int64_t>(share * 1e8);
    EXPECT_GE(histogram.quantile(share).to_nanoseconds(), exact);
    EXPECT_LE(histogram.quantile(share).to_nanoseconds(), exact + exact / 60) << share;
  }
  EXPECT_EQ(histogram.quantile(1), histogram.max());
}

TEST(LatencyHistogram, TakesAnything) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), Duration());
  for (const std::int64_t value :
       {std::int64_t{-5}, std::int64_t{0}, std::int64_t{127}, std::int64_t{128}, std::int64_t{1} << 50}) {
    histogram.record(Duration::nanoseconds(value));
  }
  EXPECT_EQ(histogram.count(), 5u);
  EXPECT_EQ(histogram.quantile(0.2), Duration());
  EXPECT_EQ(histogram.quantile(0.6), Duration::nanoseconds(127));
}

TEST(Messages, ARequestTellsTheOriginWhatToDo) {
  HeadBuffer buffer;
  const Exchange wanted{.number = 77, .request_bytes = 10, .response_bytes = 1'024, .last = true};
  const std::string_view head = write_request_head(buffer, wanted, "198.18.0.2:80");
  EXPECT_EQ(head, "POST /1024/10/77 HTTP/1.1\r\nHost: 198.18.0.2:80\r\nContent-Length: 10\r\nConnection: close\r\n\r\n");
  const auto read = read_request_head(head);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->number, 77u);
  EXPECT_EQ(read->request_bytes, 10u);
  EXPECT_EQ(read->response_bytes, 1'024u);
  EXPECT_TRUE(read->last);
}

TEST(Messages, WhatNobodySentIsNoRequest) {
  for (const char* head : {"GET / HTTP/1.1\r\n\r\n", "GET /1/2 HTTP/1.1\r\n\r\n", "GET /1/2/x HTTP/1.1\r\n\r\n",
                           "PUT /1/2/3 HTTP/1.1\r\n\r\n", "GET /1/2/3 HTTP/1.1\r\n", ""}) {
    EXPECT_FALSE(read_request_head(head)) << head;
  }
}

TEST(Messages, AResponseIsReadWhateverTheGatewayAdds) {
  const auto response = read_response_head(
      "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\nContent-Length:  17\r\nx-content-length: 3\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503u);
  EXPECT_EQ(response->body_bytes, 17u);
  EXPECT_FALSE(read_response_head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
  EXPECT_FALSE(read_response_head("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n"));
}

class Load : public ::testing::Test {
 protected:
  static constexpr IpAddress kClient = IpAddress::v4(198, 18, 0, 1);
  static constexpr IpAddress kOrigin = IpAddress::v4(198, 18, 0, 2);

  Load() {
    const sim::LinkConfig link{.delay = Duration::microseconds(50)};
    network_.join(client_host_.port(), origin_host_.port(), link, link);
  }
  static sim::HostConfig host(const char* name, std::uint8_t number, const IpAddress& address) {
    return {.name = name, .mac = {{2, 0, 0, 0, 0, number}}, .addresses = {{address, 24}}, .stack = sim::small_stack()};
  }
  LoadConfig config() { return {.targets = {{kOrigin, 80}}, .connections = 4}; }

  /// Listens, and lets the clients run for so long.
  void run(const LoadConfig& load, Duration time, const OriginConfig& origin = {}) {
    run_with_origin(load, time, origin);
    origin_host_.crash(network_.now());  // the next run has another origin
  }
  void run_with_origin(const LoadConfig& load, Duration time, const OriginConfig& origin) {
    const Pattern pattern(origin_host_.chains());
    Origin answering(origin_host_.chains(), pattern, failures_, origin);
    ASSERT_TRUE(origin_host_.tcp().listen({kOrigin, 80}, answering));
    Clients clients(client_host_.tcp(), client_host_.chains(), client_pattern_, failures_, load);
    clients.observe(&observed_);
    const Instant end = network_.now() + time;
    while (network_.now() < end) {
      clients.pace(network_.now());
      open_ = std::max(open_, clients.open());
      network_.run_for(Duration::microseconds(20));
    }
    waiting_ = clients.waiting();
    accepted_ = answering.accepted();
    clients.stop(network_.now());
    network_.run_for(Duration::seconds(1));
    EXPECT_EQ(answering.connections(), 0u);
  }

  sim::Network network_{1};
  sim::Host client_host_{network_, host("client", 1, kClient)};
  sim::Host origin_host_{network_, host("origin", 2, kOrigin)};
  Pattern client_pattern_{client_host_.chains()};
  Failures failures_;
  Observed observed_;
  std::size_t open_ = 0;
  std::size_t waiting_ = 0;
  std::uint64_t accepted_ = 0;
};

TEST_F(Load, AClosedLoopSendsTheNextRequestWhenOneIsAnswered) {
  run(config(), Duration::milliseconds(100));
  EXPECT_EQ(failures_.count(), 0u) << failures_.first();
  EXPECT_EQ(open_, 4u);
  EXPECT_EQ(observed_.connects, 4u);
  EXPECT_EQ(observed_.refused, 0u);
  EXPECT_GT(observed_.requests, 2'500u) << "four at a time, 100 us each";
  EXPECT_LT(observed_.requests, 4'000u);
  EXPECT_GE(observed_.latency.min(), Duration::microseconds(100));
}

TEST_F(Load, APipelineHasSeveralUnderWay) {
  LoadConfig load = config();
  load.pipeline = 8;
  run(load, Duration::milliseconds(100));
  EXPECT_EQ(failures_.count(), 0u) << failures_.first();
  EXPECT_GT(observed_.requests, 15'000u);
}

TEST_F(Load, BodiesOfAnySizeAreVerifiedBothWays) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{1'460}, std::size_t{65'521}, std::size_t{300'000}}) {
    LoadConfig load = config();
    load.request_bytes = size;
    load.response_bytes = size;
    const std::uint64_t before = observed_.requests;
    run(load, Duration::milliseconds(100));
    EXPECT_EQ(failures_.count(), 0u) << failures_.first();
    EXPECT_GT(observed_.requests, before);
  }
}

TEST_F(Load, AWrongByteIsFound) {
  run(config(), Duration::milliseconds(50), {.corrupt_every = 100});
  EXPECT_GT(failures_.count(), 0u);
  EXPECT_NE(failures_.first().find("wrong bytes"), std::string::npos) << failures_.first();
}

TEST_F(Load, AConnectionPerRequest) {
  LoadConfig load = config();
  load.requests_per_connection = 1;
  run(load, Duration::milliseconds(100));
  EXPECT_EQ(failures_.count(), 0u) << failures_.first();
  EXPECT_GT(observed_.requests, 500u);
  EXPECT_NEAR(static_cast<double>(observed_.connects), static_cast<double>(observed_.requests), 8);
  EXPECT_EQ(observed_.refused, 0u);
}

TEST_F(Load, AnOpenLoopKeepsItsRateAndCountsFromWhenARequestWasDue) {
  LoadConfig load = config();
  load.connections = 1;  // which can carry 10,000 per second
  load.rate = 5'000;
  run(load, Duration::milliseconds(200));
  EXPECT_NEAR(static_cast<double>(observed_.requests), 1'000, 20);
  EXPECT_LT(observed_.latency.quantile(0.99), Duration::microseconds(300));
  EXPECT_LT(waiting_, 3u);

  observed_ = {};
  load.rate = 20'000;  // twice what it can carry
  run(load, Duration::milliseconds(200));
  EXPECT_GT(waiting_, 1'500u);
  EXPECT_GT(observed_.latency.quantile(0.9), Duration::milliseconds(70)) << "the wait counts";
}

TEST_F(Load, ConnectionsAreOpenedOverTheRamp) {
  LoadConfig load = config();
  load.connections = 100;
  load.ramp = Duration::milliseconds(200);
  run(load, Duration::milliseconds(100));
  EXPECT_NEAR(static_cast<double>(open_), 50, 5);
}

TEST_F(Load, RefusedConnectionsAreCountedAndTriedAgain) {
  Clients clients(client_host_.tcp(), client_host_.chains(), client_pattern_, failures_, config());
  clients.observe(&observed_);
  for (int i = 0; i < 100; ++i) {
    clients.pace(network_.now());
    network_.run_for(Duration::microseconds(200));
  }
  EXPECT_EQ(observed_.connects, 0u);
  EXPECT_GT(observed_.refused, 50u);
  EXPECT_EQ(failures_.count(), 0u);
  clients.stop(network_.now());
}

TEST(GatewayStats, TellsHowLongTurnsTook) {
  const GatewayStats before{.busy_turns_upto = {{1, 100}, {2, 10}, {4, 0}, {~std::uint64_t{0}, 0}}};
  const GatewayStats after{.busy_turns_upto = {{1, 150}, {2, 59}, {4, 1}, {~std::uint64_t{0}, 0}}};
  const GatewayStats meanwhile = after.since(before);
  EXPECT_EQ(meanwhile.turn_quantile_microseconds(0.5), 1u);
  EXPECT_EQ(meanwhile.turn_quantile_microseconds(0.99), 2u);
  EXPECT_EQ(meanwhile.turn_quantile_microseconds(1.0), 4u);
  EXPECT_FALSE(meanwhile.instructions.has_value()) << "nobody counted them";
}

TEST(TurnHistogram, HasPowersOfTwoOfAMicrosecond) {
  report::TurnHistogram histogram;
  for (const std::int64_t nanoseconds : {0, 1'000, 1'001, 2'000, 3'000, 4'000, 4'001, 2'000'000'000}) {
    histogram.record(Duration::nanoseconds(nanoseconds));
  }
  EXPECT_EQ(histogram.count(0), 2u);
  EXPECT_EQ(histogram.count(1), 2u) << "above 1 us, up to 2 us";
  EXPECT_EQ(histogram.count(2), 2u);
  EXPECT_EQ(histogram.count(3), 1u);
  EXPECT_EQ(histogram.count(report::TurnHistogram::kBuckets - 1), 1u);
}

}  // namespace
}  // namespace millrace::perf
