// How IPv6 comes up on a link: duplicate address detection (RFC 4862 5.4) and router discovery (RFC 4861 6.3), through an
// IpLayer.
#include <gtest/gtest.h>

#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

const IpAddress kLinkLocal = wire::link_local_address(kOurMac);
const Bytes kTcp6 = frame6(ipv6(tcp_segment(), kProtocolTcp));

wire::NeighbourMessage nd_of(const Bytes& frame) {
  return wire::NeighbourMessage::parse(std::span(frame).subspan(14 + 40)).value();
}
bool is_icmpv6(const Bytes& frame, std::uint8_t type) {
  return wire::EthernetView::parse(frame)->type == wire::kEtherTypeIpv6 && frame[20] == 58 && frame[54] == type;
}
Bytes probe_of(const IpAddress& target, std::optional<std::uint64_t> nonce = {}) {
  const IpAddress group = wire::solicited_node_group(target);
  return neighbour_message({.target = target, .nonce = nonce}, IpAddress(), group, wire::group_mac(group));
}
Bytes claim_of(const IpAddress& target, const IpAddress& from) {
  const IpAddress all = wire::all_nodes_group();
  return neighbour_message({.is_advertisement = true, .override_ = true, .target = target, .link_address = kOtherMac}, from, all,
                           wire::group_mac(all));
}

class Ipv6Start_Duplicates : public IpLayerTest {
 protected:
  static InterfaceConfig careful() {
    InterfaceConfig config = interface();
    config.duplicate_probes = 1;
    return config;
  }
  Ipv6Start_Duplicates() : IpLayerTest({careful()}) {}
  /// The solicitations among the frames sent since the last call.
  std::vector<Bytes> probes() {
    std::vector<Bytes> found;
    for (const Bytes& frame : sent()) {
      if (is_icmpv6(frame, 135)) found.push_back(frame);
    }
    return found;
  }
};

TEST_F(Ipv6Start_Duplicates, ProbesOnceForEveryIpv6AddressFromNowhere) {
  layer.announce(now);
  const auto frames = probes();
  ASSERT_EQ(frames.size(), 2u);
  for (const Bytes& frame : frames) {
    const auto view = wire::Ipv6View::parse(std::span(frame).subspan(14));
    const auto message = nd_of(frame);
    EXPECT_TRUE(view->source.is_unspecified());
    EXPECT_EQ(view->destination, wire::solicited_node_group(message.target));
    EXPECT_EQ(view->hop_limit, 255);
    EXPECT_FALSE(message.link_address);
    EXPECT_TRUE(message.nonce);
  }
  EXPECT_EQ(nd_of(frames[0]).target, kUs6);
  EXPECT_EQ(nd_of(frames[1]).target, kLinkLocal);
  pass(Duration::seconds(5));
  EXPECT_TRUE(probes().empty());
}

TEST_F(Ipv6Start_Duplicates, ATentativeAddressIsNotUsedOrAnswered) {
  layer.announce(now);
  sent();
  EXPECT_FALSE(layer.is_local(kUs6));
  EXPECT_TRUE(layer.has_address(kUs6)) << "a listener may wait for it";
  EXPECT_FALSE(layer.path_to(kPeer6));
  expect_dropped(kTcp6, DropReason::kNotForUs);
  expect_dropped(solicitation(kUs6), DropReason::kNdNotForUs);
  EXPECT_FALSE(send(kPeer6));
  EXPECT_TRUE(layer.is_local(kUs)) << "IPv4 serves at once";
}

TEST_F(Ipv6Start_Duplicates, AfterASecondOfSilenceTheAddressIsOursAndAnnounced) {
  layer.announce(now);
  sent();
  pass(Duration::milliseconds(1020));
  int announced = 0;
  for (const Bytes& frame : sent()) announced += is_icmpv6(frame, 136) ? 1 : 0;
  EXPECT_EQ(announced, 2);
  EXPECT_TRUE(layer.is_local(kUs6));
  EXPECT_EQ(layer.path_to(kPeer6)->source, kUs6);
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(kTcp6)));
  receive(solicitation(kUs6));
  EXPECT_EQ(sent().size(), 1u);
  EXPECT_EQ(all_drops(), 0u);
}

TEST_F(Ipv6Start_Duplicates, AnAdvertisementMakesTheAddressADuplicateForGood) {
  layer.announce(now);
  sent();
  expect_dropped(claim_of(kUs6, kUs6), DropReason::kNdDuplicateAddress);
  pass(Duration::seconds(5));
  sent();
  EXPECT_FALSE(layer.is_local(kUs6));
  EXPECT_TRUE(layer.is_local(kLinkLocal)) << "the others are not touched";
  expect_dropped(kTcp6, DropReason::kNotForUs);
  EXPECT_NE(layer.path_to(kPeer6)->source, kUs6);
}

