#include "dataplane/ip/ip_layer.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

using Kind = TransportError::Kind;

class IpLayer_Receive : public IpLayerTest {};
class IpLayer_Icmp : public IpLayerTest {};
class IpLayer_Send : public IpLayerTest {};

const Bytes kTcp4 = frame4(ipv4(tcp_segment(), kProtocolTcp));
const Bytes kTcp6 = frame6(ipv6(tcp_segment(), kProtocolTcp));

Bytes patched(Bytes bytes, std::size_t at, std::uint8_t value) {
  bytes[at] = value;
  return bytes;
}

TEST_F(IpLayer_Receive, HandsOverTcpOverIpv4WithoutItsHeaders) {
  auto received = receive(kTcp4);
  auto& datagram = std::get<Datagram>(received);
  EXPECT_EQ(Bytes(datagram.packet.bytes().begin(), datagram.packet.bytes().end()), tcp_segment());
  EXPECT_EQ(datagram.source, kPeer);
  EXPECT_EQ(datagram.destination, kUs);
  EXPECT_EQ(datagram.protocol, kProtocolTcp);
  EXPECT_EQ(all_drops(), 0u);
}

TEST_F(IpLayer_Receive, HandsOverTcpOverIpv6WithoutItsHeaders) {
  auto received = receive(kTcp6);
  auto& datagram = std::get<Datagram>(received);
  EXPECT_EQ(Bytes(datagram.packet.bytes().begin(), datagram.packet.bytes().end()), tcp_segment());
  EXPECT_EQ(datagram.source, kPeer6);
}

TEST_F(IpLayer_Receive, TellsDscpAndEcn) {
  Bytes packet = ipv4(tcp_segment(), kProtocolTcp);
  packet[1] = 0xb9;
  EXPECT_EQ(std::get<Datagram>(receive(frame4(with_checksum(packet)))).traffic_class, 0xb9);
  Bytes six = ipv6(tcp_segment(), kProtocolTcp);
  six[0] = 0x6b;
  six[1] = 0x90;
  EXPECT_EQ(std::get<Datagram>(receive(frame6(six))).traffic_class, 0xb9);
}

TEST_F(IpLayer_Receive, TrimsEthernetPadding) {
  for (const Bytes& frame : {kTcp4, kTcp6}) {
    auto received = receive(frame + Bytes(13, 0xee));
    EXPECT_EQ(std::get<Datagram>(received).packet.size(), tcp_segment().size());
  }
}

TEST_F(IpLayer_Receive, AcceptsPriorityTagsAndDropsOtherVlans) {
  const Bytes packet = ipv4(tcp_segment(), kProtocolTcp);
  const auto tagged = [&](std::uint8_t vlan) { return ethernet(wire::kEtherTypeVlan, Bytes{0xe0, vlan, 0x08, 0x00} + packet); };
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(tagged(0))));
  expect_dropped(tagged(5), DropReason::kEthernetVlan);
}

TEST_F(IpLayer_Receive, DropsWhatTheLinkShouldNotHaveGivenUs) {
  expect_dropped(frame4(ipv4(tcp_segment(), 6), kOtherMac), DropReason::kEthernetNotForUs);
  expect_dropped(ethernet(0x0800, ipv4(tcp_segment(), 6), kOurMac, MacAddress::broadcast()),
                 DropReason::kEthernetSourceMulticast);
  expect_dropped(ethernet(0x88cc, Bytes(50)), DropReason::kEthernetUnknownType);
  expect_dropped(frame4(ipv4(tcp_segment(), 6), MacAddress::broadcast()), DropReason::kUnicastInGroupFrame);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(kTcp4, 0, 1)));
  EXPECT_EQ(drops(DropReason::kUnknownPort), 1u);
}

TEST_F(IpLayer_Receive, VerifiesTheHeaderChecksumUnlessTheDeviceHas) {
  const Bytes bad = patched(kTcp4, 14 + 10, static_cast<std::uint8_t>(kTcp4[24] ^ 1));
  expect_dropped(bad, DropReason::kIpv4BadChecksum);
  expect_dropped(bad, DropReason::kIpv4BadChecksum, nic::Offload::kIpChecksumBad);
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(bad, nic::Offload::kIpChecksumGood)));
}

TEST_F(IpLayer_Receive, DropsMartianSources) {
  for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.255", "240.0.0.1"}) {
    expect_dropped(frame4(ipv4(tcp_segment(), 6, addr(source))), DropReason::kMartianSource);
  }
  for (const char* source : {"::", "::1", "ff02::1"}) {
    expect_dropped(frame6(ipv6(tcp_segment(), 6, addr(source))), DropReason::kMartianSource);
  }
}

TEST_F(IpLayer_Receive, DropsLandAttacks) {
  expect_dropped(frame4(ipv4(tcp_segment(), 6, kUs)), DropReason::kMartianOwnSource);
  expect_dropped(frame6(ipv6(tcp_segment(), 6, kUs6)), DropReason::kMartianOwnSource);
}

