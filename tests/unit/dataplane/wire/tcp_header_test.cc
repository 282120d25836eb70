#include "dataplane/wire/tcp_header.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes header(const Bytes& options, std::size_t payload = 0) {
  Bytes bytes(20 + options.size() + payload);
  std::ranges::copy(options, bytes.begin() + 20);
  store_be16(bytes.data(), 40000);
  store_be16(bytes.data() + 2, 80);
  store_be32(bytes.data() + 4, 0x01020304);
  store_be32(bytes.data() + 8, 0xfffefdfc);
  bytes[12] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
  bytes[13] = TcpFlags::kAck | TcpFlags::kPsh;
  store_be16(bytes.data() + 14, 501);
  store_be16(bytes.data() + 16, 0xbeef);
  store_be16(bytes.data() + 18, 3);
  return bytes;
}

TEST(TcpHeader_Parse, ReadsEveryField) {
  const auto view = TcpHeaderView::parse(header({}, 5));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->source_port, 40000);
  EXPECT_EQ(view->destination_port, 80);
  EXPECT_EQ(view->seq, 0x01020304u);
  EXPECT_EQ(view->ack, 0xfffefdfcu);
  EXPECT_EQ(view->header_size, 20);
  EXPECT_TRUE(view->has(TcpFlags::kAck));
  EXPECT_FALSE(view->has(TcpFlags::kSyn));
  EXPECT_EQ(view->window, 501);
  EXPECT_EQ(view->checksum, 0xbeef);
  EXPECT_EQ(view->urgent, 3);
  EXPECT_EQ(view->options, TcpOptions{});
}

TEST(TcpHeader_Parse, ReadsEveryOptionInAnyOrder) {
  const auto view = TcpHeaderView::parse(header({1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 2, 4, 5, 0xb4, 0, 0, 0, 0}));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->options.mss, 1460);
  EXPECT_EQ(view->options.window_scale, 7);
  EXPECT_TRUE(view->options.sack_permitted);
  EXPECT_EQ(view->options.timestamps, (TcpOptions::Timestamps{1, 2}));
}

TEST(TcpHeader_Parse, ReadsSackBlocks) {
  const auto view = TcpHeaderView::parse(header({1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 9}));
  ASSERT_TRUE(view);
  ASSERT_EQ(view->options.sacks().size(), 2u);
  EXPECT_EQ(view->options.sacks()[1], (TcpOptions::SackBlock{5, 9}));
}

TEST(TcpHeader_Parse, TakesAWindowScaleAbove14As14) {
  EXPECT_EQ(TcpHeaderView::parse(header({3, 3, 200, 0}))->options.window_scale, 14);
}

TEST(TcpHeader_Parse, PassesOverUnknownOptionsAndKnownOnesOfWrongLength) {
  const auto view = TcpHeaderView::parse(header({254, 4, 9, 9, 2, 3, 5, 3, 4, 1, 1, 5, 6, 0, 0, 0, 0, 4, 3, 1, 2, 4, 5, 0xb4}));
  ASSERT_TRUE(view);
  TcpOptions expected;
  expected.mss = 1460;
  EXPECT_EQ(view->options, expected);
}

TEST(TcpHeader_Parse, NothingCountsAfterEndOfOptions) {
  EXPECT_EQ(TcpHeaderView::parse(header({0, 2, 4, 5, 0xb4, 0, 0, 0}))->options.mss, std::nullopt);
}

TEST(TcpHeader_Parse, RefusesOptionsThatLeaveTheHeader) {
  for (const Bytes& options : {Bytes{2, 5, 5, 0xb4}, Bytes{2, 0, 0, 0}, Bytes{2, 1, 0, 0}, Bytes{1, 1, 1, 2}}) {
    EXPECT_EQ(TcpHeaderView::parse(header(options, 40)).error(), DropReason::kTcpBadOption);
  }
}

TEST(TcpHeader_Parse, RefusesDataOffsetsOutsideTheSegment) {
  Bytes bytes = header({}, 8);
  bytes[12] = 0x40;
  EXPECT_EQ(TcpHeaderView::parse(bytes).error(), DropReason::kTcpBadDataOffset);
  bytes[12] = 0x80;
  EXPECT_EQ(TcpHeaderView::parse(bytes).error(), DropReason::kTcpBadDataOffset);
}

TEST(TcpHeader_Parse, RefusesEveryTruncation) {
  const Bytes whole = header({2, 4, 5, 0xb4, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto view = TcpHeaderView::parse(cut);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error(), size < 20 ? DropReason::kTcpTruncated : DropReason::kTcpBadDataOffset);
  }
}

TEST(TcpHeader_Parse, SurvivesRandomBytes) {
  Rng rng(5);
  std::size_t good = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes(rng.below(64));
    for (auto& b : bytes) b = static_cast<std::uint8_t>(rng.chance(1, 2) ? rng.below(12) : rng.next());
    if (const auto view = TcpHeaderView::parse(bytes)) {
      ++good;
      ASSERT_LE(view->header_size, bytes.size());
      ASSERT_LE(view->options.sack_count, TcpOptions::kMaxSackBlocks);
    }
  }
  EXPECT_GT(good, 0u);
}

TEST(TcpHeader_Write, IsReadBackForEveryCombinationOfOptions) {
  for (unsigned mask = 0; mask < 16; ++mask) {
    for (std::uint8_t sacks = 0; sacks <= 4; ++sacks) {
      TcpFields fields{
          .source_port = 1, .destination_port = 65535, .seq = 0xdeadbeef, .ack = 7, .flags = 0x12, .window = 9, .urgent = 2};
      if (mask & 1) fields.options.mss = 1440;
      if (mask & 2) fields.options.window_scale = 9;
      if (mask & 4) fields.options.timestamps = {11, 12};
      fields.options.sack_permitted = (mask & 8) != 0;
      fields.options.sack_count = sacks;
      for (std::uint32_t i = 0; i < sacks; ++i) fields.options.sack_blocks[i] = {100 * i, 100 * i + 50};
      Bytes bytes(tcp_header_size(fields.options), 0xcc);  // exact: a byte too many is a write past the end
      ASSERT_EQ(write_tcp_header(bytes, fields), bytes.size());
      ASSERT_EQ(bytes.size() % 4, 0u);
      ASSERT_LE(bytes.size(), kTcpMaxHeaderBytes);
      const auto view = TcpHeaderView::parse(bytes);
      ASSERT_TRUE(view);
      EXPECT_EQ(view->source_port, 1);
      EXPECT_EQ(view->destination_port, 65535);
      EXPECT_EQ(view->seq, 0xdeadbeefu);
      EXPECT_EQ(view->ack, 7u);
      EXPECT_EQ(view->flags, 0x12);
      EXPECT_EQ(view->window, 9);
      EXPECT_EQ(view->urgent, 2);
      EXPECT_EQ(view->checksum, 0);
      EXPECT_EQ(view->header_size, bytes.size());
      TcpOptions expected = fields.options;
      expected.sack_count = static_cast<std::uint8_t>(sack_blocks_that_fit(fields.options));
      for (std::size_t i = expected.sack_count; i < 4; ++i) expected.sack_blocks[i] = {};
      EXPECT_EQ(view->options, expected);
    }
  }
}

TEST(TcpHeader_Write, FitsThreeSackBlocksBesideTimestamps) {
  TcpOptions options;
  options.timestamps = {1, 2};
  options.sack_count = 4;
  EXPECT_EQ(sack_blocks_that_fit(options), 3u);
  EXPECT_EQ(tcp_header_size(options), 60u);
}

}  // namespace
}  // namespace millrace::wire
