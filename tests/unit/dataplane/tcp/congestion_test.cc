// Congestion controls, proportional rate reduction and HyStart++ by their RFCs: 5681, 9438, 6937, 9406.
#include <gtest/gtest.h>

#include "dataplane/tcp/congestion/congestion.h"
#include "dataplane/tcp/congestion/hystart.h"
#include "dataplane/tcp/prr.h"

namespace millrace::tcp {
namespace {

constexpr std::uint32_t kMss = 1'000;

class TcpCongestion : public ::testing::Test {
 protected:
  Instant now = Instant::from_nanoseconds(1'000'000'000);
  Duration rtt = Duration::milliseconds(100);

  PathView view(std::uint32_t cwnd) const { return {.cwnd = cwnd, .flight = cwnd, .mss = kMss, .srtt = rtt, .now = now}; }

  /// One round trip in which all of the window is acknowledged, segment by segment.
  template <typename Control>
  void round(Control& control, std::uint32_t& cwnd) {
    const std::uint32_t segments = cwnd / kMss;
    for (std::uint32_t i = 0; i < segments; ++i) cwnd += control.grow(view(cwnd), kMss);
    now = now + rtt;
  }
};

TEST_F(TcpCongestion, NewRenoHalvesAndGrowsByOneSegmentInARoundTrip) {
  NewReno reno;
  EXPECT_EQ(reno.on_congestion(view(20'000)), 10'000u);
  EXPECT_EQ(reno.on_congestion(view(1'000)), 2'000u) << "never below two segments";
  std::uint32_t cwnd = 10'000;
  round(reno, cwnd);
  EXPECT_EQ(cwnd, 11'000u);
  round(reno, cwnd);
  EXPECT_EQ(cwnd, 12'000u);
}

TEST_F(TcpCongestion, CubicKeepsSevenTenths) {
  Cubic cubic;
  EXPECT_EQ(cubic.on_congestion(view(100'000)), 70'000u);
}

// K = cbrt(0.3 * W_max / C): 4.2 s for 100 segments. Concave up to it, flat there, convex behind.
TEST_F(TcpCongestion, CubicComesBackToTheOldWindowAfterKAndStaysThereAWhile) {
  rtt = Duration::milliseconds(50);
  Cubic cubic;
  std::uint32_t cwnd = cubic.on_congestion(view(1'000'000));  // K = 9.1 s
  const Instant start = now;
  const auto run_until = [&](double seconds) {
    while (now - start < Duration::milliseconds(static_cast<std::int64_t>(seconds * 1'000))) round(cubic, cwnd);
    return cwnd;
  };
  const std::uint32_t at_3 = run_until(3);
  const std::uint32_t at_6 = run_until(6);
  const std::uint32_t at_9 = run_until(9);
  const std::uint32_t at_12 = run_until(12);
  EXPECT_GT(at_3 - 700'000, at_6 - at_3);
  EXPECT_GT(at_6 - at_3, at_9 - at_6);
  EXPECT_NEAR(at_9, 1'000'000, 10'000);
  EXPECT_LT(at_12 - at_9, 25'000u) << "the plateau: 0.4 * 2.9^3 segments";
  EXPECT_NEAR(run_until(16), 1'000'000 + 400 * (16 - 9.1) * (16 - 9.1) * (16 - 9.1), 30'000);
}

TEST_F(TcpCongestion, CubicIsNeverSlowerThanRenoOnShortPaths) {
  rtt = Duration::milliseconds(1);
  Cubic cubic;
  std::uint32_t cwnd = cubic.on_congestion(view(20'000));
  EXPECT_EQ(cwnd, 14'000u);
  for (int i = 0; i < 100; ++i) round(cubic, cwnd);
  // 9/17 of a segment in each round trip, one from the old window on.
  EXPECT_GT(cwnd, 14'000u + 50 * kMss);
}

TEST_F(TcpCongestion, CubicYieldsToNewcomersWhenTheWindowShrinksAgain) {
  Cubic cubic;
  (void)cubic.on_congestion(view(100'000));
  std::uint32_t cwnd = cubic.on_congestion(view(80'000));  // the plateau is now at 68,000
  for (int i = 0; i < 30; ++i) round(cubic, cwnd);
  EXPECT_LT(cwnd, 75'000u);
}

TEST_F(TcpCongestion, IdleTimeDoesNotCount) {
  Cubic cubic;
  std::uint32_t cwnd = cubic.on_congestion(view(100'000));
  round(cubic, cwnd);
  const std::uint32_t before = cwnd;
  now = now + Duration::seconds(60);
  cubic.on_idle(Duration::seconds(60));
  round(cubic, cwnd);
  EXPECT_LT(cwnd - before, 15'000u);
}

TEST(TcpPrr, SpreadsTheReductionOverTheRoundTrip) {
  Prr prr;
  prr.start(20'000);
  std::uint32_t pipe = 19'000;
  std::uint32_t sent = 0;
  // Twenty segments are delivered one by one; seven tenths of them may be replaced.
  for (int i = 0; i < 19; ++i) {
    const std::uint32_t window = prr.window(kMss, pipe, 14'000, kMss, false);
    while (pipe + kMss <= window) {
      prr.on_sent(kMss);
      pipe += kMss;
      ++sent;
    }
    pipe -= kMss;
  }
  EXPECT_NEAR(sent, 14, 1);
}

TEST(TcpPrr, AfterHeavyLossSendsNoMoreThanArrives) {
  Prr prr;
  prr.start(20'000);
  prr.on_sent(kMss);
  EXPECT_EQ(prr.window(2 * kMss, 3'000, 14'000, kMss, false), 5'000u) << "one for each that arrived";
  EXPECT_EQ(prr.window(kMss, 3'000, 14'000, kMss, true), 6'000u) << "and one more while it goes forward";
}

TEST(TcpPrr, TheFirstRetransmissionAlwaysGoes) {
  Prr prr;
  prr.start(20'000);
  EXPECT_EQ(prr.window(0, 18'000, 10'000, kMss, false), 19'000u);
}

TEST(TcpPrr, TheWindowNeverCloses) {
  Prr prr;
  prr.start(1'000);
  prr.on_sent(5 * kMss);
  EXPECT_EQ(prr.window(0, 0, 2 * kMss, kMss, false), kMss);
}

TEST(TcpHyStart, LeavesSlowStartWhenRoundTripsGetLonger) {
  HyStart hystart;
  SeqNum una(0);
  bool over = false;
  int rounds = 0;
  for (; rounds < 40 && !over; ++rounds) {
    const SeqNum nxt = una + SeqLen(20);
    // 20 ms, from the fifth round on a queue builds up.
    const Duration rtt = Duration::milliseconds(20 + (rounds >= 5 ? 6 + rounds : 0));
    for (int i = 0; i < 20 && !over; ++i, una += SeqLen(1)) over = hystart.on_sample(rtt, una, nxt);
    EXPECT_TRUE(rounds >= 5 || hystart.divisor() == 1u);
  }
  EXPECT_TRUE(over);
  EXPECT_LE(rounds, 12) << "five rounds at a quarter of the speed, then it ends";
  EXPECT_GE(rounds, 10);
}

TEST(TcpHyStart, OneSlowRoundByChanceIsForgiven) {
  HyStart hystart;
  SeqNum una(0);
  for (int round = 0; round < 30; ++round) {
    const SeqNum nxt = una + SeqLen(20);
    for (int i = 0; i < 20; ++i, una += SeqLen(1)) {
      ASSERT_FALSE(hystart.on_sample(Duration::milliseconds(round == 7 ? 40 : 20), una, nxt));
    }
  }
  EXPECT_EQ(hystart.divisor(), 1u);
}

}  // namespace
}  // namespace millrace::tcp