TEST_F(Ipv6Start_Duplicates, AnotherHostsProbeMakesADuplicate) {  // RFC 4862 5.4.3: neither gets it
  layer.announce(now);
  sent();
  expect_dropped(probe_of(kUs6, 1), DropReason::kNdDuplicateAddress);
  pass(Duration::seconds(2));
  EXPECT_FALSE(layer.is_local(kUs6));
}

TEST_F(Ipv6Start_Duplicates, OurOwnProbeSentBackMakesNone) {  // RFC 7527
  layer.announce(now);
  const auto frames = probes();
  ASSERT_EQ(frames.size(), 2u);
  for (const Bytes& frame : frames) expect_dropped(frame, DropReason::kNdOwnProbe);
  pass(Duration::seconds(2));
  EXPECT_TRUE(layer.is_local(kUs6));
}

TEST_F(Ipv6Start_Duplicates, OnceOursOthersProbesAreAnswered) {
  layer.announce(now);
  pass(Duration::seconds(2));
  sent();
  receive(probe_of(kUs6));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_TRUE(is_icmpv6(frames[0], 136));
  EXPECT_TRUE(layer.is_local(kUs6));
}

TEST_F(Ipv6Start_Duplicates, ALateClaimIsAConflictAndChangesNothing) {
  layer.announce(now);
  pass(Duration::seconds(2));
  sent();
  expect_dropped(claim_of(kUs6, addr("fe80::9")), DropReason::kNdConflict);
  expect_dropped(claim_of(kUs6, kUs6), DropReason::kMartianOwnSource);
  EXPECT_TRUE(layer.is_local(kUs6));
}

// MLDv2, RFC 3810.
class Ipv6Start_Groups : public Ipv6Start_Duplicates {
 protected:
  static constexpr std::size_t kReportAt = 14 + 40 + 8;
  /// The reports among the frames sent since the last call.
  std::vector<Bytes> reports() {
    std::vector<Bytes> found;
    for (const Bytes& frame : sent()) {
      if (frame.size() > kReportAt && frame[13] == 0xdd && frame[20] == 0 && frame[kReportAt] == 143) found.push_back(frame);
    }
    return found;
  }
  static Bytes query(std::uint16_t most_milliseconds, std::uint8_t hop_limit = 1, const IpAddress& from = addr("fe80::1")) {
    const IpAddress all = wire::all_nodes_group();
    const Bytes message = icmp(130, 0, std::uint32_t{most_milliseconds} << 16, Bytes(20), from, all);
    const Bytes alert{58, 0, 5, 2, 0, 0, 1, 0};
    return frame6(ipv6(alert + message, 0, from, all, hop_limit), wire::group_mac(all));
  }
};

TEST_F(Ipv6Start_Groups, AreReportedBeforeTheProbesAndAgainASecondLater) {
  layer.announce(now);
  const auto frames = reports();
  ASSERT_EQ(frames.size(), 1u);
  const auto view = wire::Ipv6View::parse(std::span(frames[0]).subspan(14));
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->source.is_unspecified()) << "no address is usable yet";
  EXPECT_EQ(view->destination, addr("ff02::16"));
  EXPECT_EQ(view->hop_limit, 1);
  const auto message = std::span(frames[0]).subspan(kReportAt);
  ASSERT_TRUE(wire::IcmpView::parse_v6(message, view->source, view->destination));
  ASSERT_EQ(message.size(), 8u + 2 * 20);
  EXPECT_EQ(message[7], 2);  // records
  EXPECT_EQ(message[8], 4);  // change to exclude nothing
  EXPECT_EQ(IpAddress::v6(message.subspan<12, 16>()), wire::solicited_node_group(kUs6));
  EXPECT_EQ(IpAddress::v6(message.subspan<32, 16>()), wire::solicited_node_group(kLinkLocal));
  pass(Duration::milliseconds(1020));
  EXPECT_EQ(reports().size(), 1u);
  pass(Duration::seconds(10));
  EXPECT_TRUE(reports().empty());
}

