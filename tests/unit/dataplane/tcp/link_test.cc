// Two stacks on a bad link, in virtual time: every byte arrives or the connection is reported broken, and nothing leaks.
// MR_SEED=n replays.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/tcp_link.h"

namespace millrace::test {
namespace {

// Writes a pattern of `size` bytes, ends its side, checks the pattern of the other.
class Transfer final : public stream::ByteStreamEvents {
 public:
  Transfer(stream::ChainPool& chains, std::size_t size, std::uint64_t outgoing, std::uint64_t incoming)
      : chains_(chains), left_(size), out_(outgoing), in_(incoming) {}

  void use(stream::ByteStream& stream, Instant now) {
    stream_ = &stream;
    stream.set_events(*this);
    fill(now);
  }
  void set_stream(stream::ByteStream* stream) { stream_ = stream; }
  void on_connected(stream::ByteStream&, Instant now) override { fill(now); }
  void on_writable(stream::ByteStream&, Instant now) override { fill(now); }
  void on_readable(stream::ByteStream& stream, Instant now) override {
    stream::Chain chain(chains_);
    stream.read(chain, stream.readable(), now);
    received += chain.size();
    chain.for_each([&](std::span<const std::uint8_t> part) {
      for (const std::uint8_t byte : part) wrong += byte != static_cast<std::uint8_t>(in_.next());
    });
  }
  void on_closed(stream::ByteStream&, stream::CloseReason why, Instant) override { closed = why; }

  std::size_t received = 0;
  std::size_t wrong = 0;
  std::optional<stream::CloseReason> closed;

 private:
  void fill(Instant now) {
    while (left_ > 0 || !rest_.empty()) {
      if (rest_.empty()) {
        std::string text(std::min<std::size_t>(left_, 1'000 + left_ % 7'000), '\0');
        for (char& c : text) c = static_cast<char>(out_.next());
        left_ -= text.size();
        ASSERT_TRUE(rest_.append_copy(text));
      }
      stream_->write(rest_, now);
      if (!rest_.empty()) return;
    }
    stream_->shutdown_write(now);
  }

  stream::ChainPool& chains_;
  std::size_t left_;
  Rng out_;
  Rng in_;
  stream::Chain rest_{chains_};
  stream::ByteStream* stream_ = nullptr;
};

class Server final : public stream::Acceptor {
 public:
  Server(stream::ChainPool& chains, std::size_t size) : chains_(chains), size_(size) {}
  void on_accept(stream::ByteStream& stream, Instant now) override {
    transfers.push_back(std::make_unique<Transfer>(chains_, size_, 2, 1));
    transfers.back()->use(stream, now);
  }
  std::vector<std::unique_ptr<Transfer>> transfers;