TEST_F(IpLayer_Receive, DropsMappedIpv4AddressesInIpv6Packets) {
  expect_dropped(frame6(ipv6(tcp_segment(), 6, kPeer)), DropReason::kMartianSource);
  expect_dropped(frame6(ipv6(tcp_segment(), 6, kPeer6, kUs)), DropReason::kMartianDestination);
}

TEST_F(IpLayer_Receive, DropsWhatIsNotForUs) {
  expect_dropped(frame4(ipv4(tcp_segment(), 6, kPeer, addr("198.18.0.3"))), DropReason::kNotForUs);
  expect_dropped(frame4(ipv4(tcp_segment(), 6, kPeer, addr("127.0.0.1"))), DropReason::kMartianDestination);
  expect_dropped(frame4(ipv4(tcp_segment(), 6, kPeer, addr("0.0.0.0"))), DropReason::kMartianDestination);
  for (const char* group : {"224.0.0.1", "255.255.255.255", "198.18.0.255"}) {
    expect_dropped(frame4(ipv4(tcp_segment(), 6, kPeer, addr(group)), MacAddress::broadcast()), DropReason::kGroupNotForUs);
  }
  expect_dropped(frame6(ipv6(tcp_segment(), 6, kPeer6, addr("2001:db8::3"))), DropReason::kNotForUs);
  expect_dropped(frame6(ipv6(tcp_segment(), 6, kPeer6, addr("ff02::1")), {{0x33, 0x33, 0, 0, 0, 1}}), DropReason::kGroupNotForUs);
}

TEST_F(IpLayer_Receive, AcceptsIpv4OptionsButNoSourceRoutes) {
  const auto with_options = [](const Bytes& options) {
    Bytes packet = ipv4(options + tcp_segment(), 6);
    packet[0] = static_cast<std::uint8_t>(0x45 + options.size() / 4);
    return frame4(with_checksum(packet));
  };
  auto received = receive(with_options({1, 148, 4, 0, 0, 0, 0, 0}));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), tcp_segment().size());
  expect_dropped(with_options({131, 7, 4, 1, 2, 3, 4, 0}), DropReason::kIpv4SourceRoute);
  expect_dropped(with_options({1, 137, 3, 4}), DropReason::kIpv4SourceRoute);
  expect_dropped(with_options({7, 9, 4, 0}), DropReason::kIpv4BadOption);
}

TEST_F(IpLayer_Receive, WalksIpv6ExtensionHeaders) {
  const Bytes hop_by_hop{60, 0, 1, 4, 0, 0, 0, 0};
  const Bytes destination_options{6, 0, 1, 2, 0, 0, 0, 0};
  auto received = receive(frame6(ipv6(hop_by_hop + destination_options + tcp_segment(), 0)));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), tcp_segment().size());
}

TEST_F(IpLayer_Receive, PassesOverRoutingHeadersWithNothingLeft) {  // RFC 8200 4.4
  auto received = receive(frame6(ipv6(Bytes{6, 0, 0, 0, 0, 0, 0, 0} + tcp_segment(), 43)));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), tcp_segment().size());
}

TEST_F(IpLayer_Receive, DropsReservedSourcesAndDestinationsWithoutAnAnswer) {
  const Bytes udp{0, 1, 0, 2, 0, 8, 0, 0};
  for (const char* source : {"0.0.0.1", "127.255.255.254", "239.1.1.1", "241.0.0.1", "198.18.0.255"}) {
    expect_dropped(frame4(ipv4(udp, 17, addr(source))), DropReason::kMartianSource);
  }
  expect_dropped(frame4(ipv4(udp, 17, kUs)), DropReason::kMartianOwnSource);
  expect_dropped(frame4(ipv4(udp, 17, kPeer, addr("255.255.255.255"))), DropReason::kGroupNotForUs);
  expect_dropped(frame6(ipv6(udp, 17, addr("ff02::1"))), DropReason::kMartianSource);
}

TEST_F(IpLayer_Receive, EveryTruncationIsOneCountedDrop) {
  const Bytes echo4 = frame4(ipv4(icmp(8, 0, 1, text("ping")), 1));
  const Bytes echo6 = frame6(ipv6(icmp(128, 0, 1, text("ping"), kPeer6, kUs6), 58));
  const Bytes chain = frame6(ipv6(Bytes{60, 0, 1, 4, 0, 0, 0, 0} + Bytes{6, 0, 1, 2, 0, 0, 0, 0} + tcp_segment(), 0));
  for (const Bytes& frame :
       {kTcp4, kTcp6, echo4, echo6, chain, arp_request(kUs), arp_reply(), solicitation(kUs6), advertisement()}) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      const std::uint64_t before = all_drops();
      EXPECT_TRUE(std::holds_alternative<std::monostate>(
          receive(Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size)))));
      EXPECT_EQ(all_drops(), before + 1) << size << " of " << frame.size();
    }
  }
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(pool.in_use(), 0u);
}

