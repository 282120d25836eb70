// Neighbour resolution as seen from the wire: ARP and neighbour discovery through an IpLayer.
#include <gtest/gtest.h>

#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

class Neighbours_Arp : public IpLayerTest {};
class Neighbours_Nd : public IpLayerTest {};

const Bytes kOurArpRequest = arp(wire::ArpMessage::Operation::kRequest, kOurMac, kUs, {}, kPeer, MacAddress::broadcast());

MacAddress destination_of(const Bytes& frame) { return wire::EthernetView::parse(frame)->destination; }
bool is_arp(const Bytes& frame) { return wire::EthernetView::parse(frame)->type == wire::kEtherTypeArp; }

TEST_F(Neighbours_Arp, AnswersRequestsForOurAddressOnly) {
  receive(arp_request(kUs));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], arp(wire::ArpMessage::Operation::kReply, kOurMac, kUs, kPeerMac, kPeer, kPeerMac));
  expect_dropped(arp_request(addr("198.18.0.3")), DropReason::kArpNotForUs);
}

TEST_F(Neighbours_Arp, AnswersProbesWithoutLearningFromThem) {
  receive(arp_request(kUs, addr("0.0.0.0")));
  EXPECT_EQ(sent().size(), 1u);
  EXPECT_EQ(layer.neighbours(), 0u);
}

TEST_F(Neighbours_Arp, RequestsForUsTeachTheSendersAddress) {
  receive(arp_request(kUs));
  sent();
  send(kPeer);
  bool data = false;
  for (const Bytes& frame : sent()) data |= !is_arp(frame) && destination_of(frame) == kPeerMac;
  EXPECT_TRUE(data);
}

TEST_F(Neighbours_Arp, DropsImpossibleSenders) {
  expect_dropped(arp_request(kUs, addr("10.0.0.1")), DropReason::kArpBadSender);
  expect_dropped(arp_request(kUs, addr("198.18.0.255")), DropReason::kArpBadSender);
  expect_dropped(arp_request(kUs, kUs, kOtherMac), DropReason::kArpConflict);
  Bytes frame = arp_request(kUs);
  frame[22] = 0xff;  // sender's MAC in the payload becomes a group
  expect_dropped(frame, DropReason::kArpBadSender);
}

TEST_F(Neighbours_Arp, HoldsPacketsUntilTheAnswerAndSendsThemInOrder) {
  for (std::uint8_t i = 0; i < 3; ++i) EXPECT_TRUE(send(kPeer, {i}));
  auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], kOurArpRequest);
  receive(arp_reply());
  frames = sent();
  ASSERT_EQ(frames.size(), 3u);
  for (std::uint8_t i = 0; i < 3; ++i) EXPECT_EQ(frames[i], ethernet(0x0800, ipv4({i}, 6, kUs, kPeer), kPeerMac, kOurMac));
  send(kPeer);
  EXPECT_EQ(sent().size(), 1u);  // reachable: no more questions
}

