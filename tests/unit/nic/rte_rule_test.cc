// The patterns that devices get, item by item.
#include "nic/rte_rule.h"

#include <gtest/gtest.h>

#include <rte_byteorder.h>

#include <algorithm>
#include <vector>

namespace millrace::nic {
namespace {

std::vector<rte_flow_item_type> types(const RteRule& rule) {
  std::vector<rte_flow_item_type> list;
  for (const rte_flow_item* item = rule.items(); item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    list.push_back(item->type);
    EXPECT_EQ(item->last, nullptr);
  }
  return list;
}

template <typename Header>
const Header& value(const RteRule& rule, std::size_t item) {
  return *static_cast<const Header*>(rule.items()[item].spec);
}
template <typename Header>
const Header& mask(const RteRule& rule, std::size_t item) {
  return *static_cast<const Header*>(rule.items()[item].mask);
}

TEST(RteRule, IsForWhatArrivesAtItsPriority) {
  const RteRule rule(DeviceRule{.priority = 3});
  EXPECT_EQ(rule.attributes().priority, 3u);
  EXPECT_EQ(rule.attributes().ingress, 1u);
  EXPECT_EQ(rule.attributes().egress, 0u);
  EXPECT_EQ(rule.attributes().group, 0u);
}

TEST(RteRule, NamesPrefixesAndPortsOfIpv4) {
  const RteRule rule(DeviceRule{.source = IpPrefix::parse("198.18.0.0/15"),
                                .destination = IpPrefix::parse("198.18.0.2/32"),
                                .protocol = FlowMatch::kTcp,
                                .destination_port = {443, 0xffff}});
  EXPECT_EQ(types(rule), (std::vector{RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_TCP}));
  EXPECT_EQ(rule.items()[0].spec, nullptr);
  const auto& ip = value<rte_flow_item_ipv4>(rule, 1).hdr;
  const auto& ip_mask = mask<rte_flow_item_ipv4>(rule, 1).hdr;
  EXPECT_EQ(rte_be_to_cpu_32(ip.src_addr), 0xc612'0000u);
  EXPECT_EQ(rte_be_to_cpu_32(ip_mask.src_addr), 0xfffe'0000u);
  EXPECT_EQ(rte_be_to_cpu_32(ip.dst_addr), 0xc612'0002u);
  EXPECT_EQ(rte_be_to_cpu_32(ip_mask.dst_addr), 0xffff'ffffu);
  EXPECT_EQ(ip.next_proto_id, 6);
  EXPECT_EQ(ip_mask.next_proto_id, 0xff);
  EXPECT_EQ(ip_mask.version_ihl, 0);
  EXPECT_EQ(rte_be_to_cpu_16(value<rte_flow_item_tcp>(rule, 2).hdr.dst_port), 443);
  EXPECT_EQ(mask<rte_flow_item_tcp>(rule, 2).hdr.dst_port, 0xffff);
  EXPECT_EQ(mask<rte_flow_item_tcp>(rule, 2).hdr.src_port, 0);
  EXPECT_EQ(mask<rte_flow_item_tcp>(rule, 2).hdr.tcp_flags, 0);
}

TEST(RteRule, NamesPrefixesAndPortsOfIpv6InAVlan) {
  const RteRule rule(DeviceRule{.vlan = 7,
                                .v4 = false,
                                .source = IpPrefix::parse("2001:db8::/33"),
                                .protocol = FlowMatch::kUdp,
                                .source_port = {0x0400, 0xfc00}});
  EXPECT_EQ(types(rule),
            (std::vector{RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP}));
  EXPECT_EQ(rte_be_to_cpu_16(value<rte_flow_item_vlan>(rule, 1).tci), 7);
  EXPECT_EQ(rte_be_to_cpu_16(mask<rte_flow_item_vlan>(rule, 1).tci), 0x0fff);
  const auto& ip = value<rte_flow_item_ipv6>(rule, 2).hdr;
  const auto& ip_mask = mask<rte_flow_item_ipv6>(rule, 2).hdr;
  EXPECT_EQ(ip.src_addr[0], 0x20);
  EXPECT_EQ(ip.src_addr[3], 0xb8);
  EXPECT_EQ(ip_mask.src_addr[3], 0xff);
  EXPECT_EQ(ip_mask.src_addr[4], 0x80);
  EXPECT_EQ(ip_mask.src_addr[5], 0);
  EXPECT_EQ(ip.proto, 17);
  EXPECT_EQ(rte_be_to_cpu_16(value<rte_flow_item_udp>(rule, 3).hdr.src_port), 0x0400);
  EXPECT_EQ(rte_be_to_cpu_16(mask<rte_flow_item_udp>(rule, 3).hdr.src_port), 0xfc00);
}

TEST(RteRule, ARuleForEverythingNamesTheFamilyOnly) {
  const RteRule rule(DeviceRule{});
  EXPECT_EQ(types(rule), (std::vector{RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4}));
  const auto* bytes = static_cast<const std::uint8_t*>(rule.items()[1].mask);
  EXPECT_TRUE(std::all_of(bytes, bytes + sizeof(rte_flow_item_ipv4), [](std::uint8_t byte) { return byte == 0; }));
}

TEST(RteRule, OtherProtocolsAreNumbers) {
  const RteRule rule(DeviceRule{.v4 = false, .protocol = 132});
  EXPECT_EQ(types(rule), (std::vector{RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV6}));
  EXPECT_EQ(value<rte_flow_item_ipv6>(rule, 1).hdr.proto, 132);
}

}  // namespace
}  // namespace millrace::nic
