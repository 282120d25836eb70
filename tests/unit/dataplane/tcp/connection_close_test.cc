// From the first FIN to the end: RFC 9293 3.6 and 3.10.7.4.
#include "tests/unit/dataplane/tcp/connection_fixture.h"

namespace millrace::tcp {
namespace {

using stream::CloseReason;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TcpConnection_FinWait1 : public ConnectionFixture {};
class TcpConnection_FinWait2 : public ConnectionFixture {};
class TcpConnection_CloseWait : public ConnectionFixture {};
class TcpConnection_Closing : public ConnectionFixture {};
class TcpConnection_LastAck : public ConnectionFixture {};
class TcpConnection_TimeWait : public ConnectionFixture {};

TEST_F(TcpConnection_FinWait1, FinFollowsTheLastByte) {
  in_established();
  write("bye");
  connection.shutdown_write(now);
  EXPECT_EQ(connection.write_credit(), 0u);
  const auto out = sent();
  ASSERT_THAT(out, ElementsAre(flags_are(kFin | kPsh | kAck)));
  EXPECT_EQ(out[0].data, "bye");
}

TEST_F(TcpConnection_FinWait1, FinIsRetransmitted) {
  in_fin_wait_1();
  const auto out = sent_after_timeout();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_TRUE(out[0].flags & kFin);
  EXPECT_EQ(out[0].seq, kIss + SeqLen(1));
}

TEST_F(TcpConnection_FinWait1, FinAndAckTogetherGoToTimeWait) {
  in_fin_wait_1();
  receive(fin(0, 1));
  EXPECT_EQ(connection.state(), State::kTimeWait);
  EXPECT_EQ(connection.end(), CloseReason::kGraceful);
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
}

TEST_F(TcpConnection_FinWait1, FinAloneGoesToClosing) {
  in_fin_wait_1();
  receive(fin());
  EXPECT_EQ(connection.state(), State::kClosing);
  EXPECT_FALSE(connection.end());
}

TEST_F(TcpConnection_FinWait1, StillReceives) {
  in_fin_wait_1();
  receive(data(0, "answer"));
  EXPECT_EQ(read(), "answer");
}

TEST_F(TcpConnection_FinWait1, FinWaitsForThePeersWindow) {
  in_established();
  write(std::string(1'000, 'x'));
  (void)sent();
  receive(ack(1'000, 0));
  connection.shutdown_write(now);
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_FALSE(connection.next_timeout().is_never());
  receive(ack(1'000, 1'000));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kFin | kAck)));
}

TEST_F(TcpConnection_FinWait2, StaysHalfOpenAsLongAsTheUserLikes) {
  in_fin_wait_2();
  EXPECT_TRUE(connection.next_timeout().is_never());
  receive(data(0, "late answer", 1));
  EXPECT_EQ(read(), "late answer");
}

TEST_F(TcpConnection_FinWait2, IsGivenUpAWhileAfterTheUserClosed) {
  in_fin_wait_2();
  connection.close(now);
  now = connection.next_timeout();
  (void)sent();
  EXPECT_EQ(connection.state(), State::kClosed);
}

TEST_F(TcpConnection_FinWait2, DataAfterCloseIsAcknowledgedAndDiscarded) {
  in_fin_wait_2();
  connection.close(now);
  receive(data(0, "nobody reads this", 1));
  EXPECT_EQ(connection.readable(), 0u);
  receive(fin(17, 1));
  EXPECT_EQ(connection.state(), State::kTimeWait);
  const auto out = sent();
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out.back().ack, kIrs + SeqLen(19));
}

TEST_F(TcpConnection_FinWait1, APeerThatAnswersProbesAndTakesNothingIsGivenUpAfterTheUserClosed) {
  in_established(0);
  ASSERT_GT(write("nobody takes this"), 0u);
  connection.close(now);
  (void)sent();
  const Instant start = now;
  while (connection.state() != State::kClosed && now - start < Duration::seconds(600)) {
    now = connection.next_timeout();
    (void)sent();
    if (connection.state() != State::kClosed) receive(ack(0, 0));
    (void)sent();
  }
  EXPECT_EQ(connection.state(), State::kClosed);
  EXPECT_LE(now - start, config.closed_stall + Duration::seconds(60));
}

TEST_F(TcpConnection_FinWait2, FinEndsGracefully) {
  in_fin_wait_2();
  receive(fin(0, 1));
  EXPECT_EQ(connection.state(), State::kTimeWait);
  EXPECT_EQ(connection.end(), CloseReason::kGraceful);
}

TEST_F(TcpConnection_CloseWait, TellsTheReaderAndGoesOnSending) {
  in_established();
  receive(fin());
  EXPECT_TRUE(connection.take_events().readable);
  EXPECT_TRUE(connection.read_ended());
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
  EXPECT_EQ(write("still here"), 10u);
  const auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].data, "still here");
}

TEST_F(TcpConnection_CloseWait, RetransmittedFinIsAcknowledgedAgain) {
  in_close_wait();
  receive(fin());
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
  EXPECT_EQ(connection.state(), State::kCloseWait);
}

TEST_F(TcpConnection_CloseWait, ResetIsTold) {
  in_close_wait();
  receive(rst(kIrs + SeqLen(2)));
  EXPECT_EQ(connection.end(), CloseReason::kPeerReset);
}

TEST_F(TcpConnection_Closing, AckGoesToTimeWait) {
  in_closing();
  receive(ack(1));
  EXPECT_EQ(connection.state(), State::kTimeWait);
  EXPECT_EQ(connection.end(), CloseReason::kGraceful);
}

TEST_F(TcpConnection_LastAck, AckEndsIt) {
  in_last_ack();
  receive(ack(1));
  EXPECT_EQ(connection.state(), State::kClosed);
  EXPECT_EQ(connection.end(), CloseReason::kGraceful);
}

TEST_F(TcpConnection_LastAck, FinIsRetransmittedAndGivenUpSoonerWhenTheUserIsGone) {
  in_last_ack();
  connection.close(now);
  int resent = 0;
  while (connection.state() == State::kLastAck) resent += static_cast<int>(sent_after_timeout().size());
  EXPECT_EQ(resent, static_cast<int>(config.closed_retries));
}

TEST_F(TcpConnection_LastAck, DataIsDeliveredBeforeTheEnd) {
  in_close_wait();
  write("last words");
  connection.close(now);
  EXPECT_EQ(connection.state(), State::kLastAck);
  const auto out = sent();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(out[0].data, "last words");
  EXPECT_TRUE(out[0].flags & kFin);
  receive(ack(10));
  EXPECT_EQ(connection.state(), State::kLastAck) << "the FIN is not acknowledged yet";
  receive(ack(11));
  EXPECT_EQ(connection.state(), State::kClosed);
}

TEST_F(TcpConnection_TimeWait, RepeatedFinIsAcknowledged) {
  in_time_wait();
  receive(fin(0, 1));
  EXPECT_THAT(sent(), ElementsAre(flags_are(kAck)));
}

TEST_F(TcpConnection_TimeWait, ResetDoesNotCutItShort) {
  in_time_wait();
  receive(rst(kIrs + SeqLen(2)));
  EXPECT_EQ(connection.state(), State::kTimeWait);
}

}  // namespace
}  // namespace millrace::tcp