TEST_F(Neighbours_Arp, RetriesThreeTimesASecondApartThenDropsWhatWaits) {
  send(kPeer);
  send(kPeer);
  EXPECT_EQ(sent().size(), 1u);
  pass(Duration::milliseconds(990));
  EXPECT_EQ(sent().size(), 0u);
  pass(Duration::milliseconds(20));
  EXPECT_EQ(sent().size(), 1u);
  pass(Duration::milliseconds(1010));
  EXPECT_EQ(sent().size(), 1u);
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 0u);
  pass(Duration::milliseconds(1010));
  EXPECT_EQ(sent().size(), 0u);
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 2u);
  EXPECT_EQ(layer.neighbours(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
  send(kPeer);
  EXPECT_EQ(sent().size(), 1u);  // and the next packet starts anew
}

TEST_F(Neighbours_Arp, OfTooManyWaitingTheOldestIsDropped) {
  for (std::uint8_t i = 0; i < limits::kNeighbourPendingPackets + 2; ++i) EXPECT_TRUE(send(kPeer, {i}));
  EXPECT_EQ(drops(DropReason::kNeighbourPendingFull), 2u);
  sent();
  receive(arp_reply());
  const auto frames = sent();
  ASSERT_EQ(frames.size(), limits::kNeighbourPendingPackets);
  EXPECT_EQ(frames.front().back(), 2);
  EXPECT_EQ(frames.back().back(), limits::kNeighbourPendingPackets + 1);
}

TEST_F(Neighbours_Arp, WaitingPacketsAreBoundedInAll) {
  for (std::uint8_t host = 10; host < 110; ++host) {
    for (int i = 0; i < 8; ++i) send(IpAddress::v4(198, 18, 0, host));
  }
  sent();
  EXPECT_EQ(pool.in_use(), NeighbourTable::kTotalPending);
  EXPECT_EQ(drops(DropReason::kNeighbourPendingFull), 800 - NeighbourTable::kTotalPending);
}

TEST_F(Neighbours_Arp, StaleNeighboursAreProbedWhenUsedAndForgottenWhenSilent) {
  send(kPeer);
  receive(arp_reply());
  sent();
  pass(Duration::seconds(46));  // at most 45 s reachable
  send(kPeer);
  auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);  // the packet, to the address still known
  EXPECT_EQ(destination_of(frames[0]), kPeerMac);
  pass(Duration::milliseconds(4900));
  EXPECT_TRUE(sent().empty()) << "there is time to hear of the neighbour before it is asked (RFC 4861 7.3.3)";
  pass(Duration::milliseconds(200));
  frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_TRUE(is_arp(frames[0]));
  EXPECT_EQ(destination_of(frames[0]), kPeerMac) << "only the neighbour itself is asked";
  pass(Duration::milliseconds(3050));
  EXPECT_EQ(sent().size(), 2u);  // two more questions
  EXPECT_EQ(layer.neighbours(), 0u);
}

TEST_F(Neighbours_Arp, AnAnsweredProbeMakesReachableAgain) {
  send(kPeer);
  receive(arp_reply());
  pass(Duration::seconds(46));
  send(kPeer);
  pass(Duration::milliseconds(5100));
  receive(arp_reply());
  sent();
  pass(Duration::seconds(10));
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(layer.neighbours(), 1u);
}

TEST_F(Neighbours_Arp, UnusedNeighboursAreForgotten) {
  receive(arp_request(kUs));
  EXPECT_EQ(layer.neighbours(), 1u);
  pass(Duration::seconds(601));
  EXPECT_EQ(layer.neighbours(), 0u);
}

TEST_F(Neighbours_Arp, GratuitousArpChangesExistingEntriesOnly) {
  receive(gratuitous_arp(kPeer, kOtherMac));
  EXPECT_EQ(layer.neighbours(), 0u);
  send(kPeer);
  receive(arp_reply());
  sent();
  receive(gratuitous_arp(kPeer, kOtherMac));
  EXPECT_TRUE(sent().empty());
  send(kPeer);
  for (const Bytes& frame : sent()) EXPECT_EQ(destination_of(frame), kOtherMac);
  EXPECT_EQ(all_drops(), 0u);
}

TEST_F(Neighbours_Arp, AReplyNobodyAskedForIsNotBelievedWithoutAProbe) {
  send(kPeer);
  receive(arp_reply());
  receive(arp_reply(kPeer, kOtherMac));
  sent();
  send(kPeer);
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_TRUE(is_arp(frames[0]));
  EXPECT_EQ(destination_of(frames[0]), kOtherMac);
  pass(Duration::milliseconds(3050));
  EXPECT_EQ(layer.neighbours(), 0u) << "the next packet asks everybody again";
}

TEST_F(Neighbours_Arp, NobodyElseHasOurLinkAddress) {
  send(kPeer);
  receive(arp_reply());
  sent();
  receive(arp_reply(kPeer, kOurMac));
  receive(gratuitous_arp(kPeer, kOurMac));
  EXPECT_EQ(drops(DropReason::kArpBadSender), 2u);
  send(kPeer);
  EXPECT_EQ(destination_of(sent().back()), kPeerMac);
}

TEST_F(Neighbours_Arp, UnaskedRepliesMakeNoEntry) {
  receive(arp_reply());
  EXPECT_EQ(layer.neighbours(), 0u);
}

TEST_F(Neighbours_Nd, AnswersSolicitations) {
  receive(solicitation(kUs6));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const wire::NeighbourMessage answer{
      .is_advertisement = true, .solicited = true, .override_ = true, .target = kUs6, .link_address = kOurMac};
  Bytes expected = neighbour_message(answer, kUs6, kPeer6, kPeerMac);
  std::copy(kOurMac.bytes.begin(), kOurMac.bytes.end(), expected.begin() + 6);
  EXPECT_EQ(frames[0], expected);
  EXPECT_EQ(layer.neighbours(), 1u);
}