 private:
  stream::ChainPool& chains_;
  std::size_t size_;
};

void expect_nothing_left(TcpLink& link) {
  link.run(Duration::seconds(70));  // TIME-WAIT passes
  for (TcpHost* host : {&link.a, &link.b}) {
    EXPECT_EQ(host->tcp.connections(), 0u);
    EXPECT_EQ(host->tcp.half_open(), 0u);
    EXPECT_EQ(host->tcp.time_wait(), 0u);
    EXPECT_EQ(host->tcp.gauges().bytes_queued, 0);
    for (const std::int64_t count : host->tcp.gauges().connections) EXPECT_EQ(count, 0);
  }
  EXPECT_EQ(link.packets.in_use(), 0u);
  EXPECT_EQ(link.chains.nodes_in_use(), 0u);
}

struct Weather {
  const char* name;
  LinkFaults faults;
  std::size_t bytes;
};

class TcpLinkTest : public ::testing::TestWithParam<std::tuple<Weather, int>> {};

TEST_P(TcpLinkTest, BothWaysIntact) {
  const auto& [weather, run] = GetParam();
  const std::uint64_t seed = seed_or(static_cast<std::uint64_t>(run) * 7'919 + 1);
  SCOPED_TRACE("MR_SEED=" + std::to_string(seed));
  TcpLink link(seed, small_stack(), run % 2 == 1);
  link.set_faults(weather.faults);
  Server server(link.chains, weather.bytes / 2);
  ASSERT_TRUE(link.b.tcp.listen({link.b.address(), 80}, server));
  Transfer client(link.chains, weather.bytes, 1, 2);
  stream::CloseReason reason{};
  client.set_stream(link.a.tcp.connect({link.b.address(), 80}, client, reason, link.now()));
  const Instant start = link.now();
  const bool done = link.run_until(start + Duration::seconds(1'500),
                                   [&] { return client.closed && !server.transfers.empty() && server.transfers[0]->closed; });
  ASSERT_TRUE(done);
  EXPECT_EQ(client.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(client.received, weather.bytes / 2);
  EXPECT_EQ(client.wrong, 0u);
  EXPECT_EQ(server.transfers[0]->closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(server.transfers[0]->received, weather.bytes);
  EXPECT_EQ(server.transfers[0]->wrong, 0u);
  RecordProperty("seconds", static_cast<int>((link.now() - start).to_milliseconds() / 1'000));
  expect_nothing_left(link);
}

INSTANTIATE_TEST_SUITE_P(Weathers, TcpLinkTest,
                         ::testing::Combine(::testing::Values(Weather{"Clear", {}, 5'000'000},
                                                              Weather{"OnePercentLoss", {.loss_per_mille = 10}, 2'000'000},
                                                              Weather{"TenPercentLoss", {.loss_per_mille = 100}, 300'000},
                                                              Weather{"Reordered", {.reorder_per_mille = 200}, 1'000'000},
                                                              Weather{"Duplicated", {.duplicate_per_mille = 300}, 1'000'000},
                                                              Weather{"Corrupted", {.corrupt_per_mille = 20}, 500'000},
                                                              Weather{"Everything", {30, 50, 100, 10}, 400'000}),
                                            ::testing::Range(0, 6)),
                         [](const auto& of) {
                           return std::string(std::get<0>(of.param).name) + std::to_string(std::get<1>(of.param));
                         });

TEST(TcpLinkSpeed, FillsAClearLink) {
  TcpLink link(1);
  Server server(link.chains, 0);
  ASSERT_TRUE(link.b.tcp.listen({link.b.address(), 80}, server));
  Transfer client(link.chains, 10'000'000, 1, 2);
  stream::CloseReason reason{};
  client.set_stream(link.a.tcp.connect({link.b.address(), 80}, client, reason, link.now()));
  const Instant start = link.now();
  ASSERT_TRUE(link.run_until(start + Duration::seconds(60), [&] { return client.closed.has_value(); }));
  // 256 KiB of window each 10 ms are 26 MB/s; slow start takes its part.
  EXPECT_LT(link.now() - start, Duration::milliseconds(900));
  EXPECT_EQ(link.a.tcp.counters()[tcp::Counter::kRetransmissionTimeouts], 0u);
}

TEST(TcpLinkChurn, ManyConnectionsOnABadLinkLeaveNothing) {
  const std::uint64_t seed = seed_or(42);
  SCOPED_TRACE("MR_SEED=" + std::to_string(seed));
  TcpLink link(seed);
  link.set_faults({.loss_per_mille = 20, .duplicate_per_mille = 20, .reorder_per_mille = 50});
  Server server(link.chains, 3'000);
  ASSERT_TRUE(link.b.tcp.listen({IpAddress::v4(0, 0, 0, 0), 80}, server));
  std::vector<std::unique_ptr<Transfer>> clients;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 50; ++i) {
      clients.push_back(std::make_unique<Transfer>(link.chains, 5'000, 1, 2));
      stream::CloseReason reason{};
      stream::ByteStream* stream = link.a.tcp.connect({link.b.address(), 80}, *clients.back(), reason, link.now());
      ASSERT_NE(stream, nullptr);
      clients.back()->set_stream(stream);
    }
    link.run(Duration::milliseconds(300));
  }
  link.run(Duration::seconds(100));
  for (const auto& client : clients) {
    EXPECT_EQ(client->closed, stream::CloseReason::kGraceful);
    EXPECT_EQ(client->received, 3'000u);
    EXPECT_EQ(client->wrong, 0u);
  }
  EXPECT_EQ(server.transfers.size(), 500u);
  expect_nothing_left(link);
}

}  // namespace
}  // namespace millrace::test
