// What Packet and Slice promise about their bytes and about who owns the buffer behind them.
#include "nic/packet.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "nic/heap_pool.h"

namespace millrace::nic {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
std::string text_of(std::span<const std::uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

class PacketTest : public ::testing::Test {
 protected:
  Packet packet(std::string_view text) {
    Packet made = pool_.allocate();
    made.append(bytes_of(text));
    return made;
  }
  HeapPool pool_{4};
};
using Packet_Bytes = PacketTest;
using Packet_Ownership = PacketTest;
using Slice_Sharing = PacketTest;
using Slice_Bytes = PacketTest;

TEST_F(Packet_Bytes, IsEmptyBehindItsHeadroomWhenAllocated) {
  const Packet fresh = pool_.allocate();
  EXPECT_EQ(fresh.size(), 0u);
  EXPECT_EQ(fresh.headroom(), limits::kPacketHeadroomBytes);
  EXPECT_EQ(fresh.tailroom(), limits::kPacketBufferBytes - limits::kPacketHeadroomBytes);
}

TEST_F(Packet_Bytes, GrowsAtBothEnds) {
  Packet p = packet("body");
  p.prepend(1)[0] = '<';
  p.append(1)[0] = '>';
  EXPECT_EQ(text_of(p.bytes()), "<body>");
  EXPECT_EQ(p.headroom(), limits::kPacketHeadroomBytes - 1);
}

TEST_F(Packet_Bytes, ShrinksAtBothEnds) {
  Packet p = packet("<body>");
  p.remove_prefix(1);
  p.truncate(4);
  EXPECT_EQ(text_of(p.bytes()), "body");
}

TEST_F(Packet_Bytes, FillsHeadroomAndTailroomToTheLastByte) {
  Packet p = pool_.allocate();
  p.prepend(p.headroom());
  p.append(p.tailroom());
  EXPECT_EQ(p.headroom(), 0u);
  EXPECT_EQ(p.tailroom(), 0u);
  EXPECT_EQ(p.size(), limits::kPacketBufferBytes);
}

TEST_F(Packet_Bytes, AssertsThatNothingExceedsItsRoom) {
  Packet p = packet("body");
  EXPECT_DEATH(p.prepend(p.headroom() + 1), "assertion failed");
  EXPECT_DEATH(p.append(p.tailroom() + 1), "assertion failed");
  EXPECT_DEATH(p.remove_prefix(5), "assertion failed");
  EXPECT_DEATH(p.truncate(5), "assertion failed");
}

TEST_F(Packet_Ownership, MovesWithItsMarksAndLeavesAnEmptyHandle) {
  Packet from = packet("x");
  from.set_port(3);
  from.set_offload(Offload::kIpChecksumGood);
  from.set_header_sizes(14, 40);
  Packet to = std::move(from);
  EXPECT_FALSE(static_cast<bool>(from));
  EXPECT_EQ(to.port(), 3);
  EXPECT_EQ(to.offload(), Offload::kIpChecksumGood);
  EXPECT_EQ(to.l2_size(), 14);
  EXPECT_EQ(to.l3_size(), 40);
  EXPECT_EQ(pool_.in_use(), 1u);
}

TEST_F(Packet_Ownership, GivesItsBufferBackWhenReplacedOrDestroyed) {
  {
    Packet p = packet("a");
    p = packet("b");
    EXPECT_EQ(pool_.in_use(), 1u);
  }
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(Packet_Ownership, ReleasesItsReferenceToWhoAdoptsIt) {
  Packet p = packet("abc");
  std::uint8_t* data = p.data();
  Buffer* buffer = p.release();
  EXPECT_FALSE(static_cast<bool>(p));
  EXPECT_EQ(pool_.in_use(), 1u);
  const Packet again = Packet::adopt(*buffer, data, 3);
  EXPECT_EQ(text_of(again.bytes()), "abc");
}

TEST_F(Slice_Sharing, KeepsTheBufferUntilTheLastViewIsGone) {
  Slice first(packet("payload"));
  {
    const Slice second = first;
    first = Slice();
    EXPECT_EQ(pool_.in_use(), 1u);
    EXPECT_EQ(text_of(second.bytes()), "payload");
  }
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(Slice_Sharing, IsWritableOnlyBySoleOwner) {
  Slice slice(packet("abc"));
  EXPECT_EQ(slice.writable_tailroom(), limits::kPacketBufferBytes - limits::kPacketHeadroomBytes - 3);
  {
    const Slice other = slice.subslice(0, 1);
    EXPECT_TRUE(slice.same_buffer(other));
    EXPECT_EQ(slice.writable_tailroom(), 0u);
    EXPECT_DEATH(slice.append(bytes_of("d")), "assertion failed");
  }
  slice.append(bytes_of("d"));
  EXPECT_EQ(text_of(slice.bytes()), "abcd");
}

TEST_F(Slice_Sharing, MovesWithoutCounting) {
  Slice from(packet("abc"));
  const Slice to = std::move(from);
  EXPECT_TRUE(from.empty());
  EXPECT_GT(to.writable_tailroom(), 0u);
}

TEST_F(Slice_Bytes, CutsAndSubdivides) {
  Slice slice(packet("0123456789"));
  EXPECT_EQ(text_of(slice.subslice(2, 3).bytes()), "234");
  slice.remove_prefix(4);
  slice.truncate(2);
  EXPECT_EQ(text_of(slice.bytes()), "45");
  EXPECT_DEATH((void)slice.subslice(1, 2), "assertion failed");
}

TEST_F(Slice_Bytes, ChargesTheWholeBufferHoweverFewBytesItShows) {
  const Slice slice(packet("x"));
  EXPECT_EQ(slice.charge(), limits::kPacketBufferBytes);
  EXPECT_EQ(Slice().charge(), 0u);
}

}  // namespace
}  // namespace millrace::nic
