// ESTABLISHED: data, acknowledgements, windows, loss recovery, blind attacks. RFC 9293 3.8, 3.10.7.4, 5681, 6582, 6298, 7323,
// 5961.
#include "tests/unit/dataplane/tcp/connection_fixture.h"

namespace millrace::tcp {
namespace {

using stream::CloseReason;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TcpConnection_Established : public ConnectionFixture {
 protected:
  std::string text(std::size_t size, char first = 'a') {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(first + i % 23);
    return out;
  }
};

TEST_F(TcpConnection_Established, DeliversBytesInOrder) {
  in_established();
  receive(data(0, "hello "));
  receive(data(6, "world"));
  EXPECT_TRUE(connection.take_events().readable);
  EXPECT_EQ(read(), "hello world");
}

TEST_F(TcpConnection_Established, DelaysTheAckOfOneSegment) {
  in_established();
  receive(data(0, "x"));
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_EQ(connection.next_timeout() - now, AckScheduler::kDelay);
  const auto out = sent_after_timeout();
  ASSERT_THAT(out, ElementsAre(flags_are(kAck)));
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(2));
}

TEST_F(TcpConnection_Established, AcknowledgesEverySecondFullSegmentAtOnce) {
  in_established();
  receive(data(0, text(kMss)));
  EXPECT_THAT(sent(), IsEmpty());
  receive(data(kMss, text(kMss)));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
}

TEST_F(TcpConnection_Established, DataCarriesTheAck) {
  in_established();
  receive(data(0, "question"));
  write("answer");
  const auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].data, "answer");
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(9));
  EXPECT_EQ(out[0].flags, kAck | kPsh);
}

TEST_F(TcpConnection_Established, OutOfOrderIsHeldAndAcknowledgedTwice) {
  in_established();
  receive(data(5, "world"));
  receive(data(10, "!"));
  const auto duplicates = sent();
  ASSERT_THAT(duplicates, SizeIs(2)) << "one for each: the peer counts them";
  EXPECT_EQ(duplicates[0].ack, kIrs + SeqLen(1));
  EXPECT_EQ(read(), "");
  receive(data(0, "hello"));
  EXPECT_EQ(read(), "helloworld!");
  const auto out = sent();
  ASSERT_THAT(out, SizeIs(1)) << "a filled gap is acknowledged at once";
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(12));
}

TEST_F(TcpConnection_Established, OverlapsNeverChangeWhatWasThereFirst) {
  in_established();
  receive(data(2, "CDEF"));
  receive(data(4, "xxxxGH"));
  receive(data(0, "AByyyy"));
  EXPECT_EQ(read(), "AByyyyxxGH") << "in-order bytes count as they come, held ones stay as they were";
  receive(data(0, "zzzzzzzzzzzI"));
  EXPECT_EQ(read(), "zI");
}

TEST_F(TcpConnection_Established, FinOutOfOrderWaitsForTheGap) {
  in_established();
  receive(data(3, "def", 0, kFin | kAck));
  EXPECT_EQ(connection.state(), State::kEstablished);
  receive(data(0, "abc"));
  EXPECT_EQ(connection.state(), State::kCloseWait);
  EXPECT_EQ(read(), "abcdef");
  EXPECT_TRUE(connection.read_ended());
}

