// The network itself: links do what they are configured to do, time goes from event to event.
#include <gtest/gtest.h>

#include "dataplane/wire/checksum.h"
#include "nic/heap_pool.h"
#include "tests/simulation/network.h"
#include "tests/simulation/pattern.h"

namespace millrace::sim {
namespace {

constexpr Instant kStart = Instant::from_nanoseconds(1'000'000'000);

TEST(SimLink, TakesAsLongAsItsRateAndDelaySay) {
  Link link({.bits_per_second = 8'000'000, .delay = Duration::milliseconds(10)}, 1);
  EXPECT_EQ((link.put(1'000, kStart).arrival - kStart).to_microseconds(), 11'000);
  EXPECT_EQ((link.put(1'000, kStart).arrival - kStart).to_microseconds(), 12'000) << "the second waits for the first";
}

TEST(SimLink, DropsWhatItsQueueDoesNotHold) {
  Link link({.bits_per_second = 8'000'000, .queue_bytes = 5'000}, 1);
  for (int i = 0; i < 20; ++i) (void)link.put(1'000, kStart);
  EXPECT_EQ(link.count(Fate::kQueueFull), 14u) << "five wait, one is on its way";
  EXPECT_EQ(link.put(1'000, kStart + Duration::milliseconds(20)).fate, Fate::kDelivered);
}

TEST(SimLink, LosesDuplicatesDelaysAndCorruptsAsOftenAsItIsTold) {
  Link link({.loss_ppm = 100'000,
             .reorder_ppm = 200'000,
             .reorder_delay = Duration::milliseconds(10),
             .duplicate_ppm = 50'000,
             .corrupt_ppm = 30'000},
            7);
  int late = 0;
  int corrupted = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Link::Outcome outcome = link.put(1'000, kStart);
    late += outcome.arrival > kStart;
    corrupted += outcome.corrupted;
  }
  EXPECT_NEAR(static_cast<double>(link.count(Fate::kLost)), 10'000, 500);
  EXPECT_NEAR(static_cast<double>(link.count(Fate::kDuplicated)), 4'500, 300);
  EXPECT_NEAR(late, 18'000, 700);
  EXPECT_NEAR(corrupted, 2'700, 250);
}

TEST(SimLink, LosesInBursts) {
  Link link({.burst_enter_ppm = 10'000, .burst_leave_ppm = 200'000, .burst_loss_ppm = 1'000'000}, 3);
  int runs = 0;
  bool before = false;
  for (int i = 0; i < 100'000; ++i) {
    const bool lost = link.put(1'000, kStart).fate == Fate::kBurstLost;
    runs += lost && !before;
    before = lost;
  }
  const double lost = static_cast<double>(link.count(Fate::kBurstLost));
  EXPECT_NEAR(lost / runs, 5, 0.7) << "frames in a burst: one in burst_leave_ppm";
}

TEST(SimLink, PassesNothingInAPartitionAndNothingTooLarge) {
  Link link({.mtu = 1'000, .partitions = {{kStart, kStart + Duration::seconds(1)}}}, 1);
  EXPECT_EQ(link.put(100, kStart).fate, Fate::kPartitioned);
  EXPECT_EQ(link.put(100, kStart + Duration::seconds(1)).fate, Fate::kDelivered);
  EXPECT_EQ(link.put(1'015, kStart + Duration::seconds(1)).fate, Fate::kTooBig);
  EXPECT_EQ(link.put(1'014, kStart + Duration::seconds(1)).fate, Fate::kDelivered);
}

TEST(SimLink, CorruptsSoThatTheInternetChecksumAlwaysSeesIt) {
  Link link({}, 5);
  std::vector<std::uint8_t> frame(114);
  for (int i = 0; i < 100'000; ++i) {
    fill_pattern(static_cast<std::uint64_t>(i), 0, frame);
    if (i % 4 == 0) std::fill(frame.begin(), frame.end(), static_cast<std::uint8_t>(i % 8 == 0 ? 0 : 0xff));
    frame[12] = 0x08;
    frame[13] = 0x00;
    const auto sum = [&] {
      std::uint32_t total = 0;
      for (std::size_t at = 14; at < frame.size(); at += 2) total += static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]);
      while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
      return total == 0xffff ? 0 : total;  // both are zero
    };
    const std::uint32_t before = sum();
    link.corrupt(frame);
    ASSERT_NE(sum(), before) << i;
  }
  EXPECT_EQ(link.corrupted(), 100'000u);
}

// A node that sends one frame when its timer is due and notes when frames come.
class Sender final : public Node {
 public:
  bool turn(Instant now) override {
    turns.push_back(now);
    std::array<nic::Packet, 8> burst;
    const std::size_t count = port->receive(0, burst);
    for (std::size_t i = 0; i < count; ++i) received.push_back(now);
    if (now < send_at) return false;
    send_at = Instant::never();
    nic::Packet packet = pool.allocate();
    packet.append(100);
    fill_pattern(1, 0, packet.bytes());
    EXPECT_EQ(port->transmit(0, std::span(&packet, 1)), 1u);
    return false;
  }
  [[nodiscard]] Instant next_due() const override { return send_at; }

  nic::HeapPool pool{64};
  Port* port = nullptr;
  Instant send_at = Instant::never();
  std::vector<Instant> turns;
  std::vector<Instant> received;
};

class SimNetwork : public ::testing::Test {
 protected:
  SimNetwork() {
    network_.add(a_);
    network_.add(b_);
    a_.port = &port_a_.emplace(network_, a_, a_.pool, "a", MacAddress{}, std::uint16_t{1'500}, std::uint8_t{0});
    b_.port = &port_b_.emplace(network_, b_, b_.pool, "b", MacAddress{}, std::uint16_t{1'500}, std::uint8_t{0});
    network_.join(*port_a_, *port_b_, {.delay = Duration::milliseconds(20)}, {});
  }
  Network network_{1, kStart};
  Sender a_;
  Sender b_;
  std::optional<Port> port_a_;
  std::optional<Port> port_b_;
};

TEST_F(SimNetwork, GoesFromEventToEvent) {
  a_.send_at = kStart + Duration::seconds(3'600);
  network_.run_for(Duration::seconds(7'200));
  ASSERT_EQ(b_.received.size(), 1u);
  EXPECT_EQ((b_.received[0] - kStart).to_milliseconds(), 3'600'020);
  EXPECT_LT(a_.turns.size() + b_.turns.size(), 6u);
  EXPECT_EQ((network_.now() - kStart).to_milliseconds(), 7'200'000);
}

TEST_F(SimNetwork, LetsFramesWaitForAHostThatIsNotScheduled) {
  a_.send_at = kStart + Duration::milliseconds(100);
  network_.run_for(Duration::milliseconds(50));
  network_.pause(b_, kStart + Duration::milliseconds(600));
  EXPECT_TRUE(network_.paused(b_));
  network_.run_for(Duration::seconds(1));
  ASSERT_EQ(b_.received.size(), 1u);
  EXPECT_EQ((b_.received[0] - kStart).to_milliseconds(), 600);
}

TEST_F(SimNetwork, WaitsForBuffersAsAPortDoes) {
  std::vector<nic::Packet> all;
  while (nic::Packet packet = b_.pool.allocate()) all.push_back(std::move(packet));
  a_.send_at = kStart + Duration::milliseconds(1);
  network_.run_for(Duration::milliseconds(100));
  EXPECT_TRUE(b_.received.empty());
  all.clear();
  network_.run_for(Duration::milliseconds(10));
  EXPECT_EQ(b_.received.size(), 1u);
}

}  // namespace
}  // namespace millrace::sim
