// Ethernet, ARP, IPv4, IPv6, ICMP and neighbour discovery: what is written is read back, what is wrong is named, no prefix and no
// mutation makes a parser read outside its input (vectors are exact allocations: AddressSanitizer watches).
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/neighbour_discovery.h"

namespace millrace::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

const MacAddress kMacA{{2, 0, 0, 0, 0, 1}};
const MacAddress kMacB{{2, 0, 0, 0, 0, 2}};
const IpAddress kA = *IpAddress::parse("192.0.2.1");
const IpAddress kB = *IpAddress::parse("198.51.100.7");
const IpAddress kA6 = *IpAddress::parse("2001:db8::1");
const IpAddress kB6 = *IpAddress::parse("fe80::1234:5678:9abc");

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes ethernet_header(std::uint16_t type) {
  Bytes bytes(14);
  write_ethernet_header(bytes, kMacA, kMacB, type);
  return bytes;
}
Bytes ipv4_packet(std::size_t payload) {
  Bytes bytes(20);
  write_ipv4_header(bytes, {kA, kB, static_cast<std::uint16_t>(payload), 6, 0x2e, 17});
  return bytes + Bytes(payload, 0x55);
}
Bytes ipv6_packet(const Bytes& payload, std::uint8_t protocol) {
  Bytes bytes(40);
  write_ipv6_header(bytes, {kA6, kB6, static_cast<std::uint16_t>(payload.size()), protocol, 0x2e, 17});
  return bytes + payload;
}
Bytes icmp_message(const Bytes& body, bool v6) {
  Bytes bytes(8);
  write_icmp_header(bytes, 8, 1, 0x01020304);
  bytes = bytes + body;
  write_icmp_checksum(bytes, v6 ? kA6 : kA, v6 ? kB6 : kB);
  return bytes;
}
Bytes arp_message() {
  Bytes bytes(28);
  ArpMessage{ArpMessage::Operation::kReply, kMacA, kA, kMacB, kB}.write(bytes);
  return bytes;
}
Bytes neighbour_message() {
  const NeighbourMessage message{
      .is_advertisement = true, .router = true, .solicited = true, .target = kA6, .link_address = kMacA};
  Bytes bytes(message.size());
  message.write(bytes);
  return bytes;
}

TEST(Ethernet, IsReadBack) {
  const auto view = EthernetView::parse(ethernet_header(0x86dd));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->destination, kMacA);
  EXPECT_EQ(view->source, kMacB);
  EXPECT_EQ(view->type, 0x86dd);
  EXPECT_EQ(view->vlan, 0);
  EXPECT_EQ(view->header_size, 14);
}

TEST(Ethernet, LooksThroughOneVlanTag) {
  const auto view = EthernetView::parse(ethernet_header(kEtherTypeVlan) + Bytes{0xe0, 0x05, 0x08, 0x00});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->vlan, 5);
  EXPECT_EQ(view->type, kEtherTypeIpv4);
  EXPECT_EQ(view->header_size, 18);
}

TEST(Ethernet, WritesAVlanTag) {
  Bytes bytes(18);
  write_tagged_ethernet_header(bytes, kMacA, kMacB, 4094, kEtherTypeArp);
  const auto view = EthernetView::parse(bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->destination, kMacA);
  EXPECT_EQ(view->source, kMacB);
  EXPECT_EQ(view->vlan, 4094);
  EXPECT_EQ(view->type, kEtherTypeArp);
  EXPECT_EQ(view->header_size, 18);
}

TEST(Arp, IsReadBack) {
  const auto view = ArpMessage::parse(arp_message());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->operation, ArpMessage::Operation::kReply);
  EXPECT_EQ(view->sender_mac, kMacA);
  EXPECT_EQ(view->sender, kA);
  EXPECT_EQ(view->target_mac, kMacB);
  EXPECT_EQ(view->target, kB);
}