TEST_F(TcpConnection_Established, SegmentsOutsideTheWindowAreDroppedAndAnswered) {
  in_established();
  receive(data(20'000, "beyond"));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
  EXPECT_EQ(counters[Counter::kDropOutsideWindow], 1u);
  receive(data(0, "x"));
  EXPECT_EQ(read(), "x");
}

TEST_F(TcpConnection_Established, WindowClosesWhileNobodyReadsAndReopens) {
  in_established();
  for (std::size_t i = 0; i < 20; ++i) receive(data(i * 1'000, text(1'000)));
  auto out = sent();
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out.back().window, 0);
  receive(data(20'000, "probe"));
  out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(20'001)) << "the probe's byte is not taken";
  EXPECT_EQ(read(10), text(10));
  EXPECT_THAT(sent(), IsEmpty()) << "no silly window";
  EXPECT_EQ(read(5'000).size(), 5'000u);
  out = sent();
  ASSERT_THAT(out, SizeIs(1)) << "the reader made room: the peer must hear of it";
  EXPECT_GE(out[0].window, 5'000);
}

TEST_F(TcpConnection_Established, TheOfferedWindowNeverShrinks) {
  in_established();
  SeqNum edge = kIrs;
  for (std::size_t i = 0; i < 15; ++i) {
    receive(data(i * 300, text(300)));  // each pins a whole buffer
    (void)sent_after_timeout();
    const SeqNum next = connection.receiver().rcv_nxt() + connection.receiver().rcv_wnd();
    EXPECT_TRUE(edge <= next);
    edge = next;
  }
}

TEST_F(TcpConnection_Established, SparseSegmentsAreCopiedTogether) {
  in_established();
  for (std::size_t i = 0; i < 60; ++i) receive(data(i * 300, text(300)));
  EXPECT_EQ(connection.readable(), 18'000u);
  EXPECT_LT(packets.in_use(), 40u) << "60 packets were not all kept";
}

TEST_F(TcpConnection_Established, SendsAtMostTheInitialWindow) {
  in_established();
  ASSERT_EQ(write(text(40'000)), 40'000u);
  EXPECT_EQ(connection.write_credit(), 0u);
  EXPECT_THAT(sent(), SizeIs(10));
  receive(ack(2'000));
  EXPECT_THAT(sent(), SizeIs(4)) << "slow start: two acknowledged, four go out";
}

TEST_F(TcpConnection_Established, KeepsWithinThePeersWindow) {
  in_established(2'500);
  write(text(10'000));
  auto out = sent();
  ASSERT_THAT(out, SizeIs(2)) << "the last 500 bytes would be a silly segment";
  receive(ack(2'000, 2'500));
  EXPECT_THAT(sent(), SizeIs(2));
}

TEST_F(TcpConnection_Established, ReassemblesExactlyWhatWasWritten) {
  in_established();
  const std::string all = text(9'876);
  for (std::size_t at = 0; at < all.size(); at += 777) write(std::string_view(all).substr(at, 777));
  std::string received;
  for (const Sent& segment : sent()) received += segment.data;
  EXPECT_EQ(received, all);
}

TEST_F(TcpConnection_Established, WritableOnceHalfTheBufferIsFree) {
  in_established();
  write(text(40'000));
  write("more");
  (void)sent();
  receive(ack(10'000));
  EXPECT_FALSE(connection.take_events().writable);
  (void)sent();
  receive(ack(21'000));
  EXPECT_TRUE(connection.take_events().writable);
  EXPECT_FALSE(connection.take_events().writable);
}

TEST_F(TcpConnection_Established, RetransmitsAfterRtoWithBackOff) {
  in_established();
  write(text(3'000));
  ASSERT_THAT(sent(), SizeIs(3));
  const Instant start = now;
  auto out = sent_after_timeout();
  ASSERT_THAT(out, SizeIs(1)) << "one segment after a timeout";
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
  EXPECT_EQ(out[0].data, text(3'000).substr(0, 1'000));
  const Duration first = now - start;
  const Instant again = now;
  ASSERT_THAT(sent_after_timeout(), SizeIs(1));
  EXPECT_EQ(now - again, first * 2);
}

TEST_F(TcpConnection_Established, GoesBackThroughAllThatIsOutstanding) {
  in_established();
  write(text(3'000));
  (void)sent();
  (void)sent_after_timeout();
  receive(ack(1'000));
  auto out = sent();
  ASSERT_THAT(out, SizeIs(2));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1'001));
  EXPECT_EQ(out[1].seq, kIss + SeqLen(2'001));
}

TEST_F(TcpConnection_Established, AckAfterTimeoutMaySkipWhatThePeerHeld) {
  in_established();
  write(text(5'000));
  (void)sent();
  (void)sent_after_timeout();
  receive(ack(5'000));
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_TRUE(connection.next_timeout().is_never());
}

TEST_F(TcpConnection_Established, GivesUpWhenNothingIsEverAnswered) {
  in_established();
  write("x");
  (void)sent();
  const Instant start = now;
  while (connection.state() == State::kEstablished) (void)sent_after_timeout();
  EXPECT_EQ(connection.end(), CloseReason::kTimeout);
  EXPECT_GT(now - start, Duration::seconds(100));
  EXPECT_LT(now - start, Duration::seconds(1'500));
}

TEST_F(TcpConnection_Established, ThreeDuplicateAcksRetransmitAtOnce) {
  in_established();
  write(text(10'000));
  ASSERT_THAT(sent(), SizeIs(10));
  receive(ack(0));
  receive(ack(0));
  EXPECT_THAT(sent(), IsEmpty());
  receive(ack(0));
  auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
  EXPECT_EQ(counters[Counter::kFastRetransmits], 1u);
  EXPECT_EQ(connection.sender().recovery().ssthresh(), 7'000u) << "CUBIC keeps seven tenths";
}

TEST_F(TcpConnection_Established, PartialAckRetransmitsTheNextHole) {
  in_established();
  write(text(10'000));
  (void)sent();
  for (int i = 0; i < 3; ++i) receive(ack(0));
  (void)sent();
  receive(ack(4'000));
  auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(4'001));
  receive(ack(10'000));
  EXPECT_EQ(connection.sender().cwnd(), 7'000u) << "the recovery is over";
  EXPECT_TRUE(connection.next_timeout().is_never());
}

TEST_F(TcpConnection_Established, LimitedTransmitSendsNewDataOnTheFirstDuplicates) {
  in_established();
  write(text(20'000));
  ASSERT_THAT(sent(), SizeIs(10));
  receive(ack(0));
  auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(10'001));
}

TEST_F(TcpConnection_Established, WindowUpdatesAreNoDuplicates) {
  in_established();
  write(text(10'000));
  (void)sent();
  for (std::uint16_t i = 0; i < 5; ++i) receive(ack(0, static_cast<std::uint16_t>(20'000 + i)));
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(TcpConnection_Established, ProbesAClosedWindowWithBackOffForEver) {
  in_established();
  write(text(1'000));
  (void)sent();
  receive(ack(1'000, 0));
  write(text(3'000));
  EXPECT_THAT(sent(), IsEmpty());
  Duration last;
  for (int i = 0; i < 30; ++i) {
    const Instant before = now;
    auto out = sent_after_timeout();
    ASSERT_THAT(out, SizeIs(1));
    EXPECT_EQ(out[0].seq, kIss + SeqLen(1'000)) << "an old number, so that any peer answers";
    EXPECT_GE(now - before, last);
    last = now - before;
    receive(ack(1'000, 0));
    (void)sent();
  }
  EXPECT_EQ(connection.state(), State::kEstablished) << "the peer answers: no reason to give up";
  receive(ack(1'000, 30'000));
  EXPECT_THAT(sent(), SizeIs(3));
}

TEST_F(TcpConnection_Established, UnansweredProbesGiveUp) {
  in_established();
  write(text(1'000));
  (void)sent();
  receive(ack(1'000, 0));
  write("x");
  (void)sent();
  for (int i = 0; i < 40 && connection.state() == State::kEstablished; ++i) (void)sent_after_timeout();
  EXPECT_EQ(connection.end(), CloseReason::kTimeout);
}

TEST_F(TcpConnection_Established, SmallWindowIsUsedAfterTheProbeTimer) {
  in_established();
  write(text(1'000));
  (void)sent();
  receive(ack(1'000, 100));
  write(text(3'000));
  EXPECT_THAT(sent(), IsEmpty());
  auto out = sent_after_timeout();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].data.size(), 100u);
}

TEST_F(TcpConnection_Established, ExactResetCloses) {
  in_established();
  receive(rst(kIrs + SeqLen(1)));
  EXPECT_EQ(connection.end(), CloseReason::kPeerReset);
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(TcpConnection_Established, ResetInsideTheWindowIsChallenged) {
  in_established();
  receive(rst(kIrs + SeqLen(100)));
  EXPECT_EQ(connection.state(), State::kEstablished);
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
  receive(rst(kIrs + SeqLen(30'000)));
  EXPECT_THAT(sent(), IsEmpty()) << "outside the window: silence";
}

TEST_F(TcpConnection_Established, SynIsChallengedNowAndThen) {
  in_established();
  for (int i = 0; i < 150; ++i) {
    receive({.seq = kIrs + SeqLen(5), .flags = kSyn, .window = 1'000});
    (void)sent();
    pass(Duration::milliseconds(10));
  }
  EXPECT_EQ(connection.state(), State::kEstablished);
  EXPECT_EQ(counters[Counter::kChallengeAcks], 3u) << "twice a second";
  EXPECT_EQ(counters[Counter::kDropChallengeLimit], 147u);
}

TEST_F(TcpConnection_Established, ChallengesOfAllConnectionsTogetherAreLimited) {
  in_established();
  while (challenges.take(now)) {
  }
  receive(rst(kIrs + SeqLen(100)));
  EXPECT_THAT(sent(), IsEmpty());
  pass(Duration::seconds(1));
  receive(rst(kIrs + SeqLen(100)));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
}

TEST_F(TcpConnection_Established, AFinAheadOfItsTurnIsAnsweredAtOnce) {
  in_established();
  receive(fin(5));
  const auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(1));
}

TEST_F(TcpConnection_Established, AckOfTheFutureIsChallengedAndItsDataDropped) {
  in_established();
  receive(data(0, "forged", 5'000));
  EXPECT_EQ(connection.readable(), 0u);
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
  EXPECT_EQ(counters[Counter::kDropBadAck], 1u);
}

TEST_F(TcpConnection_Established, EmptyStraysAreAnsweredOnlyNowAndThen) {
  in_established();
  int answers = 0;
  for (int i = 0; i < 50; ++i) {
    receive({.seq = kIrs - SeqLen(10), .ack = kIss + SeqLen(1), .flags = kAck, .window = 1'000});
    answers += static_cast<int>(sent().size());
  }
  EXPECT_EQ(answers, 1);
}

TEST_F(TcpConnection_Established, AbortSendsOneReset) {
  in_established();
  write("queued");
  connection.reset();
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kRst | kAck)));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
  EXPECT_EQ(connection.state(), State::kClosed);
  EXPECT_TRUE(connection.next_timeout().is_never());
}

TEST_F(TcpConnection_Established, SmallerPathSendsOutstandingDataInSmallerPieces) {
  in_established();
  write(text(2'000));
  (void)sent();
  EXPECT_FALSE(connection.is_in_flight(SeqNum(3))) << "forged";
  EXPECT_FALSE(connection.is_in_flight(kIss + SeqLen(2'001)));
  EXPECT_TRUE(connection.is_in_flight(kIss + SeqLen(1)));
  connection.on_path_mss(500, now);
  auto out = sent();
  ASSERT_THAT(out, SizeIs(4));
  EXPECT_EQ(out[0].data.size(), 500u);
}

TEST_F(TcpConnection_Established, LosesNoByteWhenListNodesRunOut) {
  in_established();
  write(text(5'000));
  stream::ChainPool& pool = chains;
  EXPECT_GT(pool.nodes_in_use(), 0u);
  std::string received;
  for (int i = 0; i < 10; ++i) {
    for (const Sent& segment : sent()) received += segment.data;
    receive(ack(received.size()));
  }
  EXPECT_EQ(received, text(5'000));
  EXPECT_EQ(connection.sender().queued(), 0u);
}

class TcpConnection_Timestamps : public ConnectionFixture {
 protected:
  void in_established_with_timestamps() {
    in_syn_sent();
    Segment syn_ack{.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 30'000, .options = {.mss = kMss}};
    syn_ack.options.timestamps = {{.value = 700, .echo = 1}};
    receive(syn_ack);
    (void)sent();
    ASSERT_EQ(connection.state(), State::kEstablished);
  }
  Segment stamped(Segment segment, std::uint32_t value) {
    segment.options.timestamps = {{.value = value, .echo = 0}};
    return segment;
  }
};

TEST_F(TcpConnection_Timestamps, AreOnEverySegmentAndEchoTheLastInOrder) {
  in_established_with_timestamps();
  EXPECT_EQ(connection.sender().mss(), kMss - 12);
  receive(stamped(data(0, "a"), 710));
  receive(stamped(data(5, "late"), 720));  // does not move the echo
  const auto out = sent();
  ASSERT_FALSE(out.empty());
  ASSERT_TRUE(out[0].options.timestamps.has_value());
  EXPECT_EQ(out[0].options.timestamps->echo, 710u);
}

TEST_F(TcpConnection_Timestamps, OldOnesAreDroppedAndAnswered) {
  in_established_with_timestamps();
  receive(stamped(data(0, "new"), 710));
  (void)sent_after_timeout();
  receive(stamped(data(3, "wrapped around"), 650));
  EXPECT_EQ(read(), "new");
  EXPECT_EQ(counters[Counter::kDropPaws], 1u);
  EXPECT_FALSE(sent().empty());
}

TEST_F(TcpConnection_Timestamps, MissingOnesAreDroppedButNotOnResets) {
  in_established_with_timestamps();
  receive(data(0, "bare"));
  EXPECT_EQ(connection.readable(), 0u);
  EXPECT_EQ(counters[Counter::kDropNoTimestamp], 1u);
  receive(rst(kIrs + SeqLen(1)));
  EXPECT_EQ(connection.end(), CloseReason::kPeerReset);
}

TEST_F(TcpConnection_Timestamps, WindowIsScaled) {
  config.receive_buffer_bytes = config.initial_receive_buffer_bytes = 1'000'000;
  Connection big(shared);
  LocalTerms terms{.iss = kIss, .mss = kMss, .window = 1'000'000, .window_scale = window_scale_for(1'000'000)};
  big.open(terms, now);
  std::vector<std::uint16_t> windows;
  const auto sink = [&](const OutgoingSegment& s) { windows.push_back(s.window); };
  big.on_timer(now);
  big.transmit(now, sink);
  Segment syn_ack{
      .seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 50'000, .options = {.mss = kMss, .window_scale = 3}};
  big.on_segment(syn_ack, now);
  big.on_timer(now);
  big.transmit(now, sink);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0], 0xffff) << "the window of a SYN is not scaled";
  EXPECT_EQ(windows[1], (1'000'000 + 15) >> 4);
  EXPECT_EQ(big.sender().max_window(), 50'000u) << "nor is the peer's";
  big.on_segment({.seq = kIrs + SeqLen(1), .ack = kIss + SeqLen(1), .flags = kAck, .window = 40'000}, now);
  EXPECT_EQ(big.sender().max_window(), 320'000u);
}

TEST_F(TcpConnection_Established, SackBlocksNameWhatIsHeldNewestFirst) {
  in_syn_sent();
  Segment syn_ack{.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 30'000, .options = {.mss = kMss}};
  syn_ack.options.sack_permitted = true;
  receive(syn_ack);
  (void)sent();
  receive(data(10, "held"));
  (void)sent();
  receive(data(30, "newer"));
  const auto out = sent();
  ASSERT_FALSE(out.empty());
  const auto sacks = out.back().options.sacks();
  ASSERT_EQ(sacks.size(), 2u);
  EXPECT_EQ(sacks[0].left, kIrs.raw() + 31);
  EXPECT_EQ(sacks[0].right, kIrs.raw() + 36);
  EXPECT_EQ(sacks[1].left, kIrs.raw() + 11);
}

}  // namespace
}  // namespace millrace::tcp