// Nothing is lost silently: a mutated frame is delivered, answered (perhaps once a neighbour is resolved), taken into
// the neighbour table, or counted.
TEST_F(IpLayer_Receive, SurvivesMutatedFrames) {
  const Bytes echo4 = frame4(ipv4(icmp(8, 0, 1, text("ping")), 1));
  const Bytes chain = frame6(ipv6(Bytes{60, 0, 1, 4, 0, 0, 0, 0} + Bytes{6, 0, 1, 2, 0, 0, 0, 0} + tcp_segment(), 0));
  const Bytes udp = frame4(ipv4(Bytes{1, 2, 3, 4, 0, 9, 0, 0, 1}, 17));
  const Bytes quote = frame4(ipv4(icmp(3, 4, 1400, ipv4(tcp_segment(), 6, kUs, kFar)), 1));
  const std::vector<Bytes> seeds{kTcp4, kTcp6, echo4, chain, udp, quote, arp_request(kUs), solicitation(kUs6), advertisement()};
  Rng random(7);
  for (int round = 0; round < 60'000; ++round) {
    Bytes frame = seeds[random.below(static_cast<std::uint32_t>(seeds.size()))];
    for (std::uint32_t i = 0, n = 1 + random.below(3); i < n; ++i) {
      frame[random.below(static_cast<std::uint32_t>(frame.size()))] = static_cast<std::uint8_t>(random.next());
    }
    if (random.chance(1, 4)) frame.resize(random.below(static_cast<std::uint32_t>(frame.size()) + 1));
    const std::uint64_t before = all_drops();
    const std::size_t waiting = pool.in_use();
    // With the checksum taken as good, mutations reach beyond it.
    auto received = receive(frame, random.chance(1, 2) ? nic::Offload::kIpChecksumGood : 0);
    if (const auto* datagram = std::get_if<Datagram>(&received)) {
      ASSERT_LT(datagram->packet.size(), frame.size());
      ASSERT_EQ(datagram->protocol, kProtocolTcp);
      ASSERT_TRUE(layer.is_local(datagram->destination));
    } else if (std::holds_alternative<std::monostate>(received)) {
      const std::uint16_t type = frame.size() < 14 ? 0 : wire::load_be16(frame.data() + 12);
      const bool neighbours_business = type == wire::kEtherTypeArp ||
                                       (frame.size() > 20 && type == wire::kEtherTypeIpv6 && frame[20] == 58) ||
                                       type == wire::kEtherTypeVlan;
      ASSERT_TRUE(all_drops() > before || !layer.outgoing(0).empty() || pool.in_use() > waiting || neighbours_business);
    }
    received = {};
    sent();
    if (round % 64 == 0) pass(Duration::milliseconds(20));
  }
  pass(Duration::seconds(70));  // what waits for more fragments is given up
  sent();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_F(IpLayer_Icmp, AnswersEchoOverIpv4) {
  resolve();
  receive(frame4(ipv4(icmp(8, 0, 0x00070001, text("0123456")), 1)));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const Bytes expected =
      ethernet(0x0800, ipv4(icmp(0, 0, 0x00070001, text("0123456"), kUs, kPeer), 1, kUs, kPeer), kPeerMac, kOurMac);
  EXPECT_EQ(frames[0], expected);
}

TEST_F(IpLayer_Icmp, AnswersEchoOverIpv6) {
  resolve();
  receive(frame6(ipv6(icmp(128, 0, 0x00070001, text("0123456"), kPeer6, kUs6), 58)));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(without_label(frames.back()),
            ethernet(0x86dd, ipv6(icmp(129, 0, 0x00070001, text("0123456"), kUs6, kPeer6), 58, kUs6, kPeer6), kPeerMac, kOurMac));
}

TEST_F(IpLayer_Icmp, EchoFromAnUnknownNeighbourIsAnsweredOnceItIsResolved) {
  receive(frame4(ipv4(icmp(8, 0, 1, text("x")), 1)));
  ASSERT_EQ(sent().size(), 1u);  // the ARP request
  receive(arp_reply());
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0][34], 0);  // echo reply
}

TEST_F(IpLayer_Icmp, DoesNotAnswerEchoToGroups) {
  expect_dropped(frame4(ipv4(icmp(8, 0, 1, {}), 1, kPeer, addr("198.18.0.255")), MacAddress::broadcast()),
                 DropReason::kGroupNotForUs);
  const IpAddress all = addr("ff02::1");
  expect_dropped(frame6(ipv6(icmp(128, 0, 1, {}, kPeer6, all), 58, kPeer6, all), wire::group_mac(all)),
                 DropReason::kGroupNotForUs);
}

TEST_F(IpLayer_Icmp, DropsBadChecksumsAndUselessTypes) {
  Bytes message = icmp(8, 0, 1, text("ping"));
  message[2] ^= 1;
  expect_dropped(frame4(ipv4(message, 1)), DropReason::kIcmpBadChecksum);
  expect_dropped(frame4(ipv4(icmp(0, 0, 1, {}), 1)), DropReason::kIcmpIgnored);
  expect_dropped(frame6(ipv6(icmp(133, 0, 1, Bytes(8), kPeer6, kUs6), 58)), DropReason::kIcmpIgnored);
  expect_dropped(frame6(ipv6(icmp(128, 0, 1, {}, kPeer6, addr("2001:db8::7")), 58)), DropReason::kIcmpBadChecksum);
}

