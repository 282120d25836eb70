// The ring of captured frames, and where they are copied.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "dataplane/worker/capture_taps.h"
#include "nic/heap_pool.h"

namespace millrace::worker {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Captured {
  Bytes bytes;
  std::size_t size = 0;
  std::int64_t when = 0;
};
std::vector<Captured> drain(report::CaptureRing& ring) {
  std::vector<Captured> all;
  ring.drain(
      [&](const report::CaptureRing::Record& record, std::span<const std::uint8_t> first, std::span<const std::uint8_t> second) {
        Captured& one = all.emplace_back(Bytes(first.begin(), first.end()), record.size, record.wall_nanoseconds);
        one.bytes.insert(one.bytes.end(), second.begin(), second.end());
        return true;
      });
  return all;
}

TEST(CaptureRing, KeepsFramesInOrderAcrossItsEnd) {
  report::CaptureRing ring(4'096);
  for (int i = 0; i < 1'000; ++i) {
    const Bytes frame(static_cast<std::size_t>(1 + i % 700), static_cast<std::uint8_t>(i));
    ASSERT_TRUE(ring.push(i, frame, frame.size() + 1));
    const auto all = drain(ring);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].bytes, frame);
    EXPECT_EQ(all[0].size, frame.size() + 1);
    EXPECT_EQ(all[0].when, i);
  }
}

TEST(CaptureRing, DropsAndCountsWhatDoesNotFit) {
  report::CaptureRing ring(4'096);
  const Bytes frame(1'500);
  EXPECT_TRUE(ring.push(0, frame, frame.size()));
  EXPECT_TRUE(ring.push(0, frame, frame.size()));
  EXPECT_FALSE(ring.push(0, frame, frame.size()));
  EXPECT_EQ(ring.dropped(), 1u);
  EXPECT_EQ(drain(ring).size(), 2u);
  EXPECT_TRUE(ring.push(0, frame, frame.size()));
}

TEST(CaptureRing, AFrameThatIsNotWantedYetStays) {
  report::CaptureRing ring(4'096);
  ring.push(0, Bytes(10), 10);
  ring.drain([](const auto&, auto, auto) { return false; });
  EXPECT_EQ(drain(ring).size(), 1u);
}

class FirstByte final : public report::FrameFilter {
 public:
  explicit FirstByte(std::uint8_t wanted) : wanted_(wanted) {}
  [[nodiscard]] bool accepts(std::span<const std::uint8_t> bytes, std::size_t) const override { return bytes[0] == wanted_; }

 private:
  std::uint8_t wanted_;
};

class Taps : public ::testing::Test {
 protected:
  nic::Packet frame(std::uint8_t first, std::size_t size = 60) {
    Bytes bytes(size, 0xee);
    bytes[0] = first;
    return pool_.copy_of(bytes);
  }
  void receive(std::uint8_t first, std::size_t port = 0) {
    const nic::Packet packet = frame(first);
    taps_.on_received(port, {&packet, 1}, Instant());
  }

  nic::HeapPool pool_{16};
  CaptureTaps taps_{1'000};
};

TEST_F(Taps, CopyFramesOfThePortsThatAreWanted) {
  Capture both({.ports = 0b11, .snap_bytes = 1'000, .filter = nullptr}, 4'096);
  Capture second({.ports = 0b10, .snap_bytes = 1'000, .filter = nullptr}, 4'096);
  ASSERT_TRUE(taps_.add(both));
  ASSERT_TRUE(taps_.add(second));
  receive(1, 0);
  receive(2, 1);
  EXPECT_EQ(drain(both.ring).size(), 2u);
  const auto only = drain(second.ring);
  ASSERT_EQ(only.size(), 1u);
  EXPECT_EQ(only[0].bytes[0], 2);
  EXPECT_EQ(only[0].when, 1'000) << "the turn's time, as the wall clock shows it";
}

TEST_F(Taps, CutToTheBytesWantedAndFilterOnTheWhole) {
  Capture one({.ports = 1, .snap_bytes = 20, .filter = std::make_shared<FirstByte>(7)}, 4'096);
  ASSERT_TRUE(taps_.add(one));
  receive(6);
  receive(7);
  const auto all = drain(one.ring);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].bytes.size(), 20u);
  EXPECT_EQ(all[0].size, 60u);
}

TEST_F(Taps, CountWhatFindsNoRoomAndGoOn) {
  Capture small({.ports = 1, .snap_bytes = 1'000, .filter = nullptr}, 4'096);
  ASSERT_TRUE(taps_.add(small));
  for (int i = 0; i < 100; ++i) receive(1);
  EXPECT_GT(taps_.dropped(), 0u);
  EXPECT_EQ(taps_.dropped() + drain(small.ring).size(), 100u);
}

TEST_F(Taps, AFrameThatThePortDidNotTakeIsCopiedOnce) {
  Capture one({.ports = 1, .snap_bytes = 1'000, .filter = nullptr}, 4'096);
  ASSERT_TRUE(taps_.add(one));
  std::array<nic::Packet, 3> frames{frame(1), frame(2), frame(3)};
  taps_.on_transmit(0, std::span(frames).first(2), Instant());
  taps_.on_transmitted(0, 2, 1);
  taps_.on_transmit(0, std::span(frames).subspan(1), Instant());
  taps_.on_transmitted(0, 2, 2);
  const auto all = drain(one.ring);
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(all[i].bytes[0], i + 1);
}

TEST_F(Taps, SeeWhatComesAfterFramesThatWereDiscarded) {
  Capture one({.ports = 1, .snap_bytes = 1'000, .filter = nullptr}, 4'096);
  ASSERT_TRUE(taps_.add(one));
  std::array<nic::Packet, 2> frames{frame(1), frame(2)};
  taps_.on_transmit(0, std::span(frames).first(1), Instant());
  taps_.on_transmitted(0, 1, 0);
  taps_.on_discarded(0);
  taps_.on_transmit(0, std::span(frames).subspan(1), Instant());
  taps_.on_transmitted(0, 1, 1);
  EXPECT_EQ(drain(one.ring).size(), 2u);
}

TEST_F(Taps, AreBounded) {
  std::vector<std::unique_ptr<Capture>> captures;
  for (std::size_t i = 0; i <= limits::kCaptures; ++i) {
    captures.push_back(std::make_unique<Capture>(report::CaptureOrder{1, 100, nullptr}, 4'096));
    EXPECT_EQ(taps_.add(*captures.back()), i < limits::kCaptures);
  }
  taps_.remove(*captures[0]);
  EXPECT_TRUE(taps_.add(*captures.back()));
  for (const auto& one : captures) taps_.remove(*one);
  EXPECT_FALSE(taps_.active());
}

}  // namespace
}  // namespace millrace::worker