TEST(Arp, RefusesOtherLinksProtocolsAndOperations) {
  for (const auto& [at, value] : {std::pair{1, 6}, {3, 1}, {4, 8}, {5, 16}, {7, 0}, {7, 3}, {6, 1}}) {
    Bytes bytes = arp_message();
    bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
    EXPECT_EQ(ArpMessage::parse(bytes).error(), DropReason::kArpUnsupported) << at;
  }
}

TEST(Ipv4, IsReadBack) {
  const auto view = Ipv4View::parse(ipv4_packet(100) + Bytes(6), false);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->source, kA);
  EXPECT_EQ(view->destination, kB);
  EXPECT_EQ(view->total_length, 120);
  EXPECT_EQ(view->header_size, 20);
  EXPECT_EQ(view->protocol, 6);
  EXPECT_EQ(view->traffic_class, 0x2e);
  EXPECT_EQ(view->ttl, 17);
  EXPECT_FALSE(view->is_fragment);
  EXPECT_FALSE(view->is_source_routed);
}

TEST(Ipv4, NamesWhatIsWrong) {
  const auto error_of = [](std::size_t at, std::uint8_t value, bool verified = true) {
    Bytes bytes = ipv4_packet(100);
    bytes[at] = value;
    return Ipv4View::parse(bytes, verified).error();
  };
  EXPECT_EQ(error_of(0, 0x65), DropReason::kIpv4BadVersion);
  EXPECT_EQ(error_of(0, 0x44), DropReason::kIpv4BadHeaderLength);
  EXPECT_EQ(error_of(3, 19), DropReason::kIpv4BadHeaderLength);
  EXPECT_EQ(error_of(3, 121), DropReason::kIpv4Truncated);
  EXPECT_EQ(error_of(8, 18, false), DropReason::kIpv4BadChecksum);
  EXPECT_EQ(error_of(0, 0x46), DropReason::kIpv4BadOption);  // 0x55 0x55: an option longer than the header
}

TEST(Ipv6, IsReadBack) {
  const auto view = Ipv6View::parse(ipv6_packet(Bytes(30), 6) + Bytes(6));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->source, kA6);
  EXPECT_EQ(view->destination, kB6);
  EXPECT_EQ(view->total_length, 70);
  EXPECT_EQ(view->header_size, 40);
  EXPECT_EQ(view->protocol, 6);
  EXPECT_EQ(view->protocol_at, 6);
  EXPECT_EQ(view->traffic_class, 0x2e);
  EXPECT_EQ(view->hop_limit, 17);
  EXPECT_FALSE(view->is_fragment);
}

TEST(Ipv6, WalksAChainOfExtensionHeaders) {
  const Bytes hop_by_hop{60, 0, 5, 2, 0, 0, 1, 0};                        // router alert, may be skipped
  const Bytes options{43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // 16 bytes of padding
  const Bytes routing{44, 0, 0, 0, 0, 0, 0, 0};                           // type 0, nothing left
  const Bytes whole_fragment{6, 0, 0, 0, 1, 2, 3, 4};
  const auto view = Ipv6View::parse(ipv6_packet(hop_by_hop + options + routing + whole_fragment + Bytes(20), 0));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->protocol, 6);
  EXPECT_EQ(view->header_size, 40 + 8 + 16 + 8 + 8);
  EXPECT_EQ(view->protocol_at, 40 + 8 + 16 + 8);
  EXPECT_FALSE(view->is_fragment);
}

TEST(Ipv6, TellsFragmentsAndLooksNoFurther) {
  for (const Bytes& fragment : {Bytes{60, 0, 0, 1, 0, 0, 0, 0}, Bytes{60, 0, 0, 8, 0, 0, 0, 0}}) {
    const auto view = Ipv6View::parse(ipv6_packet(fragment + Bytes(3), 44));
    ASSERT_TRUE(view);
    EXPECT_TRUE(view->is_fragment);
  }
}

