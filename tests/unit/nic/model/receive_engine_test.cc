#include "nic/model/receive_engine.h"

#include <gtest/gtest.h>

#include "tests/support/frames.h"

namespace millrace::nic {
namespace {

constexpr std::string_view kV6From = "[2001:db8::1]:40000";
constexpr std::string_view kV6To = "[2001:db8::2]:443";
constexpr std::size_t kIpAt = 14;

TEST(ReceiveEngine, FindsRightChecksumsRight) {
  constexpr std::uint16_t kBoth = Offload::kIpChecksumGood | Offload::kL4ChecksumGood;
  for (const std::size_t payload : {0, 1, 2, 999, 1'000}) {
    EXPECT_EQ(receive_checksum_bits(test::frame({.payload = payload})), kBoth);
    EXPECT_EQ(receive_checksum_bits(test::frame({.protocol = 17, .payload = payload, .vlan = 5})), kBoth);
    EXPECT_EQ(receive_checksum_bits(test::frame({.from = kV6From, .to = kV6To, .payload = payload})), Offload::kL4ChecksumGood);
  }
}

TEST(ReceiveEngine, LeavesEthernetPaddingOut) {
  auto frame = test::frame({});
  frame.resize(60, 0xff);
  EXPECT_EQ(receive_checksum_bits(frame), Offload::kIpChecksumGood | Offload::kL4ChecksumGood);
}

TEST(ReceiveEngine, FindsEveryChangedByte) {
  const auto right = test::frame({.payload = 40});
  for (std::size_t at = kIpAt + 12; at < right.size(); ++at) {
    auto frame = right;
    frame[at] ^= 0x10;
    const std::uint16_t expected = at < kIpAt + 20 ? Offload::kIpChecksumBad : Offload::kIpChecksumGood | Offload::kL4ChecksumBad;
    EXPECT_EQ(receive_checksum_bits(frame), expected) << at;
  }
}

TEST(ReceiveEngine, SaysNothingAboutWhatItCannotCheck) {
  auto no_checksum = test::frame({.protocol = 17});
  wire::store_be16(no_checksum.data() + kIpAt + 20 + 6, 0);
  EXPECT_EQ(receive_checksum_bits(no_checksum), Offload::kIpChecksumGood);
  auto fragment = test::frame({.from = kV6From, .to = kV6To});
  fragment[kIpAt + 6] = 44;
  EXPECT_EQ(receive_checksum_bits(fragment), 0);
  auto arp = test::frame({});
  wire::store_be16(arp.data() + 12, wire::kEtherTypeArp);
  EXPECT_EQ(receive_checksum_bits(arp), 0);
  EXPECT_EQ(receive_checksum_bits({}), 0);
}

}  // namespace
}  // namespace millrace::nic