TEST_F(IpLayer_Icmp, UdpGetsPortUnreachableThatQuotesIt) {
  resolve();
  const Bytes datagram{0x30, 0x39, 0, 53, 0, 9, 0, 0, 'x'};
  const Bytes packet = ipv4(datagram, 17);
  receive(frame4(packet));
  auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], ethernet(0x0800, ipv4(icmp(3, 3, 0, packet, kUs, kPeer), 1, kUs, kPeer), kPeerMac, kOurMac));
  Bytes summed = datagram;
  wire::store_be16(summed.data() + 6,
                   wire::checksum_finish(wire::checksum_add(wire::pseudo_header_sum(kPeer6, kUs6, 17, 9), summed)));
  const Bytes packet6 = ipv6(summed, 17);
  receive(frame6(packet6));
  frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(without_label(frames.back()),
            ethernet(0x86dd, ipv6(icmp(1, 4, 0, packet6, kUs6, kPeer6), 58, kUs6, kPeer6), kPeerMac, kOurMac));
  EXPECT_EQ(drops(DropReason::kUdpNoPort), 2u);
}

TEST_F(IpLayer_Icmp, DamagedUdpIsNotAnswered) {
  resolve();
  expect_dropped(frame4(ipv4(Bytes{0x30, 0x39, 0, 53, 0, 9, 1, 2, 'x'}, 17)), DropReason::kUdpBadChecksum);
  expect_dropped(frame6(ipv6(Bytes{0x30, 0x39, 0, 53, 0, 9, 0, 0, 'x'}, 17)), DropReason::kUdpBadChecksum);
  expect_dropped(frame4(ipv4(Bytes{0x30, 0x39, 0, 53, 0, 10, 0, 0, 'x'}, 17)), DropReason::kUdpTruncated);
}

TEST_F(IpLayer_Icmp, UnknownProtocolsAreRefused) {
  resolve();
  receive(frame4(ipv4(Bytes(20), 132)));
  auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0][34], 3);
  EXPECT_EQ(frames[0][35], 2);
  receive(frame6(ipv6(Bytes{132, 0, 1, 4, 0, 0, 0, 0} + Bytes(20), 60)));
  frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames.back()[54], 4);  // parameter problem: unrecognised next header, at the option header's first byte
  EXPECT_EQ(frames.back()[55], 1);
  EXPECT_EQ(wire::load_be32(frames.back().data() + 58), 40u);
}

class IpLayer_ParameterProblem : public IpLayerTest {
 protected:
  IpLayer_ParameterProblem() { resolve(); }
  /// The answer's code and pointer; nothing: it was dropped in silence. Counted in any case.
  std::optional<std::pair<int, std::uint32_t>> answer(const Bytes& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(frame)));
    EXPECT_EQ(drops(reason), before + 1);
    const auto frames = sent();
    if (frames.empty()) return std::nullopt;
    EXPECT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0][54], 4);
    EXPECT_EQ(Bytes(frames[0].begin() + 62, frames[0].end()), Bytes(frame.begin() + 14, frame.end()));
    return std::pair(int{frames[0][55]}, wire::load_be32(frames[0].data() + 58));
  }
  static Bytes with_option(std::uint8_t type, const Bytes& payload = tcp_segment(), std::uint8_t protocol = 6) {
    return Bytes{protocol, 0, type, 2, 0, 0, 0, 0} + payload;
  }
};

TEST_F(IpLayer_ParameterProblem, UnknownOptionsAreAnsweredAsTheirTypeAsks) {  // RFC 8200 4.2
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(frame6(ipv6(with_option(0x1e), 60)))));
  EXPECT_FALSE(answer(frame6(ipv6(with_option(0x5e), 60)), DropReason::kIpv6UnknownOption));
  for (const std::uint8_t header : {std::uint8_t{0}, std::uint8_t{60}}) {
    EXPECT_EQ(answer(frame6(ipv6(with_option(0x9e), header)), DropReason::kIpv6UnknownOption), (std::pair{2, 42u}));
    EXPECT_EQ(answer(frame6(ipv6(with_option(0xde), header)), DropReason::kIpv6UnknownOption), (std::pair{2, 42u}));
  }
}

TEST_F(IpLayer_ParameterProblem, ToAGroupOnlyOptionsThatAskForItAreAnswered) {
  const IpAddress all = wire::all_nodes_group();
  const MacAddress mac = wire::group_mac(all);
  EXPECT_FALSE(answer(frame6(ipv6(with_option(0xde), 60, kPeer6, all), mac), DropReason::kIpv6UnknownOption));
  EXPECT_EQ(answer(frame6(ipv6(with_option(0x9e), 60, kPeer6, all), mac), DropReason::kIpv6UnknownOption), (std::pair{2, 42u}));
  const IpAddress other = addr("ff02::77");
  EXPECT_FALSE(
      answer(frame6(ipv6(with_option(0x9e), 60, kPeer6, other), wire::group_mac(other)), DropReason::kIpv6UnknownOption));
}