TEST(Ipv6, NamesWhatIsWrong) {
  const auto error_of = [](const Bytes& payload, std::uint8_t protocol) {
    const auto view = Ipv6View::parse(ipv6_packet(payload, protocol));
    EXPECT_FALSE(view);
    return view ? DropReason::kUnknownPort : view.error().reason;
  };
  EXPECT_EQ(error_of({6, 0, 0, 1, 0, 0, 0, 0}, 43), DropReason::kIpv6RoutingHeader);
  EXPECT_EQ(error_of({6, 0, 4, 1, 0, 0, 0, 0}, 43), DropReason::kIpv6RoutingHeader);
  EXPECT_EQ(error_of({6, 0, 0x45, 2, 0, 0, 0, 0}, 60), DropReason::kIpv6UnknownOption);
  EXPECT_EQ(error_of({6, 0, 0xc2, 4, 0, 1, 0, 0}, 0), DropReason::kIpv6UnknownOption);  // jumbo payload
  EXPECT_EQ(error_of({6, 0, 1, 5, 0, 0, 0, 0}, 60), DropReason::kIpv6BadExtension);     // option longer than its header
  EXPECT_EQ(error_of({6, 1, 1, 4, 0, 0, 0, 0}, 60), DropReason::kIpv6BadExtension);     // header longer than the packet
  EXPECT_EQ(error_of({6, 0, 1}, 60), DropReason::kIpv6BadExtension);
  EXPECT_EQ(error_of({0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0}, 60),
            DropReason::kIpv6BadExtension);  // hop-by-hop not first
  EXPECT_EQ(error_of({}, 59), DropReason::kIpv6NoNextHeader);
  Bytes chain;
  for (std::size_t i = 0; i < kMaxIpv6ExtensionHeaders; ++i) chain = chain + Bytes{60, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(error_of(chain + Bytes{6, 0, 1, 4, 0, 0, 0, 0}, 60), DropReason::kIpv6TooManyExtensions);
  EXPECT_EQ(error_of(Bytes{6, 64, 1, 255} + Bytes(256) + Bytes{1, 255} + Bytes(258), 60), DropReason::kIpv6TooManyExtensions);
  EXPECT_EQ(error_of({44, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0, 1}, 44), DropReason::kIpv6BadFragment);  // nested
  Bytes wrong = ipv6_packet({}, 6);
  wrong[0] = 0x45;
  EXPECT_EQ(Ipv6View::parse(wrong).error().reason, DropReason::kIpv6BadVersion);
}

// RFC 8200 4.2: the two highest bits of an unknown option's type.
TEST(Ipv6, UnknownOptionsSayWhatBecomesOfThePacket) {
  using Answer = Ipv6Fault::Answer;
  const auto fault_of = [](int type) {
    return Ipv6View::parse(ipv6_packet({6, 0, 1, 0, static_cast<std::uint8_t>(type), 2, 0, 0}, 60)).error();
  };
  EXPECT_TRUE(Ipv6View::parse(ipv6_packet({6, 0, 1, 0, 0x1e, 2, 0, 0}, 60)));  // 00: pass over
  EXPECT_EQ(fault_of(0x5e).answer, Answer::kNone);
  EXPECT_EQ(fault_of(0x9e).answer, Answer::kAlways);
  EXPECT_EQ(fault_of(0xde).answer, Answer::kUnlessToGroup);
  for (const int type : {0x5e, 0x9e, 0xde}) {
    EXPECT_EQ(fault_of(type).reason, DropReason::kIpv6UnknownOption);
    EXPECT_EQ(fault_of(type).code, ParameterProblem::kUnknownOption);
    EXPECT_EQ(fault_of(type).pointer, 44);
  }
}

// RFC 8200 4.4, RFC 5095 3.
TEST(Ipv6, RoutingHeadersWithNothingLeftArePassedOverOthersAreFaults) {
  const auto routing = [](int type, std::uint8_t left) {
    return Ipv6View::parse(ipv6_packet({6, 0, static_cast<std::uint8_t>(type), left, 0, 0, 0, 0}, 43));
  };
  for (const int type : {0, 2, 3, 4, 77}) {
    EXPECT_TRUE(routing(type, 0)) << type;
    const auto view = routing(type, 1);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().answer, Ipv6Fault::Answer::kUnlessToGroup);
    EXPECT_EQ(view.error().code, ParameterProblem::kBadField);
    EXPECT_EQ(view.error().pointer, 42);
  }
}