TEST_F(Neighbours_Nd, AnswersUnicastSolicitationsAndLinkLocalOnes) {
  receive(neighbour_message({.target = kUs6, .link_address = kPeerMac}, addr("fe80::1"), kUs6, kOurMac));
  EXPECT_EQ(sent().size(), 1u);
  receive(solicitation(wire::link_local_address(kOurMac), 255, addr("fe80::1")));
  EXPECT_EQ(sent().size(), 1u);
}

TEST_F(Neighbours_Nd, AnswersDuplicateDetectionToAllNodes) {
  receive(solicitation(kUs6, 255, IpAddress()));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(destination_of(frames[0]), (MacAddress{{0x33, 0x33, 0, 0, 0, 1}}));
  EXPECT_EQ(frames[0][58] & 0x60, 0x20);  // override, not solicited
  EXPECT_EQ(layer.neighbours(), 0u);
}

TEST_F(Neighbours_Nd, DropsInvalidMessages) {
  expect_dropped(solicitation(kUs6, 254), DropReason::kNdInvalid);
  const IpAddress group = wire::solicited_node_group(kUs6);
  expect_dropped(neighbour_message({.target = kUs6, .link_address = kPeerMac}, IpAddress(), group, wire::group_mac(group)),
                 DropReason::kNdInvalid);
  expect_dropped(
      neighbour_message({.target = kUs6, .link_address = MacAddress::broadcast()}, kPeer6, group, wire::group_mac(group)),
      DropReason::kNdInvalid);
  const IpAddress all = wire::all_nodes_group();
  expect_dropped(neighbour_message({.is_advertisement = true, .solicited = true, .target = kPeer6, .link_address = kPeerMac},
                                   kPeer6, all, wire::group_mac(all)),
                 DropReason::kNdInvalid);
}

TEST_F(Neighbours_Nd, DropsWhatConcernsOthersAndConflicts) {
  const IpAddress near = addr("2001:db8::1:2");  // in the solicited-node group of no address of ours
  expect_dropped(solicitation(near), DropReason::kGroupNotForUs);
  expect_dropped(solicitation(addr("2001:db8:5::2")), DropReason::kNdNotForUs);  // same group, another address
  const IpAddress all = wire::all_nodes_group();
  expect_dropped(
      neighbour_message({.is_advertisement = true, .target = kUs6, .link_address = kOtherMac}, kPeer6, all, wire::group_mac(all)),
      DropReason::kNdConflict);
}

TEST_F(Neighbours_Nd, ResolvesWithASolicitationToTheSolicitedNodeGroup) {
  send(kPeer6);
  auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const IpAddress group = wire::solicited_node_group(kPeer6);
  Bytes expected = neighbour_message({.target = kPeer6, .link_address = kOurMac}, kUs6, group, wire::group_mac(group));
  std::copy(kOurMac.bytes.begin(), kOurMac.bytes.end(), expected.begin() + 6);
  EXPECT_EQ(frames[0], expected);
  receive(advertisement());
  frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(without_label(frames[0]), ethernet(0x86dd, ipv6(tcp_segment(), 6, kUs6, kPeer6), kPeerMac, kOurMac));
}

TEST_F(Neighbours_Nd, GivesUpAfterThreeSolicitations) {
  send(kPeer6);
  pass(Duration::milliseconds(3050));
  EXPECT_EQ(sent().size(), 3u);
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 1u);
}

TEST_F(Neighbours_Nd, AnAdvertisementWithoutOverrideDoesNotReplaceAnAddress) {
  send(kPeer6);
  receive(advertisement());
  sent();
  receive(advertisement(kPeer6, kOtherMac, false, false));
  send(kPeer6);
  for (const Bytes& frame : sent()) EXPECT_EQ(destination_of(frame), kPeerMac);
  receive(advertisement(kPeer6, kOtherMac, false, true));
  send(kPeer6);
  for (const Bytes& frame : sent()) EXPECT_EQ(destination_of(frame), kOtherMac);
}

