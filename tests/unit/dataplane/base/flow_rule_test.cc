#include "dataplane/base/flow_rule.h"

#include <gtest/gtest.h>

#include <string_view>

namespace millrace {
namespace {

FlowKey tcp(std::string_view source, std::string_view destination) {
  const auto from = SocketAddress::parse(source);
  const auto to = SocketAddress::parse(destination);
  return {.source = from->ip,
          .destination = to->ip,
          .protocol = FlowMatch::kTcp,
          .has_ports = true,
          .source_port = from->port,
          .destination_port = to->port};
}

TEST(FlowMatch, AnEmptyOneMatchesEveryIpPacket) {
  EXPECT_TRUE(FlowMatch{}.matches(tcp("198.18.0.1:1", "198.18.0.2:2")));
  EXPECT_TRUE(FlowMatch{}.matches(tcp("[2001:db8::1]:1", "[2001:db8::2]:2")));
}

TEST(FlowMatch, EachConditionMustHold) {
  const FlowMatch match{.source = IpPrefix::parse("198.18.0.0/24"),
                        .destination = IpPrefix::parse("198.18.0.2/32"),
                        .protocol = FlowMatch::kTcp,
                        .source_ports = FlowPortRange{1000, 2000},
                        .destination_ports = FlowPortRange{80, 80}};
  EXPECT_TRUE(match.matches(tcp("198.18.0.1:1000", "198.18.0.2:80")));
  EXPECT_TRUE(match.matches(tcp("198.18.0.255:2000", "198.18.0.2:80")));
  EXPECT_FALSE(match.matches(tcp("198.18.1.1:1000", "198.18.0.2:80")));
  EXPECT_FALSE(match.matches(tcp("198.18.0.1:1000", "198.18.0.3:80")));
  EXPECT_FALSE(match.matches(tcp("198.18.0.1:999", "198.18.0.2:80")));
  EXPECT_FALSE(match.matches(tcp("198.18.0.1:2001", "198.18.0.2:80")));
  EXPECT_FALSE(match.matches(tcp("198.18.0.1:1000", "198.18.0.2:81")));
  FlowKey udp = tcp("198.18.0.1:1000", "198.18.0.2:80");
  udp.protocol = FlowMatch::kUdp;
  EXPECT_FALSE(match.matches(udp));
}

TEST(FlowMatch, PortsNeedPortsToLookAt) {
  FlowKey fragment = tcp("198.18.0.1:1000", "198.18.0.2:80");
  fragment.has_ports = false;
  EXPECT_FALSE((FlowMatch{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{}}.matches(fragment)));
  EXPECT_TRUE((FlowMatch{.protocol = FlowMatch::kTcp}.matches(fragment)));
}

TEST(FlowMatch, IcmpStandsForBothVersions) {
  FlowKey key = tcp("[2001:db8::1]:1", "[2001:db8::2]:2");
  key.protocol = FlowMatch::kIcmpv6;
  EXPECT_TRUE(FlowMatch{.protocol = FlowMatch::kIcmp}.matches(key));
  EXPECT_TRUE(FlowMatch{.protocol = FlowMatch::kIcmpv6}.matches(key));
  key = tcp("198.18.0.1:1", "198.18.0.2:2");
  key.protocol = FlowMatch::kIcmp;
  EXPECT_TRUE(FlowMatch{.protocol = FlowMatch::kIcmp}.matches(key));
  EXPECT_FALSE(FlowMatch{.protocol = FlowMatch::kIcmpv6}.matches(key));
}

TEST(FlowMatch, APrefixNamesItsFamily) {
  const FlowMatch all_v6{.source = IpPrefix::parse("::/0")};
  EXPECT_FALSE(all_v6.covers_family(true));
  EXPECT_TRUE(all_v6.covers_family(false));
  EXPECT_FALSE(all_v6.matches(tcp("198.18.0.1:1", "198.18.0.2:2")));
}

TEST(FlowMatch, IsDisjointWhenOneConditionTellsThemApart) {
  const FlowMatch any;
  const FlowMatch lan{.source = IpPrefix::parse("198.18.0.0/16")};
  EXPECT_FALSE(any.disjoint(lan));
  EXPECT_FALSE(lan.disjoint({.source = IpPrefix::parse("198.18.7.0/24")}));
  EXPECT_FALSE((FlowMatch{.source = IpPrefix::parse("198.18.7.0/24")}.disjoint(lan)));
  EXPECT_TRUE(lan.disjoint({.source = IpPrefix::parse("198.19.0.0/16")}));
  EXPECT_TRUE(lan.disjoint({.source = IpPrefix::parse("::/0")}));
  EXPECT_TRUE(lan.disjoint({.destination = IpPrefix::parse("2001:db8::/32")}));
  EXPECT_FALSE(lan.disjoint({.destination = IpPrefix::parse("198.18.0.2/32")}));
  EXPECT_TRUE((FlowMatch{.protocol = FlowMatch::kTcp}.disjoint({.protocol = FlowMatch::kUdp})));
  EXPECT_FALSE((FlowMatch{.protocol = FlowMatch::kIcmp}.disjoint({.protocol = FlowMatch::kIcmpv6})));
  EXPECT_TRUE((FlowMatch{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{80, 90}}.disjoint(
      {.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{91, 91}})));
  EXPECT_FALSE((FlowMatch{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{80, 90}}.disjoint(
      {.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{90, 91}})));
  EXPECT_FALSE((FlowMatch{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{80, 90}}.disjoint(
      {.protocol = FlowMatch::kTcp, .source_ports = FlowPortRange{1, 1}})));
}

}  // namespace
}  // namespace millrace
