// SYN cookies: what goes out comes back, nothing else does.
#include "dataplane/tcp/syn_cookie.h"

#include <gtest/gtest.h>

namespace millrace::tcp {
namespace {

class TcpSynCookies : public ::testing::Test {
 protected:
  SynCookies cookies{KeyedHash(SecretKey{1, 2, 3})};
  FlowKey flow{IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 80, 4'000};
  LocalTerms local{.iss = SeqNum(), .mss = 1'460, .timestamp_offset = 77, .window = 65'535, .window_scale = 7};
  Instant now = Instant::from_nanoseconds(1'000'000'000'000);

  static Segment syn(std::uint16_t mss, bool options) {
    Segment segment{.seq = SeqNum(500), .flags = TcpFlags::kSyn, .window = 1'000, .options = {.mss = mss}};
    if (options) {
      segment.options.window_scale = 9;
      segment.options.timestamps = {{.value = 42, .echo = 0}};
      segment.options.sack_permitted = true;
      segment.flags |= TcpFlags::kEce | TcpFlags::kCwr;
    }
    return segment;
  }
  static Segment completing(const OutgoingSegment& answer) {
    Segment segment{.seq = answer.ack, .ack = answer.seq + SeqLen(1), .flags = TcpFlags::kAck, .window = 900};
    if (answer.options.timestamps) segment.options.timestamps = {{.value = 43, .echo = answer.options.timestamps->value}};
    return segment;
  }
};

TEST_F(TcpSynCookies, BringBackWhatTheSynOffered) {
  const OutgoingSegment answer = cookies.answer(flow, local, syn(1'460, true), now);
  EXPECT_EQ(answer.options.window_scale, 7);
  EXPECT_TRUE(answer.options.sack_permitted);
  const auto terms = cookies.open(flow, local, completing(answer), now + Duration::seconds(1));
  ASSERT_TRUE(terms.has_value());
  EXPECT_EQ(terms->irs, SeqNum(500));
  EXPECT_EQ(terms->local.iss, answer.seq);
  EXPECT_EQ(terms->peer_mss, 1'460);
  EXPECT_TRUE(terms->scaling && terms->timestamps && terms->sack && terms->ecn);
  EXPECT_EQ(terms->peer_scale, 9);
  EXPECT_EQ(terms->ts_recent, 43u);
  EXPECT_EQ(terms->own_scale(), 7);
}

TEST_F(TcpSynCookies, WithoutTimestampsOnlyTheSizeComesBack) {
  Segment plain = syn(1'300, true);
  plain.options.timestamps.reset();
  const OutgoingSegment answer = cookies.answer(flow, local, plain, now);
  EXPECT_FALSE(answer.options.window_scale || answer.options.sack_permitted) << "it could not be remembered";
  EXPECT_FALSE(answer.flags & TcpFlags::kEce);
  const auto terms = cookies.open(flow, local, completing(answer), now);
  ASSERT_TRUE(terms.has_value());
  EXPECT_EQ(terms->peer_mss, 1'220) << "the next smaller size";
  EXPECT_FALSE(terms->scaling || terms->timestamps || terms->sack || terms->ecn);
}

TEST_F(TcpSynCookies, TheTimestampIsNeverAheadOfTheClock) {
  for (int i = 0; i < 200; ++i) {
    const Instant then = now + Duration::milliseconds(i);
    Terms clock;
    clock.local = local;
    const OutgoingSegment answer = cookies.answer(flow, local, syn(1'460, true), then);
    const auto behind = static_cast<std::int32_t>(clock.timestamp(then) - answer.options.timestamps->value);
    EXPECT_GE(behind, 0);
    EXPECT_LT(behind, 128);
  }
}

TEST_F(TcpSynCookies, AreRefusedWhenForgedForAnotherFlowOrStale) {
  const OutgoingSegment answer = cookies.answer(flow, local, syn(1'460, true), now);
  const Segment good = completing(answer);
  Segment forged = good;
  forged.ack += SeqLen(1);
  EXPECT_FALSE(cookies.open(flow, local, forged, now));
  forged = good;
  forged.seq += SeqLen(1);
  EXPECT_FALSE(cookies.open(flow, local, forged, now));
  FlowKey other = flow;
  other.peer_port = 4'001;
  EXPECT_FALSE(cookies.open(other, local, good, now));
  EXPECT_FALSE(SynCookies(KeyedHash(SecretKey{9})).open(flow, local, good, now));
  EXPECT_TRUE(cookies.open(flow, local, good, now + Duration::seconds(60)));
  EXPECT_FALSE(cookies.open(flow, local, good, now + SynCookies::kLifetime + Duration::seconds(1)));
}

}  // namespace
}  // namespace millrace::tcp