// The table itself, small.
struct Recorder final : NeighbourEvents {
  void solicit(std::uint8_t, const IpAddress&, const std::optional<MacAddress>&) override { ++solicited; }
  bool transmit(std::uint8_t, const MacAddress&, const IpAddress&, nic::Packet) override {
    ++transmitted;
    return true;
  }
  void dropped(DropReason reason) override { wire::count(drops, reason); }
  void lost(std::uint8_t, const IpAddress&) override { ++lost_neighbours; }
  int solicited = 0;
  int transmitted = 0;
  int lost_neighbours = 0;
  wire::DropCounters drops{};
};

struct NeighbourTable_Eviction : testing::Test {
  static IpAddress host(std::size_t i) {
    return IpAddress::v4(10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
  }
  nic::HeapPool pool{64};
  Instant now = Instant::from_nanoseconds(1);
  TimerWheel timers{now};
  Rng rng{3};
  Recorder events;
  NeighbourTable table{timers, rng, events, 8};
};

TEST_F(NeighbourTable_Eviction, ForgetsTheLeastRecentlyUsed) {
  for (std::size_t i = 0; i < 8; ++i) table.learn(0, host(i), kPeerMac, now);
  table.send(0, host(0), pool.allocate(), now);
  table.learn(0, host(8), kPeerMac, now);
  EXPECT_EQ(table.size(), 8u);
  EXPECT_TRUE(table.mac_of(0, host(0)));
  EXPECT_FALSE(table.mac_of(0, host(1)));
  EXPECT_TRUE(table.mac_of(0, host(8)));
}

// A flood of ARP requests or solicitations with made-up senders.
TEST_F(NeighbourTable_Eviction, WhoOnlyAnnouncesItselfPushesOutNobodyInUse) {
  for (std::size_t i = 0; i < 4; ++i) {
    table.learn(0, host(i), kPeerMac, now);
    table.send(0, host(i), pool.allocate(), now);
  }
  for (std::size_t i = 100; i < 1000; ++i) table.learn(0, host(i), kOtherMac, now);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(table.mac_of(0, host(i))) << i;
  EXPECT_EQ(table.size(), 8u);
}

TEST_F(NeighbourTable_Eviction, AScanAndAFloodTogetherLeaveHalfOfThoseInUse) {
  for (std::size_t i = 0; i < 4; ++i) {
    table.learn(0, host(i), kPeerMac, now);
    table.send(0, host(i), pool.allocate(), now);
  }
  for (std::size_t i = 100; i < 1000; ++i) {
    table.learn(0, host(i), kOtherMac, now);
    table.send(0, host(i + 2000), pool.allocate(), now);
  }
  std::size_t left = 0;
  for (std::size_t i = 0; i < 4; ++i) left += table.mac_of(0, host(i)) ? 1 : 0;
  EXPECT_GE(left, 3u);
  EXPECT_LE(table.pending(), 8 * limits::kNeighbourPendingPackets);
}

TEST_F(NeighbourTable_Eviction, TellsWhoIsLost) {
  table.learn(0, host(1), kPeerMac, now);
  table.send(0, host(2), pool.allocate(), now);
  for (int i = 0; i < 400; ++i) timers.advance(now = now + Duration::milliseconds(10));
  EXPECT_EQ(events.lost_neighbours, 1);
}

TEST_F(NeighbourTable_Eviction, AScanCannotPushOutMoreThanHalf) {
  for (std::size_t i = 0; i < 8; ++i) table.learn(0, host(i), kPeerMac, now);
  for (std::size_t i = 100; i < 130; ++i) table.send(0, host(i), pool.allocate(), now);
  std::size_t known = 0;
  for (std::size_t i = 0; i < 8; ++i) known += table.mac_of(0, host(i)) ? 1 : 0;
  EXPECT_GE(known, 3u);
  EXPECT_EQ(table.size(), 8u);
  EXPECT_EQ(wire::counted(events.drops, DropReason::kNeighbourTableFull) + table.pending(), 30u);
}

TEST_F(NeighbourTable_Eviction, TheSameAddressOnTwoInterfacesIsTwoNeighbours) {
  table.learn(0, host(1), kPeerMac, now);
  table.learn(1, host(1), kOtherMac, now);
  EXPECT_EQ(table.mac_of(0, host(1)), kPeerMac);
  EXPECT_EQ(table.mac_of(1, host(1)), kOtherMac);
}

}  // namespace
}  // namespace millrace::ip::test
