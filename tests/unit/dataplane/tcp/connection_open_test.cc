// SYN-SENT and SYN-RECEIVED: RFC 9293 3.5, 3.10.7.3.
#include "tests/unit/dataplane/tcp/connection_fixture.h"

namespace millrace::tcp {
namespace {

using stream::CloseReason;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpConnection_SynSent : public ConnectionFixture {};
class TcpConnection_SynReceived : public ConnectionFixture {
 protected:
  void in_syn_received() {
    in_syn_sent();
    receive({.seq = kIrs, .flags = kSyn, .window = 8'000, .options = {.mss = kMss}});
    ASSERT_EQ(connection.state(), State::kSynReceived);
  }
};

TEST_F(TcpConnection_SynSent, SynOffersEverything) {
  connection.open(local(), now);
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kSyn)));
  EXPECT_EQ(out[0].seq, kIss);
  EXPECT_EQ(out[0].options.mss, kMss);
  EXPECT_TRUE(out[0].options.sack_permitted);
  EXPECT_TRUE(out[0].options.timestamps.has_value());
  EXPECT_TRUE(out[0].options.window_scale.has_value());
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(TcpConnection_SynSent, RetransmitsSynWithBackOffThenTimesOut) {
  in_syn_sent();
  for (const int seconds : {1, 2, 4, 8, 16, 32}) {
    const Instant before = now;
    EXPECT_THAT(sent_after_timeout(), ElementsAre(flags_are(kSyn)));
    EXPECT_EQ(now - before, Duration::seconds(seconds));
  }
  EXPECT_THAT(sent_after_timeout(), IsEmpty());
  EXPECT_EQ(connection.end(), CloseReason::kTimeout);
  EXPECT_EQ(connection.state(), State::kClosed);
}

TEST_F(TcpConnection_SynSent, SynAckEstablishesAndIsAcknowledged) {
  in_syn_sent();
  receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 9'000, .options = {.mss = 700}});
  EXPECT_EQ(connection.state(), State::kEstablished);
  EXPECT_TRUE(connection.take_events().connected);
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kAck)));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(1));
  EXPECT_EQ(connection.sender().mss(), 700u);
}

TEST_F(TcpConnection_SynSent, PeerWithoutMssOptionGets536) {
  in_syn_sent();
  receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 9'000});
  EXPECT_EQ(connection.sender().mss(), 536u);
}

TEST_F(TcpConnection_SynSent, WrongAckIsAnsweredWithReset) {
  in_syn_sent();
  receive({.seq = kIrs, .ack = kIss + SeqLen(77), .flags = kSyn | kAck, .window = 9'000});
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kRst)));
  EXPECT_EQ(out[0].seq, kIss + SeqLen(77));
  EXPECT_EQ(connection.state(), State::kSynSent);
}

TEST_F(TcpConnection_SynSent, ResetThatAcknowledgesOurSynRefuses) {
  in_syn_sent();
  receive({.seq = SeqNum(0), .ack = kIss + SeqLen(1), .flags = kRst | kAck});
  EXPECT_EQ(connection.end(), CloseReason::kRefused);
}

TEST_F(TcpConnection_SynSent, OtherResetsAreIgnored) {
  in_syn_sent();
  receive({.seq = SeqNum(0), .ack = kIss + SeqLen(9), .flags = kRst | kAck});
  receive({.seq = SeqNum(0), .flags = kRst});
  EXPECT_EQ(connection.state(), State::kSynSent);
  EXPECT_EQ(counters[Counter::kDropBadAck], 2u);
}

TEST_F(TcpConnection_SynSent, UnreachableEndsItOnlyForOurSynAndWhenItIsFinal) {
  in_syn_sent();
  connection.on_unreachable(SeqNum(4), true);
  EXPECT_EQ(connection.state(), State::kSynSent);
  connection.on_unreachable(kIss, false);
  EXPECT_EQ(connection.state(), State::kSynSent) << "no route now: there may be one soon";
  connection.on_unreachable(kIss, true);
  EXPECT_EQ(connection.end(), CloseReason::kUnreachable);
}

