#include "nic/rules/frame_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "dataplane/base/rng.h"
#include "tests/support/frames.h"

namespace millrace::nic {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::string_view kV6From = "[2001:db8::1]:40000";
constexpr std::string_view kV6To = "[2001:db8::2]:443";
constexpr std::size_t kIpAt = 14;
constexpr std::size_t kV6TransportAt = kIpAt + 40;

/// The frame with an extension header of `bytes` before its transport header.
Bytes with_extension(std::uint8_t kind, Bytes bytes) {
  Bytes frame = test::frame({.from = kV6From, .to = kV6To});
  bytes[0] = std::exchange(frame[kIpAt + 6], kind);
  frame.insert(frame.begin() + kV6TransportAt, bytes.begin(), bytes.end());
  wire::store_be16(frame.data() + kIpAt + 4, static_cast<std::uint16_t>(frame.size() - kV6TransportAt));
  return frame;
}

Bytes ipv4_fragment(std::uint16_t field) {
  Bytes frame = test::frame({});
  wire::store_be16(frame.data() + kIpAt + 6, field);
  return frame;
}

TEST(FrameKey, TellsAddressesProtocolAndPorts) {
  const auto v4 = frame_key(test::frame({}));
  ASSERT_TRUE(v4.has_value());
  EXPECT_EQ(v4->flow.source, *IpAddress::parse("198.18.0.1"));
  EXPECT_EQ(v4->flow.destination, *IpAddress::parse("198.18.0.2"));
  EXPECT_EQ(v4->flow.protocol, FlowMatch::kTcp);
  EXPECT_TRUE(v4->flow.has_ports && v4->plain);
  EXPECT_EQ(v4->flow.source_port, 40'000);
  EXPECT_EQ(v4->flow.destination_port, 80);
  const auto v6 = frame_key(test::frame({.from = kV6From, .to = kV6To, .protocol = 17}));
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->flow.destination, *IpAddress::parse("2001:db8::2"));
  EXPECT_EQ(v6->flow.protocol, FlowMatch::kUdp);
  EXPECT_EQ(v6->flow.destination_port, 443);
  EXPECT_TRUE(v6->plain);
}

TEST(FrameKey, LooksThroughATagAndTellsPriorityTagsFromVlans) {
  EXPECT_TRUE(frame_key(test::frame({.vlan = 7}))->plain);
  const auto priority = frame_key(test::frame({.vlan = 0}));
  EXPECT_EQ(priority->flow.destination_port, 80);
  EXPECT_FALSE(priority->plain);
}

TEST(FrameKey, FindsPortsBehindIpv4Options) {
  Bytes frame = test::frame({});
  frame[kIpAt] = 0x46;
  frame.insert(frame.begin() + kIpAt + 20, 4, 1);
  const auto key = frame_key(frame);
  EXPECT_EQ(key->flow.destination_port, 80);
  EXPECT_FALSE(key->plain);
}

TEST(FrameKey, FindsPortsBehindAnyChainOfExtensionHeaders) {
  const auto key = frame_key(with_extension(60, {0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(key->flow.protocol, FlowMatch::kTcp);
  EXPECT_EQ(key->flow.destination_port, 443);
  EXPECT_FALSE(key->plain);
}

TEST(FrameKey, OnlyTheFirstFragmentHasPorts) {
  const auto first = frame_key(ipv4_fragment(0x2000));
  EXPECT_TRUE(first->flow.has_ports && first->fragment);
  EXPECT_FALSE(first->plain);
  const auto later = frame_key(ipv4_fragment(0x0001));
  EXPECT_TRUE(later->fragment && !later->flow.has_ports);
  EXPECT_EQ(later->flow.protocol, FlowMatch::kTcp);
  EXPECT_FALSE(later->plain);
  const auto first6 = frame_key(with_extension(44, {0, 0, 0, 1, 0, 0, 0, 9}));
  EXPECT_EQ(first6->flow.destination_port, 443);
  EXPECT_TRUE(first6->fragment);
  EXPECT_FALSE(frame_key(with_extension(44, {0, 0, 0, 0, 0, 0, 0, 9}))->fragment) << "an atomic fragment is whole";
  const auto later6 = frame_key(with_extension(44, {0, 0, 0, 8, 0, 0, 0, 9}));
  EXPECT_TRUE(later6->fragment && !later6->flow.has_ports);
  EXPECT_EQ(later6->flow.protocol, FlowMatch::kTcp);
}

TEST(FrameKey, WhatIsNotIpHasNone) {
  Bytes arp = test::frame({});
  wire::store_be16(arp.data() + 12, wire::kEtherTypeArp);
  EXPECT_FALSE(frame_key(arp).has_value());
  Bytes wrong_version = test::frame({});
  wrong_version[kIpAt] = 0x65;
  EXPECT_FALSE(frame_key(wrong_version).has_value());
  EXPECT_FALSE(frame_key({}).has_value());
}

// Each copy is an allocation of exactly its size: AddressSanitizer sees a byte too many.
TEST(FrameKey, ReadsNothingPastTheEndOfAnyCutFrame) {
  for (const Bytes& frame : {test::frame({}), test::frame({.from = kV6From, .to = kV6To, .vlan = 3}),
                             with_extension(44, {0, 0, 0, 1, 0, 0, 0, 9}), with_extension(0, {0, 0, 1, 4, 0, 0, 0, 0})}) {
    for (std::size_t size = 0; size <= frame.size(); ++size) {
      const auto copy = std::make_unique<std::uint8_t[]>(size);
      std::copy_n(frame.begin(), size, copy.get());
      const auto key = frame_key({copy.get(), size});
      EXPECT_TRUE(size < frame.size() || (key && key->flow.has_ports));
    }
  }
}

TEST(FrameKey, TakesAnyBytes) {
  Rng rng(7);
  const Bytes seed = with_extension(60, {0, 0, 1, 4, 0, 0, 0, 0});
  for (int round = 0; round < 20'000; ++round) {
    Bytes frame = seed;
    const auto size = static_cast<std::uint32_t>(frame.size());
    for (int change = 0; change < 4; ++change) frame[rng.below(size)] = static_cast<std::uint8_t>(rng.below(256));
    frame.resize(rng.below(size + 1));
    frame.shrink_to_fit();
    static_cast<void>(frame_key(frame));
  }
}

}  // namespace
}  // namespace millrace::nic
