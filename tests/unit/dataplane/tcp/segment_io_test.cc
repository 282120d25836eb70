#include "dataplane/tcp/segment_io.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/wire/checksum.h"
#include "nic/heap_pool.h"

namespace millrace::tcp {
namespace {

constexpr std::size_t kMss = 1'000;

class SegmentEncoding : public ::testing::Test {
 protected:
  /// Data of `size` bytes, in slices of `part` bytes.
  void fill(std::size_t size, std::size_t part) {
    for (std::size_t at = 0; at < size; at += part) {
      nic::Packet packet = pool.allocate();
      for (std::size_t i = at; i < std::min(size, at + part); ++i) *packet.append(1) = static_cast<std::uint8_t>(i * 7 + i / 251);
      ASSERT_TRUE(data.append(nic::Slice(std::move(packet))));
    }
    expected.resize(size);
    data.copy_out(0, expected);
  }
  OutgoingSegment burst(std::size_t offset, std::size_t size) {
    return {.seq = SeqNum(5'000),
            .ack = SeqNum(77),
            .flags = TcpFlags::kAck | TcpFlags::kPsh | TcpFlags::kFin | TcpFlags::kCwr,
            .window = 300,
            .options = {.timestamps = {{.value = 1, .echo = 2}}},
            .data = &data,
            .offset = offset,
            .size = size,
            .segment_size = kMss};
  }
  std::vector<nic::Packet> encode(const OutgoingSegment& segment, nic::TxOffloads tx) {
    std::vector<nic::Packet> packets;
    for (SegmentEncoder encoder(flow, segment, tx, pool); !encoder.done();) packets.push_back(encoder.next());
    return packets;
  }
  /// The packet's bytes after its header.
  static std::vector<std::uint8_t> payload(const nic::Packet& packet) {
    std::vector<std::uint8_t> all(packet.total_size());
    packet.copy_out(all);
    const auto header = wire::TcpHeaderView::parse(all);
    return {all.begin() + header->header_size, all.end()};
  }
  static wire::TcpHeaderView header(const nic::Packet& packet) { return *wire::TcpHeaderView::parse(packet.bytes()); }
  bool checksum_is_right(const nic::Packet& packet) const {
    std::vector<std::uint8_t> all(packet.total_size());
    packet.copy_out(all);
    const std::uint32_t pseudo =
        wire::pseudo_header_sum(flow.local_ip, flow.peer_ip, ip::kProtocolTcp, static_cast<std::uint32_t>(all.size()));
    return wire::checksum_finish(wire::checksum_add(pseudo, all)) == 0;
  }
  std::vector<std::uint8_t> slice(std::size_t from, std::size_t size) const {
    return {expected.begin() + static_cast<std::ptrdiff_t>(from), expected.begin() + static_cast<std::ptrdiff_t>(from + size)};
  }

  nic::HeapPool pool{1'000};
  stream::ChainPool chains{pool, 64, 10'000};
  stream::Chain data{chains};
  std::vector<std::uint8_t> expected;
  FlowKey flow{IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 80, 5'000};
};

TEST_F(SegmentEncoding, CutsABurstIntoSegments) {
  fill(3'000, 700);
  const auto packets = encode(burst(100, 2'500), {});
  ASSERT_EQ(packets.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(header(packets[i]).seq, 5'000 + i * kMss);
    EXPECT_EQ(payload(packets[i]), slice(100 + i * kMss, i < 2 ? kMss : 500));
    EXPECT_TRUE(checksum_is_right(packets[i]));
    EXPECT_TRUE(packets[i].attached().empty());
    EXPECT_EQ(header(packets[i]).has(TcpFlags::kFin), i == 2);
    EXPECT_EQ(header(packets[i]).has(TcpFlags::kPsh), i == 2);
    EXPECT_EQ(header(packets[i]).has(TcpFlags::kCwr), i == 0);
  }
}

TEST_F(SegmentEncoding, ReferencesPayloadWherePacketsMayHaveSeveralParts) {
  fill(2'000, 401);  // parts at odd offsets
  const auto packets = encode(burst(1, 1'999), {.multi_segment = true});
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].attached().size(), 3u);
  EXPECT_EQ(payload(packets[0]), slice(1, kMss));
  EXPECT_EQ(payload(packets[1]), slice(1'001, 999));
  EXPECT_TRUE(checksum_is_right(packets[0]));
  EXPECT_TRUE(checksum_is_right(packets[1]));
  EXPECT_EQ(pool.in_use(), 2u + 5u) << "of headers and data, no copies";
}

TEST_F(SegmentEncoding, CopiesWhatIsSmallOrInVeryManyParts) {
  fill(300, 100);
  EXPECT_TRUE(encode(burst(0, 200), {.multi_segment = true})[0].attached().empty());
  data.clear();
  fill(kMss, kMss);
  stream::Chain many(chains);
  for (std::size_t i = 0; i < kMss; i += 10) {
    nic::Packet packet = pool.copy_of(std::span(expected).subspan(i, 10));
    ASSERT_TRUE(many.append(nic::Slice(std::move(packet))));
  }
  OutgoingSegment segment = burst(0, kMss);
  segment.data = &many;
  const auto packets = encode(segment, {.multi_segment = true});
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].attached().empty());
  EXPECT_EQ(payload(packets[0]), expected);
}

TEST_F(SegmentEncoding, LeavesTheCuttingToAPortThatCan) {
  fill(30'000, 1'448);
  const nic::TxOffloads all{.ip_checksum = true, .tcp_checksum = true, .multi_segment = true, .tcp_segmentation = true};
  const auto packets = encode(burst(0, 30'000), all);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].segment_size(), kMss);
  EXPECT_EQ(packets[0].offload(), nic::Offload::kFillTcpChecksum | nic::Offload::kSegmentTcp);
  EXPECT_EQ(payload(packets[0]), expected);
}

TEST_F(SegmentEncoding, EndsABurstInWholeSegmentsWhenAPacketHasNoPlaceForMore) {
  fill(60'000, 700);  // 86 parts
  const nic::TxOffloads all{.ip_checksum = true, .tcp_checksum = true, .multi_segment = true, .tcp_segmentation = true};
  const auto packets = encode(burst(0, 60'000), all);
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(payload(packets[0]), slice(0, 33'000));  // 48 parts hold 33,600
  EXPECT_EQ(payload(packets[1]), slice(33'000, 27'000));
  EXPECT_FALSE(header(packets[0]).has(TcpFlags::kFin));
  EXPECT_TRUE(header(packets[1]).has(TcpFlags::kFin));
}

TEST_F(SegmentEncoding, WaitsWithoutLossWhenThePoolIsExhausted) {
  fill(2'000, 1'000);
  const OutgoingSegment segment = burst(0, 2'000);
  SegmentEncoder encoder(flow, segment, {}, pool);
  std::vector<nic::Packet> hog;
  while (pool.in_use() < pool.capacity()) hog.push_back(pool.allocate());
  EXPECT_FALSE(encoder.next());
  EXPECT_FALSE(encoder.done());
  hog.clear();
  EXPECT_EQ(payload(encoder.next()), slice(0, kMss));
  EXPECT_EQ(payload(encoder.next()), slice(kMss, kMss));
  EXPECT_TRUE(encoder.done());
}

}  // namespace
}  // namespace millrace::tcp