TEST(Ipv6, AHopByHopHeaderOutOfPlaceIsAnUnknownNextHeader) {
  const auto view = Ipv6View::parse(ipv6_packet({0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0}, 60));
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, ParameterProblem::kUnknownNextHeader);
  EXPECT_EQ(view.error().pointer, 40);
}

TEST(Ipv6, KnowsWhatCarriesAnIcmpError) {
  const Bytes options{58, 0, 1, 4, 0, 0, 0, 0};
  const Bytes error{1, 0, 0, 0};
  const Bytes echo{128, 0, 0, 0};
  EXPECT_TRUE(carries_icmpv6_error(ipv6_packet(error, 58)));
  EXPECT_TRUE(carries_icmpv6_error(ipv6_packet({137, 0}, 58)));
  EXPECT_TRUE(carries_icmpv6_error(ipv6_packet(options + error, 60)));
  EXPECT_TRUE(carries_icmpv6_error(ipv6_packet(Bytes{58, 0, 0, 1, 0, 0, 0, 9} + error, 44)));
  EXPECT_FALSE(carries_icmpv6_error(ipv6_packet(Bytes{58, 0, 0, 8, 0, 0, 0, 9} + error, 44)));
  EXPECT_FALSE(carries_icmpv6_error(ipv6_packet(echo, 58)));
  EXPECT_FALSE(carries_icmpv6_error(ipv6_packet(options, 60)));
  EXPECT_FALSE(carries_icmpv6_error(ipv6_packet(error, 6)));
  EXPECT_FALSE(carries_icmpv6_error({}));
}

// RFC 7112 5.
TEST(Ipv6, KnowsWhetherAFirstFragmentHasItsWholeHeaderChain) {
  const Bytes first{60, 0, 0, 1, 0, 0, 0, 9};
  const Bytes options{6, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_TRUE(has_whole_header_chain(ipv6_packet(first + options + Bytes(20), 44)));
  EXPECT_FALSE(has_whole_header_chain(ipv6_packet(first + options + Bytes(16), 44)));
  EXPECT_FALSE(has_whole_header_chain(ipv6_packet(first, 44)));
  EXPECT_TRUE(has_whole_header_chain(ipv6_packet(Bytes{58, 0, 0, 1, 0, 0, 0, 9} + Bytes(8), 44)));
  EXPECT_FALSE(has_whole_header_chain(Bytes(39)));
}

TEST(Ipv6, WritesAFlowLabelOfTwentyBits) {
  Bytes bytes(40);
  write_ipv6_header(bytes, {kA6, kB6, 0, 6, 0xff, 64, 0xfff12345});
  EXPECT_EQ(load_be32(bytes.data()), 0x6ff12345u);
}

TEST(Icmp, IsReadBackWithItsOwnPseudoHeader) {
  const Bytes v4 = icmp_message({1, 2, 3}, false);
  const Bytes v6 = icmp_message({1, 2, 3}, true);
  for (const auto& view : {IcmpView::parse_v4(v4), IcmpView::parse_v6(v6, kA6, kB6)}) {
    ASSERT_TRUE(view);
    EXPECT_EQ(view->type, 8);
    EXPECT_EQ(view->code, 1);
    EXPECT_EQ(view->rest, 0x01020304u);
    EXPECT_EQ(Bytes(view->body.begin(), view->body.end()), (Bytes{1, 2, 3}));
  }
  EXPECT_EQ(IcmpView::parse_v4(v6).error(), DropReason::kIcmpBadChecksum);
  EXPECT_EQ(IcmpView::parse_v6(v6, kA6, kA6).error(), DropReason::kIcmpBadChecksum);
}

TEST(Icmp, QuotesOfOurPacketsAreRead) {
  const auto four = QuotedPacket::parse_v4(Bytes(ipv4_packet(8)));
  ASSERT_TRUE(four);
  EXPECT_EQ(four->source, kA);
  EXPECT_EQ(four->destination, kB);
  EXPECT_EQ(four->protocol, 6);
  EXPECT_EQ(four->transport[7], 0x55);
  const auto six = QuotedPacket::parse_v6(ipv6_packet(Bytes(8, 0x66), 6));
  ASSERT_TRUE(six);
  EXPECT_EQ(six->source, kA6);
  EXPECT_EQ(six->transport[0], 0x66);
}

TEST(Icmp, QuotesOfLaterFragmentsAndMappedAddressesAreRefused) {
  Bytes fragment = ipv4_packet(8);
  fragment[7] = 1;
  EXPECT_FALSE(QuotedPacket::parse_v4(fragment));
  Bytes mapped(40);
  write_ipv6_header(mapped, {kA, kB6, 8, 6});
  EXPECT_FALSE(QuotedPacket::parse_v6(mapped + Bytes(8)));
}

TEST(NeighbourDiscovery, IsReadBack) {
  for (unsigned mask = 0; mask < 64; ++mask) {
    NeighbourMessage message{.is_advertisement = (mask & 1) != 0, .target = kA6};
    if (message.is_advertisement) {
      message.router = (mask & 2) != 0;
      message.solicited = (mask & 4) != 0;
      message.override_ = (mask & 8) != 0;
    }
    if (mask & 16) message.link_address = kMacB;
    if (mask & 32) message.nonce = 0x123456789abc;
    Bytes bytes(message.size());
    message.write(bytes);
    const auto view = NeighbourMessage::parse(bytes);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->is_advertisement, message.is_advertisement);
    EXPECT_EQ(view->router, message.router);
    EXPECT_EQ(view->solicited, message.solicited);
    EXPECT_EQ(view->override_, message.override_);
    EXPECT_EQ(view->target, kA6);
    EXPECT_EQ(view->link_address, message.link_address);
    EXPECT_EQ(view->nonce, message.nonce);
  }
}