TEST_F(IpLayer_ParameterProblem, SourceRoutesAreDroppedAndAnswered) {  // RFC 5095 3, RFC 8200 4.4
  const Bytes routing{6, 2, 0, 1, 0, 0, 0, 0};
  EXPECT_EQ(answer(frame6(ipv6(routing + Bytes(16) + tcp_segment(), 43)), DropReason::kIpv6RoutingHeader), (std::pair{0, 42u}));
}

TEST_F(IpLayer_ParameterProblem, AHopByHopHeaderOutOfPlaceIsAnswered) {  // RFC 8200 4.1
  const Bytes chain = Bytes{0, 0, 1, 4, 0, 0, 0, 0} + Bytes{6, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(answer(frame6(ipv6(chain + tcp_segment(), 60)), DropReason::kIpv6BadExtension), (std::pair{1, 40u}));
}

TEST_F(IpLayer_ParameterProblem, NothingIsAnsweredToWhoMayNotHearOfIt) {  // RFC 4443 2.4 e
  const auto reason = DropReason::kIpv6UnknownOption;
  const Bytes payload = with_option(0x9e);
  for (const char* source : {"::", "::1", "ff02::1", "2001:db8::2", "::ffff:198.18.0.1"}) {
    EXPECT_FALSE(answer(frame6(ipv6(payload, 60, addr(source))), reason)) << source;
  }
  EXPECT_FALSE(answer(frame6(ipv6(payload, 60, kPeer6, addr("2001:db8::77"))), reason)) << "not for us";
  EXPECT_FALSE(answer(frame6(ipv6(payload, 60), MacAddress::broadcast()), reason)) << "a broadcast of the link";
  EXPECT_FALSE(answer(frame6(ipv6(with_option(0x9e, icmp(1, 0, 0, Bytes(48), kPeer6, kUs6), 58), 60)), reason)) << "an error";
  EXPECT_TRUE(answer(frame6(ipv6(with_option(0x9e, icmp(128, 0, 0, {}, kPeer6, kUs6), 58), 60)), reason)) << "a ping";
}

TEST_F(IpLayer_ParameterProblem, PaddingOfTheFrameIsNotQuoted) {
  receive(frame6(ipv6(with_option(0x9e, {}), 60)) + Bytes(6, 0xee));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].size(), 62u + 40 + 8);
}

TEST_F(IpLayer_Icmp, EchoRepliesAreRateLimitedApartFromErrors) {
  resolve();
  const Bytes ping = frame4(ipv4(icmp(8, 0, 1, text("ping")), 1));
  const Bytes ping6 = frame6(ipv6(icmp(128, 0, 1, {}, kPeer6, kUs6), 58));
  for (int i = 0; i < 500; ++i) receive(i % 2 == 0 ? ping : ping6);
  EXPECT_EQ(sent().size(), static_cast<std::size_t>(limits::kIcmpEchoReplyBurst));
  EXPECT_EQ(drops(DropReason::kIcmpEchoRateLimited), 500u - limits::kIcmpEchoReplyBurst);
  receive(frame4(ipv4(Bytes{0, 1, 0, 2, 0, 8, 0, 0}, 17)));
  EXPECT_EQ(sent().size(), 1u) << "the flood of pings does not silence errors";
  pass(Duration::milliseconds(50));
  for (int i = 0; i < 500; ++i) receive(ping);
  EXPECT_EQ(sent().size(), static_cast<std::size_t>(limits::kIcmpEchoRepliesPerSecond / 20));
}

TEST_F(IpLayer_Icmp, ErrorsAreRateLimited) {
  resolve();
  const Bytes udp = frame4(ipv4(Bytes{0, 1, 0, 2, 0, 8, 0, 0}, 17));
  for (int i = 0; i < 200; ++i) receive(udp);
  EXPECT_EQ(sent().size(), static_cast<std::size_t>(limits::kIcmpErrorBurst));
  EXPECT_EQ(drops(DropReason::kIcmpRateLimited), 150u);
  pass(Duration::milliseconds(100));
  for (int i = 0; i < 200; ++i) receive(udp);
  EXPECT_EQ(sent().size(), 10u);
}

TEST_F(IpLayer_Icmp, NoErrorAboutAnErrorOrToAGroup) {
  // An ICMP error about something that we never sent is dropped without an answer.
  expect_dropped(frame4(ipv4(icmp(3, 3, 0, ipv4(tcp_segment(), 6, kPeer, kFar)), 1)), DropReason::kIcmpBadQuote);
  const Bytes udp{0, 1, 0, 2, 0, 8, 0, 0};
  expect_dropped(frame4(ipv4(udp, 17, kPeer, addr("255.255.255.255")), MacAddress::broadcast()), DropReason::kGroupNotForUs);
  expect_dropped(frame4(ipv4(udp, 17, addr("0.0.0.0"))), DropReason::kMartianSource);
}

