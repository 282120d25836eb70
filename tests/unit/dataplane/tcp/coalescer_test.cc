#include "dataplane/tcp/coalescer.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "nic/heap_pool.h"

namespace millrace::tcp {
namespace {

constexpr std::size_t kFull = 1'000;

class TcpCoalescer : public ::testing::Test {
 protected:
  Segment segment(std::size_t offset, std::size_t size = kFull) {
    nic::Packet packet = pool.allocate();
    for (std::size_t i = 0; i < size; ++i) *packet.append(1) = static_cast<std::uint8_t>(offset + i);
    return {.seq = SeqNum(0xffff'fc00) + SeqLen(offset),  // wraps
            .ack = SeqNum(7),
            .flags = TcpFlags::kAck,
            .window = 100,
            .options = {.timestamps = {{.value = 1, .echo = 2}}},
            .payload = nic::Slice(std::move(packet))};
  }
  FlowKey flow(std::uint16_t port = 1) const { return {IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 80, port}; }
  bool start(Segment first, std::uint32_t room = 100'000, std::uint16_t port = 1) {
    return runs.start(*endpoint, flow(port), first, room);
  }
  bool extend(Segment next, std::uint16_t port = 1) { return runs.extend(flow(port), next); }

  nic::HeapPool pool{100};
  stream::ChainPool chains{pool, 16, 100};
  Coalescer runs{chains};
  // Only passed through.
  std::unique_ptr<char> place = std::make_unique<char>();
  Endpoint* endpoint = reinterpret_cast<Endpoint*>(place.get());
};

TEST_F(TcpCoalescer, PutsSegmentsTogetherThatFollowEachOther) {
  ASSERT_TRUE(start(segment(0)));
  EXPECT_TRUE(extend(segment(kFull)));
  EXPECT_TRUE(extend(segment(2 * kFull, 300)));
  Coalescer::Run* run = runs.take(flow());
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->endpoint, endpoint);
  EXPECT_EQ(run->first.payload.size(), kFull);
  ASSERT_EQ(run->rest.size(), kFull + 300);
  std::array<std::uint8_t, kFull + 300> rest{};
  run->rest.copy_out(0, rest);
  for (std::size_t i = 0; i < rest.size(); ++i) ASSERT_EQ(rest[i], static_cast<std::uint8_t>(kFull + i));
  EXPECT_TRUE(runs.empty());
}

TEST_F(TcpCoalescer, KeepsApartWhatSaysMore) {
  const auto differs = [&](const std::function<void(Segment&)>& change) {
    EXPECT_TRUE(start(segment(0)));
    Segment next = segment(kFull);
    change(next);
    EXPECT_FALSE(runs.extend(flow(), next));
    ASSERT_NE(runs.take_any(), nullptr);
  };
  differs([](Segment& s) { s.seq += SeqLen(1); });
  differs([](Segment& s) { s.seq = s.seq - SeqLen(1); });
  differs([](Segment& s) { s.ack += SeqLen(1); });
  differs([](Segment& s) { s.window = 99; });
  differs([](Segment& s) { s.flags |= TcpFlags::kFin; });
  differs([](Segment& s) { s.flags |= TcpFlags::kRst; });
  differs([](Segment& s) { s.flags |= TcpFlags::kEce; });
  differs([](Segment& s) { s.flags |= TcpFlags::kCwr; });
  differs([](Segment& s) { s.options.timestamps->value = 9; });
  differs([](Segment& s) { s.options.timestamps->echo = 9; });
  differs([](Segment& s) { s.options.timestamps.reset(); });
  differs([](Segment& s) { s.options.sack_count = 1; });
  differs([](Segment& s) { s.congestion = true; });
  differs([](Segment& s) { s.payload_dropped = true; });
  differs([](Segment& s) { s.payload = {}; });
}

TEST_F(TcpCoalescer, BeginsOnlyWithDataThatMoreMayFollow) {
  const auto refused = [&](const std::function<void(Segment&)>& change) {
    Segment first = segment(0);
    change(first);
    EXPECT_FALSE(runs.start(*endpoint, flow(), first, 100'000));
  };
  refused([](Segment& s) { s.payload.truncate(Coalescer::kLeastPayloadBytes - 1); });
  refused([](Segment& s) { s.flags |= TcpFlags::kPsh; });
  refused([](Segment& s) { s.flags |= TcpFlags::kFin; });
  refused([](Segment& s) { s.flags |= TcpFlags::kSyn; });
  EXPECT_FALSE(start(segment(0), kFull - 1)) << "beyond the window";
}

TEST_F(TcpCoalescer, EndsARunWithAShortOrPushedSegment) {
  ASSERT_TRUE(start(segment(0)));
  ASSERT_TRUE(extend(segment(kFull, 10)));
  EXPECT_FALSE(extend(segment(kFull + 10)));
  ASSERT_NE(runs.take(flow()), nullptr);
  ASSERT_TRUE(start(segment(0)));
  Segment pushed = segment(kFull);
  pushed.flags |= TcpFlags::kPsh;
  ASSERT_TRUE(extend(std::move(pushed)));
  EXPECT_FALSE(extend(segment(2 * kFull)));
  EXPECT_TRUE(runs.take(flow())->first.has(TcpFlags::kPsh));
}

TEST_F(TcpCoalescer, StaysWithinTheWindow) {
  ASSERT_TRUE(start(segment(0), 2 * kFull + 5));
  EXPECT_TRUE(extend(segment(kFull)));
  EXPECT_FALSE(extend(segment(2 * kFull, 6)));
  EXPECT_TRUE(extend(segment(2 * kFull, 5)));
}

TEST_F(TcpCoalescer, KeepsFlowsApart) {
  for (std::uint16_t port = 0; port < Coalescer::kRuns; ++port) ASSERT_TRUE(start(segment(0), 100'000, port));
  EXPECT_TRUE(runs.full());
  for (std::uint16_t port = 0; port < Coalescer::kRuns; ++port) {
    EXPECT_TRUE(extend(segment(kFull, 500u + port), port));
  }
  EXPECT_EQ(runs.take(flow(99)), nullptr);
  Coalescer::Run* third = runs.take(flow(3));
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(third->rest.size(), 503u);
  EXPECT_EQ(runs.take(flow(3)), nullptr);
  std::size_t others = 0;
  while (Coalescer::Run* run = runs.take_any()) others += run->rest.size();
  EXPECT_EQ(others, 500u * 7 + 0 + 1 + 2 + 4 + 5 + 6 + 7);
}

TEST_F(TcpCoalescer, WithoutMemoryTheSegmentGoesAlone) {
  stream::ChainPool none(pool, 0, 0);
  Coalescer poor(none);
  Segment first = segment(0);
  ASSERT_TRUE(poor.start(*endpoint, flow(), first, 100'000));
  Segment next = segment(kFull);
  EXPECT_FALSE(poor.extend(flow(), next));
  EXPECT_EQ(next.payload.size(), kFull);
}

}  // namespace
}  // namespace millrace::tcp