TEST_F(Ipv6Start_Groups, AreReportedWhenSomebodyAsks) {
  layer.announce(now);
  pass(Duration::seconds(3));
  sent();
  receive(query(2'000));
  receive(query(2'000));
  pass(Duration::milliseconds(2'020));
  const auto frames = reports();
  ASSERT_EQ(frames.size(), 1u) << "one answer serves both";
  EXPECT_EQ(frames[0][kReportAt + 8], 2);  // mode is exclude
  EXPECT_EQ(wire::Ipv6View::parse(std::span(frames[0]).subspan(14))->source, kLinkLocal);
  EXPECT_EQ(all_drops(), 0u);
}

TEST_F(Ipv6Start_Groups, FalseQueriesAreCounted) {
  expect_dropped(query(2'000, 2), DropReason::kMldInvalid);
  expect_dropped(query(2'000, 1, kPeer6), DropReason::kMldInvalid);
  pass(Duration::seconds(3));
  EXPECT_TRUE(reports().empty());
}

// A port without a configured IPv6 default route.
class Ipv6Start_Routers : public IpLayerTest {
 protected:
  static InterfaceConfig bare() { return {.mac = kOurMac, .mtu = 1500, .addresses = {net("2001:db8::2/64")}}; }
  Ipv6Start_Routers() : layer6({{bare()}}, {}, timers, pool, rng, now) {}
  void receive6(const Bytes& frame) {
    nic::Packet packet = pool.copy_of(frame);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(layer6.receive(std::move(packet), now)));
  }
  std::vector<Bytes> sent6() {
    std::vector<Bytes> frames;
    for (nic::Packet& packet : layer6.outgoing(0)) {
      frames.emplace_back(packet.bytes().begin(), packet.bytes().end());
      packet = {};
    }
    layer6.outgoing_taken(0, frames.size());
    return frames;
  }
  std::vector<Bytes> solicitations() {
    std::vector<Bytes> found;
    for (const Bytes& frame : sent6()) {
      if (is_icmpv6(frame, 133)) found.push_back(frame);
    }
    return found;
  }
  static Bytes advert(std::uint16_t lifetime, const IpAddress& from = addr("fe80::1"), std::uint32_t mtu = 0,
                      std::uint8_t hop_limit = 255, const MacAddress& mac = kPeerMac) {
    Bytes message{134, 0, 0, 0, 64, 0, static_cast<std::uint8_t>(lifetime >> 8), static_cast<std::uint8_t>(lifetime)};
    message = message + Bytes(8) + Bytes{1, 1};
    message.insert(message.end(), mac.bytes.begin(), mac.bytes.end());
    if (mtu != 0) {
      message = message + Bytes{5, 1, 0, 0, 0, 0, 0, 0};
      wire::store_be32(message.data() + message.size() - 4, mtu);
    }
    const IpAddress all = wire::all_nodes_group();
    wire::write_icmp_checksum(message, from, all);
    return frame6(ipv6(message, 58, from, all, hop_limit), wire::group_mac(all));
  }
  [[nodiscard]] std::uint64_t drops6(DropReason reason) const { return wire::counted(layer6.drops(), reason); }
  [[nodiscard]] bool has_path() const { return layer6.path_to(far).has_value(); }
  /// The link address that a packet to `far` goes to.
  MacAddress gateway() {
    nic::Packet packet = pool.allocate();
    packet.append(tcp_segment());
    layer6.send(std::move(packet), kUs6, far, kProtocolTcp, 0, now);
    const auto frames = sent6();
    return frames.empty() ? MacAddress{} : wire::EthernetView::parse(frames.back())->destination;
  }
  const IpAddress far = addr("2001:db8:9::1");
  const IpAddress second = addr("fe80::2");
  IpLayer layer6;
};

TEST_F(Ipv6Start_Routers, AreSolicitedThreeTimesFourSecondsApart) {  // RFC 4861 6.3.7
  layer6.announce(now);
  std::size_t asked = solicitations().size();
  EXPECT_EQ(asked, 0u) << "not before a random delay";
  pass(Duration::milliseconds(1010));
  auto frames = solicitations();
  ASSERT_EQ(frames.size(), 1u);
  const auto view = wire::Ipv6View::parse(std::span(frames[0]).subspan(14));
  EXPECT_EQ(view->source, kLinkLocal);
  EXPECT_EQ(view->destination, wire::all_routers_group());
  EXPECT_EQ(view->hop_limit, 255);
  EXPECT_EQ(wire::EthernetView::parse(frames[0])->destination, (MacAddress{{0x33, 0x33, 0, 0, 0, 2}}));
  pass(Duration::seconds(30));
  EXPECT_EQ(solicitations().size(), 2u);
}

TEST_F(Ipv6Start_Routers, AreNotSolicitedAnyMoreOnceOneAnswered) {
  layer6.announce(now);
  pass(Duration::milliseconds(1010));
  receive6(advert(1800));
  sent6();
  pass(Duration::seconds(30));
  EXPECT_TRUE(solicitations().empty());
}

TEST_F(Ipv6Start_Routers, LeadWhereNoRouteDoes) {
  EXPECT_FALSE(has_path());
  receive6(advert(1800));
  EXPECT_EQ(layer6.default_routers(), 1u);
  ASSERT_TRUE(has_path());
  EXPECT_EQ(layer6.path_to(far)->source, kUs6) << "a global address, though the router's is link-local";
  EXPECT_EQ(gateway(), kPeerMac) << "the advertisement told the link address";
  EXPECT_FALSE(layer6.path_to(kFar)) << "of IPv6 only";
}

TEST_F(Ipv6Start_Routers, AreForgottenWhenTheirLifetimeEnds) {
  receive6(advert(10));
  pass(Duration::seconds(9));
  receive6(advert(10));
  pass(Duration::seconds(9));
  EXPECT_TRUE(has_path());
  pass(Duration::milliseconds(1020));
  EXPECT_FALSE(has_path());
  EXPECT_EQ(layer6.default_routers(), 0u);
}

TEST_F(Ipv6Start_Routers, ResignWithALifetimeOfZero) {
  receive6(advert(0));
  EXPECT_FALSE(has_path());
  receive6(advert(1800));
  receive6(advert(0));
  EXPECT_FALSE(has_path());
}

TEST_F(Ipv6Start_Routers, WhoSaysThatItIsNoRouterIsNone) {  // RFC 4861 7.2.5
  receive6(advert(1800));
  receive6(advertisement(addr("fe80::1")));
  EXPECT_FALSE(has_path());
}

TEST_F(Ipv6Start_Routers, OneThatDoesNotAnswerGivesWayToTheNext) {  // RFC 4861 6.3.6
  receive6(advert(1800));
  receive6(advert(1800, second, 0, 255, kOtherMac));
  EXPECT_EQ(gateway(), kPeerMac);  // stale, used: it is probed, and does not answer
  pass(Duration::milliseconds(8'100));
  sent6();
  EXPECT_EQ(gateway(), kOtherMac);
}

TEST_F(Ipv6Start_Routers, AreBounded) {
  for (std::size_t i = 1; i <= limits::kDefaultRouters + 3; ++i) receive6(advert(1800, addr("fe80::" + std::to_string(i))));
  EXPECT_EQ(layer6.default_routers(), limits::kDefaultRouters);
  EXPECT_EQ(drops6(DropReason::kRouterNotWanted), 3u);
}

TEST_F(Ipv6Start_Routers, SetTheMtuWithinWhatThePortTakes) {
  const auto mtu = [&] { return layer6.path_to(far)->mtu; };
  receive6(advert(1800, addr("fe80::1"), 1400));
  EXPECT_EQ(mtu(), 1400);
  receive6(advert(1800, addr("fe80::1"), 9000));
  EXPECT_EQ(mtu(), 1500);
  receive6(advert(1800, addr("fe80::1"), 1400));
  receive6(advert(1800, addr("fe80::1"), 1279));
  EXPECT_EQ(mtu(), 1400) << "what no IPv6 link has is not believed";
  nic::Packet packet = pool.allocate();
  packet.append(Bytes(1361));
  EXPECT_FALSE(layer6.send(std::move(packet), kUs6, far, kProtocolTcp, 0, now));
  EXPECT_EQ(drops6(DropReason::kSendTooBig), 1u);
}

TEST_F(Ipv6Start_Routers, FalseAdvertisementsAreCounted) {  // RFC 4861 6.1.2
  receive6(advert(1800, addr("fe80::1"), 0, 254));
  receive6(advert(1800, kPeer6));
  receive6(advert(1800, addr("fe80::1"), 0, 255, MacAddress::broadcast()));
  EXPECT_EQ(drops6(DropReason::kRouterInvalid), 3u);
  EXPECT_EQ(layer6.default_routers(), 0u);
}

TEST_F(Ipv6Start_Routers, WhereADefaultRouteIsConfiguredNobodyIsAskedOrBelieved) {
  layer.announce(now);
  pass(Duration::seconds(20));
  for (const Bytes& frame : sent()) EXPECT_FALSE(is_icmpv6(frame, 133));
  expect_dropped(advert(1800), DropReason::kRouterNotWanted);
  EXPECT_EQ(layer.default_routers(), 0u);
}

}  // namespace
}  // namespace millrace::ip::test