TEST_F(IpLayer_Icmp, ErrorsAboutOurSegmentsArePassedUp) {
  const Bytes segment = tcp_segment();
  const Bytes quote = ipv4(segment, 6, kUs, kFar);
  struct Case {
    std::uint8_t type, code;
    std::uint32_t rest;
    Kind kind;
    std::uint16_t mtu;
  };
  for (const Case& c : {Case{3, 0, 0, Kind::kUnreachable, 0}, Case{3, 1, 0, Kind::kUnreachable, 0},
                        Case{3, 3, 0, Kind::kPortUnreachable, 0}, Case{3, 4, 1400, Kind::kPacketTooBig, 1400},
                        Case{11, 0, 0, Kind::kTimeExceeded, 0}, Case{12, 0, 0, Kind::kUnreachable, 0}}) {
    auto received = receive(frame4(ipv4(icmp(c.type, c.code, c.rest, quote, addr("192.0.2.1")), 1, addr("192.0.2.1"))));
    const auto& error = std::get<TransportError>(received);
    EXPECT_EQ(error.kind, c.kind);
    EXPECT_EQ(error.mtu, c.mtu);
    EXPECT_EQ(error.source, kUs);
    EXPECT_EQ(error.destination, kFar);
    EXPECT_EQ(error.protocol, kProtocolTcp);
    EXPECT_TRUE(std::equal(std::begin(error.quoted), std::end(error.quoted), segment.begin()));
  }
  const Bytes quote6 = ipv6(segment, 6, kUs6, addr("2001:db8:1::9"));
  for (const Case& c : {Case{1, 0, 0, Kind::kUnreachable, 0}, Case{1, 4, 0, Kind::kPortUnreachable, 0},
                        Case{2, 0, 1280, Kind::kPacketTooBig, 1280}, Case{2, 0, 100'000, Kind::kPacketTooBig, 65535},
                        Case{3, 0, 0, Kind::kTimeExceeded, 0}}) {
    auto received = receive(frame6(ipv6(icmp(c.type, c.code, c.rest, quote6, kPeer6, kUs6), 58)));
    const auto& error = std::get<TransportError>(received);
    EXPECT_EQ(error.kind, c.kind);
    EXPECT_EQ(error.mtu, c.mtu);
    EXPECT_EQ(error.source, kUs6);
  }
}

TEST_F(IpLayer_Send, FindsPathsAndTheirSources) {
  EXPECT_EQ(layer.path_to(kPeer)->source, kUs);
  EXPECT_EQ(layer.path_to(kFar)->source, kUs);
  EXPECT_EQ(layer.path_to(kFar)->mtu, 1500);
  EXPECT_EQ(layer.path_to(addr("2001:db8:9::1"))->source, kUs6);
  EXPECT_EQ(layer.path_to(addr("fe80::9"))->source, wire::link_local_address(kOurMac));
  for (const char* nowhere :
       {"127.0.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.255", "0.0.0.0", "198.18.0.2", "::1", "ff02::1", "::"}) {
    EXPECT_FALSE(layer.path_to(addr(nowhere))) << nowhere;
  }
}

TEST_F(IpLayer_Send, LabelsIpv6FlowsAlikeAndFlowsDifferently) {  // RFC 6437 3
  resolve();
  const auto label_of = [&](std::uint16_t port, const IpAddress& to, std::uint8_t last = 0) {
    Bytes segment = tcp_segment();
    wire::store_be16(segment.data(), port);
    segment.back() = last;
    send(to, segment);
    const auto frames = sent();
    return frames.size() == 1 ? wire::load_be32(frames[0].data() + 14) & 0xf'ffff : 0;
  };
  std::vector<std::uint32_t> labels;
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    labels.push_back(label_of(port, kPeer6));
    EXPECT_EQ(label_of(port, kPeer6, 7), labels.back());
    EXPECT_NE(labels.back(), 0u);
  }
  std::ranges::sort(labels);
  EXPECT_GE(std::ranges::distance(labels.begin(), std::ranges::unique(labels).begin()), 99);
}

TEST_F(IpLayer_Send, FlowLabelsDependOnASecret) {
  Rng other_rng(2);
  IpLayer other({{interface()}}, {}, timers, pool, other_rng, now);
  const auto label_of = [&](IpLayer& ip) {
    nic::Packet packet = pool.allocate();
    packet.append(tcp_segment());
    ip.send(std::move(packet), kUs6, kPeer6, kProtocolTcp, 0, now);
    nic::Packet answer = pool.copy_of(advertisement());
    EXPECT_TRUE(std::holds_alternative<std::monostate>(ip.receive(std::move(answer), now)));
    return wire::load_be32(ip.outgoing(0).back().data() + 14) & 0xf'ffff;
  };
  EXPECT_NE(label_of(layer), label_of(other));
}

