// ESTABLISHED with SACK: what is found lost, when, and what is sent then. RFC 2018, 2883, 3042, 3168, 3522, 5682, 6675, 6937,
// 8985.
#include <memory>

#include "tests/unit/dataplane/tcp/connection_fixture.h"

namespace millrace::tcp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Block = std::pair<std::size_t, std::size_t>;

class TcpConnection_Recovery : public ConnectionFixture {
 protected:
  static constexpr Duration kRtt = Duration::milliseconds(100);

  void in_established_with_sack(bool timestamps = false, bool ecn = false) {
    LocalTerms terms = local();
    terms.ask_for_ecn = ecn;
    connection.open(terms, now);
    (void)sent();
    pass(kRtt);
    Segment answer{.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 60'000, .options = {.mss = kMss}};
    answer.options.sack_permitted = true;
    if (timestamps) answer.options.timestamps = {{.value = 1, .echo = tick() - 100}};
    if (ecn) answer.flags |= TcpFlags::kEce;
    receive(answer);
    (void)sent();
  }
  [[nodiscard]] std::uint32_t tick() const { return static_cast<std::uint32_t>(now.to_nanoseconds() / 1'000'000); }

  Segment sacking(std::size_t acked, std::initializer_list<Block> blocks) {
    Segment segment = ack(acked, 60'000);
    for (const Block& block : blocks) {
      segment.options.sack_blocks[segment.options.sack_count++] = {kIss.raw() + 1 + static_cast<std::uint32_t>(block.first),
                                                                   kIss.raw() + 1 + static_cast<std::uint32_t>(block.second)};
    }
    return segment;
  }
  /// Offsets of the data segments that leave now.
  std::vector<std::size_t> sent_offsets() {
    std::vector<std::size_t> offsets;
    for (const Sent& segment : sent()) {
      if (!segment.data.empty()) offsets.push_back((segment.seq - kIss).count() - 1);
    }
    return offsets;
  }
  void write_segments(std::size_t count) { ASSERT_EQ(write(std::string(count * kMss, 'x')), count * kMss); }
};

TEST_F(TcpConnection_Recovery, ThreeSackedSegmentsFindTheLossAtOnceAndOnlyTheHoleGoesAgain) {
  in_established_with_sack();
  write_segments(10);
  ASSERT_THAT(sent_offsets(), SizeIs(10));
  pass(kRtt);
  receive(sacking(0, {{1'000, 3'000}}));
  EXPECT_THAT(sent_offsets(), IsEmpty()) << "two may be reordering";
  receive(sacking(0, {{1'000, 4'000}}));
  EXPECT_THAT(sent_offsets(), ElementsAre(0));
  EXPECT_EQ(counters[Counter::kFastRetransmits], 1u);
  receive(sacking(0, {{1'000, 10'000}}));
  EXPECT_THAT(sent_offsets(), IsEmpty());
  receive(sacking(10'000, {}));
  EXPECT_EQ(connection.sender().recovery().state(), Recovery::State::kOpen);
  EXPECT_EQ(connection.sender().cwnd(), 7'000u);
}

TEST_F(TcpConnection_Recovery, EveryHoleIsFilledInOneRoundTrip) {
  in_established_with_sack();
  write_segments(10);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{9'000, 10'000}, {6'000, 7'000}, {3'000, 4'000}}));
  auto first = sent_offsets();
  ASSERT_FALSE(first.empty());
  EXPECT_EQ(first.front(), 0u);
  std::vector<std::size_t> all = first;
  for (int i = 0; i < 12 && all.size() < 7; ++i) {
    pass(Duration::milliseconds(1));
    receive(sacking(0, {{9'000, 10'000}, {6'000, 7'000}, {3'000, 4'000}}));
    for (const std::size_t offset : sent_offsets()) all.push_back(offset);
  }
  EXPECT_THAT(std::vector(all.begin(), all.begin() + 3), ElementsAre(0, 1'000, 2'000));
  for (const std::size_t offset : all) EXPECT_TRUE(offset != 3'000 && offset != 6'000 && offset != 9'000) << offset;
}

TEST_F(TcpConnection_Recovery, WhatIsSackedMakesRoomForNewData) {
  in_established_with_sack();
  write_segments(20);
  ASSERT_THAT(sent_offsets(), SizeIs(10));
  pass(kRtt);
  receive(sacking(0, {{1'000, 2'000}}));
  EXPECT_THAT(sent_offsets(), ElementsAre(10'000)) << "limited transmit";
}

TEST_F(TcpConnection_Recovery, AReorderedSegmentIsWaitedForAQuarterOfARoundTrip) {
  in_established_with_sack();
  write_segments(4);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{1'000, 2'000}}));
  EXPECT_THAT(sent_offsets(), IsEmpty());
  const Instant start = now;
  now = std::max(now, connection.next_timeout());
  EXPECT_EQ(now - start, kRtt / 4) << "RACK's reordering window";
  EXPECT_THAT(sent_offsets(), ElementsAre(0));
}

TEST_F(TcpConnection_Recovery, ReorderingThatWasSeenMakesItMorePatient) {
  in_established_with_sack();
  write_segments(10);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{1'000, 3'000}}));
  receive(sacking(3'000, {}));  // it was only late
  receive(sacking(3'000, {{4'000, 8'000}}));
  EXPECT_THAT(sent_offsets(), IsEmpty()) << "four behind it, but no longer ago than reordering explains";
  receive(sacking(10'000, {}));
  EXPECT_EQ(counters[Counter::kFastRetransmits], 0u);
}

TEST_F(TcpConnection_Recovery, ALostRetransmissionIsFoundAgain) {
  in_established_with_sack();
  write_segments(30);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{1'000, 5'000}}));
  const auto first = sent_offsets();
  ASSERT_FALSE(first.empty());
  ASSERT_EQ(first[0], 0u);
  pass(kRtt);
  // What was sent with it has arrived, it has not.
  receive(sacking(0, {{1'000, first.back() + 1'000}}));
  pass(Duration::milliseconds(30));
  EXPECT_THAT(sent_offsets(), ::testing::Contains(0u));
}

TEST_F(TcpConnection_Recovery, TheTailIsProbedAfterTwoRoundTrips) {
  in_established_with_sack();
  write_segments(3);
  (void)sent();
  const Instant start = now;
  now = connection.next_timeout();
  EXPECT_EQ(now - start, kRtt * 2);
  EXPECT_THAT(sent_offsets(), ElementsAre(2'000)) << "the last one again";
  EXPECT_EQ(counters[Counter::kTailProbes], 1u);
  pass(kRtt);
  receive(sacking(0, {{2'000, 3'000}}));
  EXPECT_THAT(sent_offsets(), ElementsAre(0)) << "its answer shows what is missing, long before the timeout";
  pass(kRtt);
  receive(sacking(1'000, {{2'000, 3'000}}));
  EXPECT_THAT(sent_offsets(), ElementsAre(1'000));
  EXPECT_EQ(counters[Counter::kRetransmissionTimeouts], 0u);
}

TEST_F(TcpConnection_Recovery, TheProbeIsNewDataIfThereIsAny) {
  in_established_with_sack();
  write_segments(12);
  ASSERT_THAT(sent_offsets(), SizeIs(10));
  now = connection.next_timeout();
  EXPECT_THAT(sent_offsets(), ElementsAre(10'000));
}

TEST_F(TcpConnection_Recovery, AfterTheProbeComesTheTimeout) {
  in_established_with_sack();
  write_segments(3);
  (void)sent();
  (void)sent_after_timeout();
  const auto out = sent_after_timeout();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
  EXPECT_EQ(counters[Counter::kTailProbes], 1u);
  EXPECT_EQ(counters[Counter::kRetransmissionTimeouts], 1u);
}

TEST_F(TcpConnection_Recovery, ASpuriousTimeoutIsUndone) {
  in_established_with_sack();
  write_segments(30);
  (void)sent();
  receive(sacking(2'000, {}));
  (void)sent();
  while (counters[Counter::kRetransmissionTimeouts] == 0) (void)sent_after_timeout();
  EXPECT_EQ(connection.sender().cwnd(), kMss);
  // The path was only slow: the originals arrive one after the other (RFC 5682).
  receive(sacking(3'000, {}));
  for (const std::size_t offset : sent_offsets()) EXPECT_GE(offset, 12'000u) << "new data first: its answer will tell";
  receive(sacking(4'000, {}));
  EXPECT_EQ(connection.sender().recovery().state(), Recovery::State::kOpen);
  EXPECT_GE(connection.sender().cwnd(), 10'000u);
  EXPECT_EQ(counters[Counter::kSpuriousRecoveries], 1u);
  EXPECT_EQ(connection.sender().recovery().board().lost(), 0u) << "nothing more is sent again";
}

TEST_F(TcpConnection_Recovery, ARealTimeoutIsNot) {
  in_established_with_sack();
  write_segments(10);
  (void)sent();
  while (counters[Counter::kRetransmissionTimeouts] == 0) (void)sent_after_timeout();
  receive(sacking(1'000, {}));
  const auto offsets = sent_offsets();
  ASSERT_FALSE(offsets.empty());
  EXPECT_EQ(offsets[0], 1'000u);
  EXPECT_EQ(counters[Counter::kSpuriousRecoveries], 0u);
  EXPECT_LT(connection.sender().cwnd(), 5'000u);
}

TEST_F(TcpConnection_Recovery, ADuplicateSackUndoesTheReduction) {
  in_established_with_sack();
  write_segments(10);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{1'000, 5'000}}));
  ASSERT_THAT(sent_offsets(), ElementsAre(0));
  receive(sacking(5'000, {}));  // the original
  pass(kRtt);
  receive(sacking(6'000, {{0, 1'000}}));  // and the retransmission: both arrived (RFC 2883)
  EXPECT_EQ(counters[Counter::kSpuriousRecoveries], 1u);
  EXPECT_GE(connection.sender().cwnd(), 10'000u);
}

TEST_F(TcpConnection_Recovery, AnEchoFromBeforeTheRetransmissionUndoesTheReduction) {
  in_established_with_sack(true);
  const std::uint32_t sent_at = tick();
  write_segments(10);
  (void)sent();
  pass(kRtt);
  const auto stamped = [&](Segment segment, std::uint32_t echo) {
    segment.options.timestamps = {{.value = 2, .echo = echo}};
    return segment;
  };
  receive(stamped(sacking(0, {{988, 4'940}}), sent_at));
  ASSERT_THAT(sent_offsets(), ::testing::Contains(0u));
  pass(Duration::milliseconds(3));
  receive(stamped(sacking(4'940, {}), sent_at));  // answers what was sent a round trip ago (RFC 3522)
  EXPECT_EQ(counters[Counter::kSpuriousRecoveries], 1u);
}

TEST_F(TcpConnection_Recovery, ReneguedBlocksAreSentAgainAfterATimeout) {
  in_established_with_sack();
  write_segments(5);
  (void)sent();
  pass(kRtt);
  receive(sacking(0, {{1'000, 5'000}}));
  (void)sent();
  receive(sacking(1'000, {}));  // the hole is filled, and the rest is gone (RFC 2018 8)
  std::vector<std::size_t> all;
  for (int i = 0; i < 30 && connection.sender().snd_una() < kIss + SeqLen(5'001); ++i) {
    now = std::max(now, connection.next_timeout());
    for (const std::size_t offset : sent_offsets()) {
      all.push_back(offset);
      if ((connection.sender().snd_una() - kIss).count() - 1 == offset) receive(sacking(offset + 1'000, {}));
    }
  }
  EXPECT_EQ(connection.sender().snd_una(), kIss + SeqLen(5'001));
  EXPECT_THAT(all, ::testing::IsSupersetOf({1'000, 2'000, 3'000, 4'000}));
}

TEST_F(TcpConnection_Recovery, BogusBlocksAreIgnored) {
  in_established_with_sack();
  write_segments(4);
  (void)sent();
  Segment bogus = sacking(0, {{3'000, 9'000}, {2'000, 1'000}});
  receive(bogus);
  EXPECT_EQ(connection.sender().recovery().board().sacked(), 0u);
}

TEST_F(TcpConnection_Recovery, OneReductionForAllMarksOfAWindow) {
  in_established_with_sack(false, true);
  ASSERT_TRUE(connection.ecn());
  write_segments(20);
  auto out = sent();
  ASSERT_THAT(out, SizeIs(10));
  Segment marked = sacking(2'000, {});
  marked.flags |= TcpFlags::kEce;
  pass(kRtt);
  receive(marked);
  EXPECT_EQ(connection.sender().recovery().ssthresh(), 7'000u * 8 / 10) << "seven tenths of the eight that are outstanding";
  receive([&] {
    Segment again = sacking(8'000, {});
    again.flags |= TcpFlags::kEce;
    return again;
  }());
  EXPECT_EQ(connection.sender().recovery().ssthresh(), 5'600u);
  out = sent();
  ASSERT_FALSE(out.empty());
  EXPECT_TRUE(out[0].flags & TcpFlags::kCwr) << "the peer hears of it once";
  for (std::size_t i = 1; i < out.size(); ++i) EXPECT_FALSE(out[i].flags & TcpFlags::kCwr);
}

TEST_F(TcpConnection_Recovery, MarksAreEchoedUntilThePeerHasReduced) {
  in_established_with_sack(false, true);
  Segment marked = data(0, "marked");
  marked.congestion = true;
  receive(marked);
  auto out = sent();
  ASSERT_THAT(out, SizeIs(1)) << "at once";
  EXPECT_TRUE(out[0].flags & TcpFlags::kEce);
  receive(data(6, "more"));
  out = sent_after_timeout();
  ASSERT_FALSE(out.empty());
  EXPECT_TRUE(out[0].flags & TcpFlags::kEce);
  receive(data(10, "reduced", 0, kAck | TcpFlags::kCwr));
  out = sent_after_timeout();
  ASSERT_FALSE(out.empty());
  EXPECT_FALSE(out[0].flags & TcpFlags::kEce);
}

TEST_F(TcpConnection_Recovery, ADuplicateIsReportedInTheFirstBlock) {
  in_established_with_sack();
  receive(data(0, "abcdef"));
  receive(data(10, "held"));
  (void)sent();
  receive(data(2, "cd"));
  auto out = sent();
  ASSERT_FALSE(out.empty());
  ASSERT_EQ(out.back().options.sack_count, 2);
  EXPECT_EQ(out.back().options.sack_blocks[0].left, kIrs.raw() + 3);
  EXPECT_EQ(out.back().options.sack_blocks[0].right, kIrs.raw() + 5);
  EXPECT_EQ(out.back().options.sack_blocks[1].left, kIrs.raw() + 11);
  receive(data(11, "el"));
  out = sent();
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out.back().options.sack_blocks[0].left, kIrs.raw() + 12) << "inside the block that follows";
  EXPECT_EQ(out.back().options.sack_blocks[1].left, kIrs.raw() + 11);
}

TEST_F(TcpConnection_Recovery, AWindowThatOpensAllAtOnceIsSpreadOverTheRoundTrip) {
  in_established_with_sack();
  config.send_buffer_bytes = config.initial_send_buffer_bytes = 200'000;
  config.pacing = true;
  std::size_t acked = 0;
  write_segments(100);
  for (int round = 0; round < 3; ++round) {  // the window grows to 34 segments
    for (int i = 0; i < 10; ++i) {
      (void)sent();
      pass(kRtt / 10);
    }
    acked = (connection.sender().snd_nxt() - kIss).count() - 1;
    receive(sacking(acked, {}));
  }
  write_segments(60);
  pass(kRtt);
  (void)sent();
  EXPECT_LE(connection.sender().recovery().board().flight(), 11 * kMss) << "a burst";
  const Instant start = now;
  while (connection.sender().recovery().board().flight() < 30 * kMss && now - start < kRtt) (void)sent_after_timeout();
  EXPECT_GE(now - start, kRtt / 5) << "cwnd " << connection.sender().cwnd();
  EXPECT_LT(now - start, kRtt);
}

// A path that drops what is larger than `size` bytes of payload and says nothing.
class TcpConnection_BlackHole : public TcpConnection_Recovery {
 protected:
  void deliver_through(std::size_t size) {
    for (const Sent& segment : sent()) {
      const std::size_t begin = (segment.seq - kIss).count() - 1;
      if (segment.data.size() <= size && begin <= arrived_) {
        arrived_ = std::max(arrived_, begin + segment.data.size());
        largest_ = std::max(largest_, segment.data.size());
      }
    }
    receive(sacking(arrived_, {}));
  }
  std::size_t arrived_ = 0;
  std::size_t largest_ = 0;
};

TEST_F(TcpConnection_BlackHole, IsPassedWithSmallerSegmentsAndTheLargestThatPassesIsFound) {
  in_established_with_sack();
  write_segments(20);
  for (int i = 0; i < 12 && arrived_ == 0; ++i) {
    deliver_through(700);
    now = std::max(now, connection.next_timeout());
  }
  EXPECT_GT(arrived_, 0u) << "within a few timeouts";
  EXPECT_EQ(connection.sender().mss(), 536u);
  for (int i = 0; i < 4'000; ++i) {
    if (connection.sender().queued() < 10'000) write_segments(10);
    deliver_through(700);
    pass(Duration::milliseconds(10));
  }
  EXPECT_GT(largest_, 650u);
  EXPECT_LE(largest_, 700u);
  EXPECT_EQ(connection.sender().mss(), largest_);
}

TEST_F(TcpConnection_BlackHole, AnOutageIsNotTakenForOne) {
  in_established_with_sack();
  write_segments(20);
  (void)sent();
  for (int i = 0; i < 4; ++i) (void)sent_after_timeout();
  ASSERT_LT(connection.sender().mss(), kMss);
  for (int i = 0; i < 300; ++i) {
    if (connection.sender().queued() < 10'000) write_segments(10);
    deliver_through(10'000);
    pass(Duration::milliseconds(10));
  }
  EXPECT_EQ(connection.sender().mss(), kMss);
}

class TcpConnection_Timers : public ConnectionFixture {};

TEST_F(TcpConnection_Timers, ASilentPeerIsAskedAndThenGivenUp) {
  config.keep_alive_idle = Duration::seconds(60);
  config.keep_alive_interval = Duration::seconds(10);
  config.keep_alive_probes = 3;
  in_established();
  const Instant start = now;
  auto out = sent_after_timeout();
  EXPECT_EQ(now - start, Duration::seconds(60));
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss) << "an old number";
  receive(ack(0));  // it lives
  const Instant again = now;
  out = sent_after_timeout();
  EXPECT_EQ(now - again, Duration::seconds(60));
  for (int i = 0; i < 3; ++i) out = sent_after_timeout();
  EXPECT_EQ(now - again, Duration::seconds(90));
  EXPECT_EQ(connection.end(), stream::CloseReason::kTimeout);
  EXPECT_THAT(out, ElementsAre(flags_are(kRst | kAck)));
}

TEST_F(TcpConnection_Timers, AConnectionMayHaveAKeepAliveOfItsOwn) {
  config.keep_alive_idle = Duration::seconds(7);
  in_established();
  connection.set_keep_alive({.idle_seconds = 60, .interval_seconds = 10, .probes = 2});
  const Instant start = now;
  auto out = sent_after_timeout();
  EXPECT_EQ(now - start, Duration::seconds(60));
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss);
  for (int i = 0; i < 2; ++i) out = sent_after_timeout();
  EXPECT_EQ(now - start, Duration::seconds(80));
  EXPECT_EQ(connection.end(), stream::CloseReason::kTimeout);
  EXPECT_THAT(out, ElementsAre(flags_are(kRst | kAck)));
}

TEST_F(TcpConnection_Timers, UnacknowledgedDataEndsAtTheUserTimeout) {
  config.user_timeout = Duration::seconds(20);
  in_established();
  pass(Duration::seconds(1'000));
  write("x");
  const Instant start = now;
  (void)sent();
  while (connection.state() == State::kEstablished) (void)sent_after_timeout();
  EXPECT_EQ(now - start, Duration::seconds(20));
}

TEST_F(TcpConnection_Timers, NagleHoldsAPartialSegmentWhileAnotherIsOutstanding) {
  config.nagle = true;
  in_established();
  write("first");
  EXPECT_THAT(sent(), SizeIs(1));
  write("second");
  EXPECT_THAT(sent(), IsEmpty());
  receive(ack(5));
  EXPECT_THAT(sent(), SizeIs(1));
}

TEST_F(TcpConnection_Timers, TheWindowGrowsWithWhatIsRead) {
  config.receive_buffer_bytes = 60'000;
  config.initial_receive_buffer_bytes = 10'000;
  std::destroy_at(&connection);
  std::construct_at(&connection, shared);
  in_established();
  std::size_t at = 0;
  for (int round = 0; round < 8; ++round) {
    const std::size_t window = connection.receiver().rcv_wnd().count();
    for (std::size_t end = at + window / 1'000 * 1'000; at < end; at += 1'000) receive(data(at, std::string(1'000, 'x')));
    (void)read();
    (void)sent();
    pass(Duration::milliseconds(120));
  }
  EXPECT_GT(connection.receiver().window_goal(), 50'000u);
  const std::uint32_t goal = connection.receiver().window_goal();
  for (int i = 0; i < 20; ++i) {  // nobody reads: it stays
    receive(data(at, "x"));
    ++at;
    pass(Duration::milliseconds(120));
  }
  EXPECT_EQ(connection.receiver().window_goal(), goal);
}

}  // namespace
}  // namespace millrace::tcp
