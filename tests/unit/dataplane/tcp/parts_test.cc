// The small parts on their own: sequence numbers, reassembly, round-trip times, half-open entries, TIME-WAIT, ISNs,
// hashes.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/rng.h"
#include "dataplane/tcp/half_open.h"
#include "dataplane/tcp/isn.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/rtt_estimator.h"
#include "nic/heap_pool.h"

namespace millrace::tcp {
namespace {

TEST(TcpSeqNum, ComparesAcrossTheWrap) {
  const SeqNum before(0xffff'fff0);
  const SeqNum after = before + SeqLen(0x20);
  EXPECT_EQ(after.raw(), 0x10u);
  EXPECT_TRUE(before < after);
  EXPECT_TRUE(after > before);
  EXPECT_EQ((after - before).count(), 0x20u);
  EXPECT_EQ(later(before, after), after);
  EXPECT_EQ(after - SeqLen(0x20), before);
}

TEST(TcpKeyedHash, IsSipHash24) {
  SecretKey key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  // The reference vector for the 8 bytes 00..07: the purpose is the last word that is hashed.
  EXPECT_EQ(KeyedHash(key)({}, 0x0706050403020100), 0x93f5f5799a932462u);
}

TEST(TcpIsn, RisesForOneFlowAndTellsNothingOfAnother) {
  const KeyedHash hash(SecretKey{1, 2, 3});
  const FlowKey flow{IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 80, 4'000};
  FlowKey other = flow;
  other.peer_port = 4'001;
  const Instant start = Instant::from_nanoseconds(5'000'000'000);
  const SeqNum first = initial_sequence_number(hash, flow, start);
  EXPECT_EQ((initial_sequence_number(hash, flow, start + Duration::seconds(1)) - first).count(), 250'000u);
  EXPECT_NE(initial_sequence_number(hash, other, start), first);
  EXPECT_NE(initial_sequence_number(KeyedHash(SecretKey{9}), flow, start), first);
}

class TcpReassembly : public ::testing::Test {
 protected:
  nic::HeapPool packets{4'000};
  ReassemblyPool pool{8, 2'000};
  Reassembly held{pool};
  static constexpr std::size_t kLimit = 10'000'000;

  nic::Slice bytes(std::string_view text) {
    nic::Packet packet = packets.allocate();
    packet.append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    return nic::Slice(std::move(packet));
  }
  std::string drain(SeqNum& next) {
    std::string all;
    while (auto slice = held.take(next)) {
      all.append(reinterpret_cast<const char*>(slice->data()), slice->size());
      next += SeqLen(slice->size());
    }
    return all;
  }
};

TEST_F(TcpReassembly, FillsHolesWithoutChangingWhatIsHeld) {
  EXPECT_TRUE(held.insert(SeqNum(10), bytes("KL"), kLimit));
  EXPECT_TRUE(held.insert(SeqNum(14), bytes("OP"), kLimit));
  EXPECT_TRUE(held.insert(SeqNum(9), bytes("jklmnopq"), kLimit));
  EXPECT_EQ(held.size(), 8u);
  SeqNum next(9);
  EXPECT_EQ(drain(next), "jKLmnOPq");
  EXPECT_EQ(next, SeqNum(17));
  EXPECT_TRUE(held.empty());
  EXPECT_EQ(held.charge(), 0u);
}

TEST_F(TcpReassembly, IsBounded) {
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i < 1'500; ++i) kept += held.insert(SeqNum(i * 2), bytes("x"), kLimit) ? 1 : 0;
  EXPECT_EQ(kept, Reassembly::kMaxBlocks);
  Reassembly small(pool);
  EXPECT_TRUE(small.insert(SeqNum(0), bytes("x"), 3'000));
  EXPECT_FALSE(small.insert(SeqNum(2), bytes("x"), 3'000));
}

// Against a model: random pieces of one text, overlapping, across the wrap; what is delivered is the text.
TEST_F(TcpReassembly, AnyOrderGivesTheText) {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    std::string text(400, '\0');
    for (char& c : text) c = static_cast<char>('a' + rng.below(26));
    const SeqNum start(0xffff'ff00);
    SeqNum next = start;
    std::string delivered;
    while (delivered.size() < text.size()) {
      const std::size_t at = rng.below(400);
      const std::size_t size = 1 + rng.below(60);
      const std::string piece = text.substr(at, size);
      ASSERT_TRUE(held.insert(start + SeqLen(at), bytes(piece), kLimit));
      ASSERT_LE(held.size(), text.size());
      delivered += drain(next);
    }
    EXPECT_EQ(delivered, text);
    held.clear();
    EXPECT_EQ(pool.slices.in_use() + pool.blocks.in_use(), 0u);
  }
}

TEST(TcpRttEstimator, FollowsRfc6298) {
  RttEstimator rtt;
  EXPECT_EQ(rtt.rto(), Duration::seconds(1));
  rtt.sample(Duration::milliseconds(100));
  EXPECT_EQ(rtt.srtt(), Duration::milliseconds(100));
  EXPECT_EQ(rtt.rto(), Duration::milliseconds(300));
  rtt.sample(Duration::milliseconds(100));
  EXPECT_EQ(rtt.rto(), Duration::milliseconds(250));
  rtt.back_off();
  EXPECT_EQ(rtt.rto(), Duration::milliseconds(500));
  for (int i = 0; i < 30; ++i) rtt.back_off();
  EXPECT_EQ(rtt.rto(), RttEstimator::kMaxRto);
  rtt.reset_back_off();
  for (int i = 0; i < 100; ++i) rtt.sample(Duration::microseconds(50));
  EXPECT_EQ(rtt.rto(), RttEstimator::kMinRto);
}

class TcpHalfOpen : public ::testing::Test {
 protected:
  static Segment syn() {
    Segment segment;
    segment.seq = SeqNum(500);
    segment.flags = TcpFlags::kSyn;
    segment.window = 1'000;
    segment.options.mss = 1'200;
    segment.options.window_scale = 7;
    return segment;
  }
  HalfOpen half{LocalTerms{.iss = SeqNum(1'000), .mss = 1'460, .window = 65'535, .window_scale = 3}, syn()};
};

TEST_F(TcpHalfOpen, AnswersWithWhatThePeerOffered) {
  const OutgoingSegment answer = half.answer(Instant());
  EXPECT_EQ(answer.seq, SeqNum(1'000));
  EXPECT_EQ(answer.ack, SeqNum(501));
  EXPECT_EQ(answer.options.window_scale, 3);
  EXPECT_FALSE(answer.options.timestamps);
  EXPECT_FALSE(answer.options.sack_permitted);
  EXPECT_EQ(half.terms().send_mss(), 1'200u);
}

TEST_F(TcpHalfOpen, KnowsWhatCompletesIt) {
  using enum HalfOpen::Verdict;
  const SeqNum next(501);
  const SeqNum right(1'001);
  EXPECT_EQ(half.on_segment({.seq = next, .ack = right, .flags = TcpFlags::kAck}), kComplete);
  EXPECT_EQ(half.on_segment({.seq = next, .ack = right, .flags = TcpFlags::kAck | TcpFlags::kFin}), kComplete);
  EXPECT_EQ(half.on_segment({.seq = next, .ack = SeqNum(1'002), .flags = TcpFlags::kAck}), kRefuse);
  EXPECT_EQ(half.on_segment({.seq = SeqNum(499), .ack = right, .flags = TcpFlags::kAck}), kAnswer);
  EXPECT_EQ(half.on_segment({.seq = SeqNum(500), .flags = TcpFlags::kSyn}), kAnswer);
  EXPECT_EQ(half.on_segment({.seq = next, .flags = TcpFlags::kRst}), kForget);
  EXPECT_EQ(half.on_segment({.seq = SeqNum(600), .flags = TcpFlags::kRst}), kAnswer);
  EXPECT_EQ(half.on_segment({.seq = SeqNum(90'000), .flags = TcpFlags::kRst}), kDrop);
  EXPECT_EQ(half.on_segment({.seq = next, .flags = 0}), kDrop);
}

}  // namespace
}  // namespace millrace::tcp
