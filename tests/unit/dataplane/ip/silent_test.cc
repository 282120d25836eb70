// The internet layer of a worker for whose addresses another one speaks: it learns all, uses all, and says nothing but what it
// needs itself. And which frames it has to hear.
#include <gtest/gtest.h>

#include "dataplane/ip/link_control.h"
#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

constexpr std::uint64_t kNonce = 0x1234'5678'9abc;

class Silent : public IpLayerTest {
 protected:
  static InterfaceConfig silent() {
    InterfaceConfig config = interface();
    config.duplicate_probes = 1;
    config.silent = true;
    config.probe_nonce = kNonce;
    return config;
  }
  Silent() : IpLayerTest({silent()}) {}
  void overhear(const Bytes& frame) {
    nic::Packet packet = pool.copy_of(frame);
    packet.set_port(0);
    layer.overhear(std::move(packet), now);
  }
  [[nodiscard]] static Bytes probe_of(const IpAddress& target, std::uint64_t nonce) {
    const IpAddress group = wire::solicited_node_group(target);
    return neighbour_message({.target = target, .nonce = nonce}, IpAddress(), group, wire::group_mac(group));
  }
};

TEST_F(Silent, AnnouncesNothingAndUsesItsAddressesWhenTheSpeakerDoes) {
  layer.announce(now);
  EXPECT_FALSE(layer.is_local(kUs6)) << "the speaker asks whether it is free";
  pass(Duration::milliseconds(1'100));
  EXPECT_TRUE(layer.is_local(kUs6));
  pass(Duration::seconds(20));
  EXPECT_TRUE(sent().empty()) << "neither probes, nor reports of groups, nor router solicitations";
}

TEST_F(Silent, SeesTheSameDuplicatesAsTheSpeaker) {
  layer.announce(now);
  overhear(probe_of(kUs6, kNonce));  // the speaker's own, sent back by the link
  overhear(probe_of(addr("fe80::ff:fe00:1"), kNonce + 1));
  pass(Duration::seconds(2));
  EXPECT_TRUE(layer.is_local(kUs6));
  EXPECT_FALSE(layer.is_local(addr("fe80::ff:fe00:1")));
}

TEST_F(Silent, LearnsFromQuestionsThatTheSpeakerAnswers) {
  layer.announce(now);
  pass(Duration::seconds(2));
  overhear(arp_request(kUs));
  overhear(solicitation(kUs6));
  EXPECT_TRUE(sent().empty());
  send(kPeer);
  send(kPeer6);
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 2u) << "both neighbours are known";
  for (const Bytes& frame : frames) EXPECT_EQ(wire::EthernetView::parse(frame)->destination, kPeerMac);
}

TEST_F(Silent, AsksForNeighboursOfItsOwn) {
  send(kPeer);
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(wire::EthernetView::parse(frames[0])->type, wire::kEtherTypeArp);
  overhear(arp_reply());
  EXPECT_EQ(sent().size(), 1u) << "what waited";
}

TEST_F(Silent, DropsOfOverheardFramesAreCountedByWhoReceivedThem) {
  overhear(arp_request(addr("198.18.0.77")));
  overhear(text("short"));
  EXPECT_EQ(all_drops(), 0u);
  expect_dropped(arp_request(addr("198.18.0.77")), DropReason::kArpNotForUs);
}

TEST(LinkControl, IsArpDiscoveryAndGroupsOfIpv6) {
  EXPECT_TRUE(is_link_control(arp_request(kUs)));
  EXPECT_TRUE(is_link_control(arp_reply()));
  EXPECT_TRUE(is_link_control(solicitation(kUs6)));
  EXPECT_TRUE(is_link_control(advertisement()));
  const Bytes advertised = icmp(134, 0, 0, Bytes(8), addr("fe80::1"), kUs6);
  EXPECT_TRUE(is_link_control(frame6(ipv6(advertised, wire::kProtocolIcmpv6, addr("fe80::1")))));
  const IpAddress all = wire::all_nodes_group();
  EXPECT_TRUE(is_link_control(frame6(ipv6(Bytes(24), 0, addr("fe80::1"), all), wire::group_mac(all)))) << "a query for groups";
}

TEST(LinkControl, IsNothingThatOneWorkerAloneHandles) {
  EXPECT_FALSE(is_link_control(frame4(ipv4(tcp_segment(), kProtocolTcp))));
  EXPECT_FALSE(is_link_control(frame6(ipv6(tcp_segment(), kProtocolTcp))));
  EXPECT_FALSE(is_link_control(frame4(ipv4(icmp(8, 0, 1, text("ping")), wire::kProtocolIcmpv4))));
  EXPECT_FALSE(is_link_control(frame6(ipv6(icmp(128, 0, 1, text("ping"), kPeer6, kUs6), wire::kProtocolIcmpv6)))) << "echo";
  EXPECT_FALSE(is_link_control(frame6(ipv6(icmp(2, 0, 1'280, Bytes(48), kPeer6, kUs6), wire::kProtocolIcmpv6)))) << "an error";
}

TEST(LinkControl, LooksAtNothingBehindTheEnd) {
  const Bytes whole = solicitation(kUs6);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));  // exact: a sanitizer sees over-reads
    EXPECT_EQ(is_link_control(part), size > 14 + 40) << size;
  }
}

}  // namespace
}  // namespace millrace::ip::test
