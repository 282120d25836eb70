// Links that go down and come up again, through an IpLayer.
#include <gtest/gtest.h>

#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

bool is_gratuitous_arp(const Bytes& frame) {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (ethernet->type != wire::kEtherTypeArp) return false;
  const auto message = wire::ArpMessage::parse(std::span(frame).subspan(ethernet->header_size));
  return message && message->sender == message->target;
}
bool is_probe(const Bytes& frame) {
  return wire::EthernetView::parse(frame)->type == wire::kEtherTypeIpv6 && frame[20] == 58 && frame[54] == 135;
}

class LinkState : public IpLayerTest {
 protected:
  static InterfaceConfig careful() {
    InterfaceConfig config = interface();
    config.duplicate_probes = 1;
    return config;
  }
  LinkState() : IpLayerTest({careful()}) {}
  void set_up(bool up) { layer.set_link_up(0, up, now); }
};

TEST_F(LinkState, DownDropsWhatWaitsAndWhatWouldWait) {
  send(kPeer);
  receive(arp_reply());
  sent();
  send(kPeer);
  ASSERT_EQ(layer.outgoing(0).size(), 1u);
  set_up(false);
  EXPECT_TRUE(layer.outgoing(0).empty());
  EXPECT_FALSE(send(kPeer));
  EXPECT_EQ(drops(DropReason::kSendLinkDown), 2u);
  EXPECT_EQ(pool.in_use(), 0u);
  set_up(true);
  sent();
  EXPECT_TRUE(send(kPeer));
  EXPECT_EQ(sent().size(), 1u);
}

TEST_F(LinkState, WhatIsDownAtStartIsAnnouncedWhenItComesUp) {
  set_up(false);
  layer.announce(now);
  pass(Duration::seconds(5));
  EXPECT_TRUE(sent().empty());
  EXPECT_FALSE(layer.is_local(kUs6)) << "nobody could say that the address is taken";
  set_up(true);
  const auto frames = sent();
  EXPECT_EQ(std::ranges::count_if(frames, is_gratuitous_arp), 1);
  EXPECT_EQ(std::ranges::count_if(frames, is_probe), 2);
  pass(Duration::milliseconds(1'100));
  EXPECT_TRUE(layer.is_local(kUs6));
}

TEST_F(LinkState, DuplicateDetectionThatWasCutOffBeginsAnew) {
  layer.announce(now);
  sent();
  set_up(false);
  pass(Duration::seconds(5));
  EXPECT_FALSE(layer.is_local(kUs6));
  set_up(true);
  const auto frames = sent();
  EXPECT_EQ(std::ranges::count_if(frames, is_probe), 2);
}

TEST_F(LinkState, ComingUpAgainAnnouncesAndDoubtsNeighbours) {
  layer.announce(now);
  pass(Duration::seconds(2));
  send(kPeer);
  receive(arp_reply());
  sent();
  set_up(false);
  set_up(true);
  const auto frames = sent();
  EXPECT_EQ(std::ranges::count_if(frames, is_gratuitous_arp), 1);
  EXPECT_TRUE(layer.is_local(kUs6)) << "what is in use stays so";
  send(kPeer);
  sent();
  pass(Duration::milliseconds(8'200));
  EXPECT_EQ(layer.neighbours(), 0u) << "it was asked again, and does not answer";
}

}  // namespace
}  // namespace millrace::ip::test