TEST_F(TcpConnection_SynSent, ASoftErrorIsTheReasonWhenAttemptsAreUsedUp) {
  in_syn_sent();
  connection.on_unreachable(kIss, false);
  while (connection.state() == State::kSynSent) (void)sent_after_timeout();
  EXPECT_EQ(connection.end(), CloseReason::kUnreachable);
}

TEST_F(TcpConnection_SynSent, AHandshakeThatMetLossesBeginsWithOneSegment) {
  in_syn_sent();
  (void)sent_after_timeout();
  (void)sent_after_timeout();
  receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 9'000, .options = {.mss = 700}});
  EXPECT_EQ(connection.sender().cwnd(), 700u);
}

TEST_F(TcpConnection_SynSent, WhatWaitsForTheHandshakeHasNoTimerOfItsOwn) {
  in_syn_sent();
  connection.shutdown_write(now);
  for (int i = 0; i < 5; ++i) {
    (void)sent_after_timeout();
    EXPECT_GT(connection.next_timeout(), now) << "a timer in the past would turn for ever";
  }
}

TEST_F(TcpConnection_SynSent, ShutdownBeforeTheAnswerSendsFinAfterIt) {
  in_syn_sent();
  connection.shutdown_write(now);
  receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 9'000, .options = {.mss = 700}});
  EXPECT_THAT(sent(), ElementsAre(flags_are(kFin | kAck)));
  EXPECT_EQ(connection.state(), State::kFinWait1);
}

TEST_F(TcpConnection_SynReceived, SimultaneousOpenAnswersWithSynAck) {
  in_syn_received();
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kSyn | kAck)));
  EXPECT_EQ(out[0].seq, kIss);
  EXPECT_EQ(out[0].ack, kIrs + SeqLen(1));
  EXPECT_FALSE(out[0].options.timestamps.has_value()) << "the peer did not offer them";
}

TEST_F(TcpConnection_SynReceived, RetransmitsSynAckAfterRto) {
  in_syn_received();
  (void)sent();
  EXPECT_THAT(sent_after_timeout(), ElementsAre(flags_are(kSyn | kAck)));
}

TEST_F(TcpConnection_SynReceived, AckEstablishes) {
  in_syn_received();
  (void)sent();
  receive(ack(0));
  EXPECT_EQ(connection.state(), State::kEstablished);
  EXPECT_TRUE(connection.take_events().connected);
}

TEST_F(TcpConnection_SynReceived, TheOtherSynAckEstablishesToo) {
  in_syn_received();
  (void)sent();
  receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = 8'000, .options = {.mss = kMss}});
  EXPECT_EQ(connection.state(), State::kEstablished);
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
}

TEST_F(TcpConnection_SynReceived, BadAckIsRefused) {
  in_syn_received();
  (void)sent();
  receive(ack(500));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kRst)));
  EXPECT_EQ(connection.state(), State::kSynReceived);
}

TEST_F(TcpConnection_SynReceived, ExactResetRefuses) {
  in_syn_received();
  receive(rst(kIrs + SeqLen(1)));
  EXPECT_EQ(connection.end(), CloseReason::kRefused);
}

TEST(TcpState, FlagsThatMeanNothingAreDropped) {
  for (std::size_t s = 0; s < kStates; ++s) {
    EXPECT_EQ(disposition(static_cast<State>(s), kSyn | kFin), Disposition::kDrop);
    EXPECT_EQ(disposition(static_cast<State>(s), 0), Disposition::kDrop);
    EXPECT_EQ(disposition(static_cast<State>(s), kFin), Disposition::kDrop);
    EXPECT_EQ(disposition(static_cast<State>(s), kSyn | kRst | kAck), Disposition::kDrop);
  }
  EXPECT_EQ(disposition(State::kClosed, kAck), Disposition::kDrop);
  EXPECT_EQ(disposition(State::kEstablished, kAck | kPsh), Disposition::kSynchronized);
}

TEST(TcpState, OnlyTheRfcsTransitions) {
  EXPECT_TRUE(may_follow(State::kFinWait1, State::kClosing));
  EXPECT_FALSE(may_follow(State::kTimeWait, State::kEstablished));
  EXPECT_FALSE(may_follow(State::kCloseWait, State::kTimeWait));
  EXPECT_TRUE(may_follow(State::kEstablished, State::kClosed));
}

}  // namespace
}  // namespace millrace::tcp