TEST(NeighbourDiscovery, ReadsRouterAdvertisements) {
  const Bytes header{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes source{1, 1, 2, 0, 0, 0, 0, 2};
  const Bytes mtu{5, 1, 0, 0, 0, 0, 0x05, 0x14};
  const Bytes prefix = Bytes{3, 4, 64, 0xc0} + Bytes(28);
  const auto view = RouterAdvertisement::parse(header + prefix + source + mtu);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->lifetime_seconds, 1800);
  EXPECT_EQ(view->link_address, kMacB);
  EXPECT_EQ(view->mtu, 1300u);
  EXPECT_EQ(RouterAdvertisement::parse(header)->mtu, 0u);
  EXPECT_FALSE(RouterAdvertisement::parse(header)->link_address);
  EXPECT_EQ(RouterAdvertisement::parse(header + Bytes{5, 0, 0, 0, 0, 0, 5, 20}).error(), DropReason::kRouterInvalid);
  EXPECT_EQ(RouterAdvertisement::parse(Bytes(header.begin(), header.begin() + 15)).error(), DropReason::kIcmpTruncated);
}

TEST(NeighbourDiscovery, WritesRouterSolicitations) {
  Bytes bytes(kRouterSolicitationBytes + kLinkAddressOptionBytes);
  write_router_solicitation(bytes, kMacB);
  EXPECT_EQ(bytes, (Bytes{133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2}));
}