TEST_F(IpLayer_Send, WritesWholeFramesToTheGateway) {
  resolve();
  EXPECT_TRUE(send(kFar));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], ethernet(0x0800, ipv4(tcp_segment(), 6, kUs, kFar), kPeerMac, kOurMac));
}

TEST_F(IpLayer_Send, RefusesWhatCannotGoOutAndCountsIt) {
  EXPECT_FALSE(send(addr("224.0.0.1")));
  EXPECT_EQ(drops(DropReason::kSendNoRoute), 1u);
  EXPECT_FALSE(send(kPeer, Bytes(1481)));
  EXPECT_EQ(drops(DropReason::kSendTooBig), 1u);
  EXPECT_FALSE(send(kPeer6, Bytes(1461)));
  EXPECT_EQ(drops(DropReason::kSendTooBig), 2u);
  EXPECT_TRUE(send(kPeer, Bytes(1480)));
  EXPECT_FALSE(layer.send(pool.allocate(), addr("198.18.0.77"), kPeer, 6, 0, now));
  EXPECT_FALSE(layer.send(pool.allocate(), kUs, kPeer6, 6, 0, now));
  EXPECT_EQ(drops(DropReason::kSendBadSource), 2u);
}

TEST_F(IpLayer_Send, AFullQueueDropsAndCounts) {
  resolve();
  std::size_t accepted = 0;
  while (accepted < 10'000 && send(kPeer, {1})) ++accepted;
  EXPECT_EQ(accepted, Link::kQueueFrames);
  EXPECT_EQ(drops(DropReason::kSendQueueFull), 1u);
  // The port takes some: there is room again, and the order stays.
  layer.outgoing_taken(0, 3);
  EXPECT_TRUE(send(kPeer, {2}));
  EXPECT_EQ(layer.outgoing(0).size(), Link::kQueueFrames - 2);
  EXPECT_EQ(layer.outgoing(0).back().bytes().back(), 2);
}

TEST_F(IpLayer_Send, AnnouncesEveryAddress) {
  layer.announce(now);
  auto frames = sent();
  ASSERT_EQ(frames.size(), 4u);  // the groups that we are in, IPv4, IPv6, link-local
  frames.erase(frames.begin());
  EXPECT_EQ(frames[0], gratuitous_arp(kUs, kOurMac));
  const IpAddress group = wire::all_nodes_group();
  const wire::NeighbourMessage message{.is_advertisement = true, .override_ = true, .target = kUs6, .link_address = kOurMac};
  Bytes expected = neighbour_message(message, kUs6, group, wire::group_mac(group));
  std::copy(kOurMac.bytes.begin(), kOurMac.bytes.end(), expected.begin() + 6);
  EXPECT_EQ(frames[1], expected);
}

class IpLayer_PathMtu : public IpLayerTest {
 protected:
  [[nodiscard]] std::size_t mtu(const IpAddress& to) const { return layer.path_to(to)->mtu; }
  const IpAddress far6 = addr("2001:db8:9::1");
};

TEST_F(IpLayer_PathMtu, WhatWasLearnedHoldsForTheDestination) {
  EXPECT_EQ(layer.learn_path_mtu(kFar, 1400, now), 1400);
  EXPECT_EQ(layer.learn_path_mtu(far6, 1300, now), 1300);
  EXPECT_EQ(mtu(kFar), 1400u);
  EXPECT_EQ(mtu(far6), 1300u);
  EXPECT_EQ(mtu(addr("203.0.113.10")), 1500u);
  EXPECT_EQ(mtu(addr("2001:db8:9::2")), 1500u);
}

TEST_F(IpLayer_PathMtu, IsForgottenAfterTenMinutes) {  // RFC 1191 6.3, RFC 8201 4
  layer.learn_path_mtu(kFar, 1400, now);
  pass(Duration::seconds(300));
  layer.learn_path_mtu(far6, 1400, now);
  pass(Duration::seconds(299));
  EXPECT_EQ(mtu(kFar), 1400u);
  pass(Duration::seconds(2));
  EXPECT_EQ(mtu(kFar), 1500u);
  EXPECT_EQ(mtu(far6), 1400u);
  pass(Duration::seconds(300));
  EXPECT_EQ(layer.path_mtus(), 0u);
}

TEST_F(IpLayer_PathMtu, NoMessageMakesItGrow) {
  layer.learn_path_mtu(kFar, 1400, now);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 1450, now), 1400);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 9000, now), 1400);
  EXPECT_EQ(layer.learn_path_mtu(addr("203.0.113.10"), 9000, now), 1500);
  EXPECT_EQ(layer.path_mtus(), 1u);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 1300, now), 1300);
}

