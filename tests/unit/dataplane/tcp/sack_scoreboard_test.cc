// The scoreboard against a model that keeps the fate of every byte.
#include "dataplane/tcp/sack_scoreboard.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::tcp {
namespace {

using Fate = SentRange::Fate;

class TcpSackScoreboard : public ::testing::Test {
 protected:
  static constexpr SeqNum kFirst{0xffff'ff00};  // the wrap is inside
  SentRangePool pool{4, 10'000};
  SackScoreboard board{pool};
  Instant now = Instant::from_nanoseconds(1'000);

  void SetUp() override { board.start(kFirst); }
  static SeqNum at(std::size_t offset) { return kFirst + SeqLen(offset); }
  void send(std::size_t end) {
    ASSERT_TRUE(board.on_sent(at(end), now));
    now = now + Duration::milliseconds(1);
  }
  std::uint32_t sack(std::size_t begin, std::size_t end) {
    std::uint32_t news = 0;
    board.sack(at(begin), at(end), [&](const SentRange& part) { news += part.size(); });
    return news;
  }
  std::uint32_t acknowledge(std::size_t end) {
    std::uint32_t news = 0;
    board.acknowledge(at(end), [&](const SentRange& part) { news += part.fate == Fate::kSacked ? 0 : part.size(); });
    return news;
  }
};

TEST_F(TcpSackScoreboard, WhatLeavesTogetherIsOneRange) {
  for (std::size_t end = 100; end <= 1'000; end += 100) ASSERT_TRUE(board.on_sent(at(end), now));
  EXPECT_EQ(board.ranges(), 1u);
  EXPECT_EQ(board.flight(), 1'000u);
  now = now + Duration::milliseconds(1);
  send(1'100);
  EXPECT_EQ(board.ranges(), 2u);
}

TEST_F(TcpSackScoreboard, BlocksAreCutOutAndJoined) {
  send(1'000);
  EXPECT_EQ(sack(200, 300), 100u);
  EXPECT_EQ(sack(400, 500), 100u);
  EXPECT_EQ(board.ranges(), 5u);
  EXPECT_EQ(sack(200, 500), 100u) << "only what is new";
  EXPECT_EQ(board.ranges(), 3u);
  EXPECT_EQ(board.sacked(), 300u);
  EXPECT_EQ(board.in_network(), 700u);
  EXPECT_EQ(acknowledge(600), 300u);
  EXPECT_EQ(board.ranges(), 1u);
  EXPECT_EQ(board.sacked(), 0u);
}

TEST_F(TcpSackScoreboard, LostPiecesGoAgainInOrder) {
  send(1'000);
  send(2'000);
  sack(500, 600);
  board.mark_lost_if([&](const SentRange& range) {
    return range.sent_at < now - Duration::milliseconds(1) ? SackScoreboard::Verdict::kLost : SackScoreboard::Verdict::kYounger;
  });
  EXPECT_EQ(board.lost(), 900u);
  ASSERT_NE(board.first_lost(), nullptr);
  EXPECT_EQ(board.first_lost()->begin, at(0));
  board.on_retransmitted(at(0), at(300), now);
  EXPECT_EQ(board.lost(), 600u);
  EXPECT_EQ(board.first_lost()->begin, at(300));
  EXPECT_TRUE(board.has_retransmitted());
  board.on_retransmitted(at(300), at(500), now);
  EXPECT_EQ(board.first_lost()->begin, at(600));
  board.unmark_lost();
  EXPECT_EQ(board.lost(), 0u);
}

TEST_F(TcpSackScoreboard, RenegingIsForgotten) {
  send(1'000);
  sack(100, 1'000);
  board.forget_sacks();
  board.mark_all_lost();
  EXPECT_EQ(board.sacked(), 0u);
  EXPECT_EQ(board.lost(), 1'000u);
}

TEST_F(TcpSackScoreboard, APeerThatSacksEveryOtherByteCostsABoundedAmount) {
  send(40'000);
  for (std::size_t i = 1; i < 40'000; i += 2) sack(i, i + 1);
  EXPECT_LE(board.ranges(), SackScoreboard::kMaxRanges);
  EXPECT_EQ(acknowledge(40'000) + 0u, 40'000u - (SackScoreboard::kMaxRanges - 1) / 2);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_F(TcpSackScoreboard, WithoutRecordsNothingNewIsSentOrTheEldersLookYounger) {
  SentRangePool tiny(1, 1);
  SackScoreboard small(tiny);
  small.start(kFirst);
  ASSERT_TRUE(small.on_sent(at(100), now));
  const Instant later = now + Duration::seconds(1);
  ASSERT_TRUE(small.on_sent(at(200), later));
  EXPECT_EQ(small.ranges(), 1u);
  EXPECT_EQ(small.head()->sent_at, later);
  SackScoreboard none(tiny);
  none.start(kFirst);
  EXPECT_FALSE(none.on_sent(at(100), now));
  EXPECT_EQ(none.flight(), 0u);
}

TEST_F(TcpSackScoreboard, AgreesWithTheModel) {
  struct Byte {
    Fate fate = Fate::kInFlight;
    bool again = false;
  };
  Rng rng(11);
  for (int run = 0; run < 60; ++run) {
    board.clear();
    board.start(kFirst);
    std::vector<Byte> model;
    std::size_t una = 0;
    for (int step = 0; step < 300; ++step) {
      const std::size_t flight = model.size() - una;
      const std::size_t a = una + (flight > 0 ? rng.below(static_cast<std::uint32_t>(flight)) : 0);
      const std::size_t b = std::min(model.size(), a + 1 + rng.below(50));
      switch (rng.below(6)) {
        case 0:
        case 1:
          model.resize(model.size() + 1 + rng.below(60));
          send(model.size());
          break;
        case 2:
          if (flight == 0) break;
          sack(a, b);
          for (std::size_t i = a; i < b; ++i) model[i].fate = Fate::kSacked;
          break;
        case 3:
          if (flight == 0 || rng.below(4) != 0) break;
          acknowledge(b);
          una = b;
          break;
        case 4:
          board.mark_head_lost(static_cast<std::uint32_t>(b - a));
          for (std::size_t i = una; i < una + (b - a) && model[i].fate == Fate::kInFlight; ++i) {
            if (model[i].again != model[una].again) break;
          }
          board.unmark_lost();
          break;
        default: {
          board.mark_all_lost();
          for (std::size_t i = una; i < model.size(); ++i)
            if (model[i].fate == Fate::kInFlight) model[i].fate = Fate::kLost;
          const SentRange* lost = board.first_lost();
          if (lost != nullptr) {
            const std::size_t begin = (lost->begin - kFirst).count();
            const std::size_t end = std::min<std::size_t>(begin + 30, (lost->end - kFirst).count());
            board.on_retransmitted(at(begin), at(end), now);
            for (std::size_t i = begin; i < end; ++i) model[i] = {Fate::kInFlight, true};
          }
          board.unmark_lost();
          for (std::size_t i = una; i < model.size(); ++i)
            if (model[i].fate == Fate::kLost) model[i].fate = Fate::kInFlight;
        }
      }
      std::uint32_t sacked = 0;
      for (std::size_t i = una; i < model.size(); ++i) sacked += model[i].fate == Fate::kSacked;
      ASSERT_EQ(board.sacked(), sacked);
      ASSERT_EQ(board.flight(), model.size() - una);
      ASSERT_EQ(board.lost(), 0u);
    }
  }
  board.clear();
  EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace millrace::tcp