TEST(NeighbourDiscovery, PassesOverUnknownOptionsButRefusesEmptyAndOverlongOnes) {
  Bytes bytes = neighbour_message();
  EXPECT_TRUE(NeighbourMessage::parse(bytes + Bytes{77, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(NeighbourMessage::parse(bytes + Bytes{14, 0, 0, 0, 0, 0, 0, 0}).error(), DropReason::kNdInvalid);
  EXPECT_EQ(NeighbourMessage::parse(bytes + Bytes{14, 2, 0, 0, 0, 0, 0, 0}).error(), DropReason::kNdInvalid);
  bytes[1] = 1;  // code
  EXPECT_EQ(NeighbourMessage::parse(bytes).error(), DropReason::kNdInvalid);
}

TEST(NeighbourDiscovery, DerivesGroupsAndLinkLocalAddresses) {
  EXPECT_EQ(solicited_node_group(kB6).to_string(), "ff02::1:ff78:9abc");
  EXPECT_EQ(all_nodes_group().to_string(), "ff02::1");
  EXPECT_EQ(group_mac(solicited_node_group(kB6)).to_string(), "33:33:ff:78:9a:bc");
  EXPECT_EQ(link_local_address({{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}}).to_string(), "fe80::11:22ff:fe33:4455");
}

// Every parser under every truncation and many mutations.
struct Parser {
  std::string name;
  Bytes whole;
  std::function<bool(std::span<const std::uint8_t>)> parse;
};

std::vector<Parser> parsers() {
  const Bytes extensions{60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 1, 2, 3};
  return {
      {"ethernet", ethernet_header(0x0800), [](auto b) { return EthernetView::parse(b).has_value(); }},
      {"vlan", ethernet_header(kEtherTypeVlan) + Bytes{0, 5, 8, 0}, [](auto b) { return EthernetView::parse(b).has_value(); }},
      {"arp", arp_message(), [](auto b) { return ArpMessage::parse(b).has_value(); }},
      {"ipv4", ipv4_packet(9),
       [](auto b) {
         const auto view = Ipv4View::parse(b, true);
         EXPECT_TRUE(!view || (view->header_size <= view->total_length && view->total_length <= b.size()));
         return view.has_value();
       }},
      {"ipv6", ipv6_packet(extensions, 0),
       [](auto b) {
         const auto view = Ipv6View::parse(b);
         EXPECT_TRUE(!view || (view->header_size <= view->total_length && view->total_length <= b.size()));
         return view.has_value();
       }},
      {"icmpv4", icmp_message({1, 2, 3}, false), [](auto b) { return IcmpView::parse_v4(b).has_value(); }},
      {"icmpv6", icmp_message({1, 2, 3}, true), [](auto b) { return IcmpView::parse_v6(b, kA6, kB6).has_value(); }},
      {"quote4", ipv4_packet(8), [](auto b) { return QuotedPacket::parse_v4(b).has_value(); }},
      {"quote6", ipv6_packet(Bytes(8), 6), [](auto b) { return QuotedPacket::parse_v6(b).has_value(); }},
  };
}

TEST(Parsers, RefuseEveryTruncation) {
  for (const Parser& parser : parsers()) {
    EXPECT_TRUE(parser.parse(parser.whole)) << parser.name;
    for (std::size_t size = 0; size < parser.whole.size(); ++size) {
      const Bytes cut(parser.whole.begin(), parser.whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(parser.parse(cut)) << parser.name << " of " << size;
    }
  }
}

TEST(Parsers, ANeighbourMessageMayEndOnlyBetweenOptions) {
  const Bytes whole = neighbour_message();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(NeighbourMessage::parse(cut).has_value(), size == 24) << size;
  }
}

TEST(Parsers, SurviveMutations) {
  Rng rng(3);
  auto all = parsers();
  all.push_back({"nd", neighbour_message(), [](auto b) { return NeighbourMessage::parse(b).has_value(); }});
  for (const Parser& parser : all) {
    for (int round = 0; round < 20'000; ++round) {
      Bytes bytes = parser.whole;
      for (std::uint32_t i = 0, n = 1 + rng.below(4); i < n; ++i) {
        bytes[rng.below(static_cast<std::uint32_t>(bytes.size()))] = static_cast<std::uint8_t>(rng.next());
      }
      bytes.resize(rng.below(static_cast<std::uint32_t>(bytes.size()) + 1));
      bytes.shrink_to_fit();
      parser.parse(bytes);
    }
  }
}

TEST(DropReasons, HaveNamesAndTextsOfTheirOwn) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    names.emplace_back(counter_name(static_cast<DropReason>(i)));
    EXPECT_NE(std::string(to_text(static_cast<DropReason>(i))), "unknown");
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

}  // namespace
}  // namespace millrace::wire