TEST_F(IpLayer_PathMtu, NeverFallsBelowItsFloor) {
  EXPECT_EQ(layer.learn_path_mtu(kFar, 68, now), 552);
  EXPECT_EQ(layer.learn_path_mtu(far6, 1279, now), 1500) << "RFC 8201 4: discarded";
  EXPECT_EQ(layer.learn_path_mtu(far6, 0, now), 1500);
  EXPECT_EQ(layer.learn_path_mtu(far6, 1280, now), 1280);
}

TEST_F(IpLayer_PathMtu, RoutersThatTellNoNumberMakeItFallByPlateaus) {  // RFC 1191 5, 7.1
  EXPECT_EQ(layer.learn_path_mtu(kFar, 0, now), 1492);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 0, now), 1006);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 0, now), 552);
  EXPECT_EQ(layer.learn_path_mtu(kFar, 0, now), 552);
}

TEST_F(IpLayer_PathMtu, OfTooManyTheOldestIsForgotten) {
  const auto host = [](std::size_t i) {
    return IpAddress::v4(203, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
  };
  for (std::size_t i = 0; i <= limits::kPathMtuEntries; ++i) layer.learn_path_mtu(host(i), 1400, now);
  EXPECT_EQ(layer.path_mtus(), limits::kPathMtuEntries);
  EXPECT_EQ(mtu(host(0)), 1500u);
  EXPECT_EQ(mtu(host(1)), 1400u);
  EXPECT_EQ(mtu(host(limits::kPathMtuEntries)), 1400u);
}

TEST_F(IpLayer_PathMtu, WithoutAPathNothingIsLearned) {
  EXPECT_EQ(layer.learn_path_mtu(addr("224.0.0.1"), 1400, now), 0);
  EXPECT_EQ(layer.path_mtus(), 0u);
}

class IpLayer_Vlan : public IpLayerTest {
 protected:
  static InterfaceConfig in_vlan_5() {
    InterfaceConfig config = interface();
    config.vlan = 5;
    return config;
  }
  IpLayer_Vlan() : IpLayerTest({in_vlan_5()}) {}
  static Bytes tagged(const Bytes& frame, std::uint16_t tag) {
    Bytes out(frame.begin(), frame.begin() + 12);
    out = out + Bytes{0x81, 0, static_cast<std::uint8_t>(tag >> 8), static_cast<std::uint8_t>(tag)};
    out.insert(out.end(), frame.begin() + 12, frame.end());
    return out;
  }
};

TEST_F(IpLayer_Vlan, AcceptsItsOwnTagOnly) {
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(tagged(kTcp4, 5))));
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(tagged(kTcp6, 0xe005)))) << "any priority";
  expect_dropped(tagged(kTcp4, 6), DropReason::kEthernetVlan);
  expect_dropped(tagged(kTcp4, 0), DropReason::kEthernetVlan);  // priority-tagged: of no VLAN
  expect_dropped(kTcp4, DropReason::kEthernetVlan);
}

TEST_F(IpLayer_Vlan, TagsAllThatItSends) {
  layer.announce(now);
  receive(tagged(arp_request(kUs), 5));
  send(kPeer);
  receive(tagged(frame4(ipv4(icmp(8, 0, 1, text("ping")), 1)), 5));
  const auto frames = sent();
  EXPECT_GE(frames.size(), 7u);
  for (const Bytes& frame : frames) EXPECT_EQ(wire::EthernetView::parse(frame)->vlan, 5);
}

TEST_F(IpLayer_Vlan, TheTagIsPartOfTheLinkHeaderThatDevicesHearOf) {
  receive(tagged(arp_request(kUs), 5));
  sent();
  send(kPeer);
  const nic::Packet& frame = layer.outgoing(0).back();
  EXPECT_EQ(frame.l2_size(), 18);
  EXPECT_EQ(frame.l3_size(), 20);
  EXPECT_EQ(frame.data()[18], 0x45);
  EXPECT_EQ(layer.path_to(kPeer)->mtu, 1500) << "the MTU counts IP bytes";
}

class IpLayer_Offload : public IpLayerTest {
 protected:
  static InterfaceConfig able() {
    InterfaceConfig config = interface();
    config.tx.ip_checksum = config.tx.tcp_checksum = true;
    return config;
  }
  IpLayer_Offload() : IpLayerTest({able()}) {}
};

TEST_F(IpLayer_Offload, LeavesChecksumsToTheDevice) {
  EXPECT_TRUE(layer.path_to(kPeer)->tx.tcp_checksum);
  nic::Packet packet = pool.allocate();
  packet.append(tcp_segment());
  packet.set_offload(nic::Offload::kFillTcpChecksum);
  resolve();
  layer.send(std::move(packet), kUs, kPeer, 6, 0, now);
  const nic::Packet& frame = layer.outgoing(0).back();
  EXPECT_EQ(frame.offload(), nic::Offload::kFillIpChecksum | nic::Offload::kFillTcpChecksum);
  EXPECT_EQ(frame.l2_size(), 14);
  EXPECT_EQ(frame.l3_size(), 20);
  EXPECT_EQ(wire::load_be16(frame.data() + 24), 0);
}

}  // namespace
}  // namespace millrace::ip::test
