#include "nic/rte_rule.h"

#include <algorithm>
#include <cstdint>

#include <rte_byteorder.h>

#include "dataplane/base/assert.h"

namespace millrace::nic {
namespace {

constexpr std::uint16_t kVlanIdentifierMask = 0x0fff;

/// Writes `prefix` of `size` bytes and its mask.
void write_prefix(const std::optional<IpPrefix>& prefix, std::size_t size, std::uint8_t* value, std::uint8_t* mask) {
  if (!prefix) return;
  const auto bytes = prefix->address.bytes().last(size);
  for (std::size_t i = 0; i < size; ++i) {
    const int bits = std::clamp(static_cast<int>(prefix->length) - static_cast<int>(8 * i), 0, 8);
    mask[i] = static_cast<std::uint8_t>(0xff00 >> bits);
    value[i] = bytes[i] & mask[i];
  }
}

}  // namespace

RteRule::RteRule(const DeviceRule& rule) {
  attributes_.priority = rule.priority;
  attributes_.ingress = 1;
  add(RTE_FLOW_ITEM_TYPE_ETH);
  if (rule.vlan != 0) {
    vlan_.value.tci = rte_cpu_to_be_16(rule.vlan);
    vlan_.mask.tci = rte_cpu_to_be_16(kVlanIdentifierMask);
    add(RTE_FLOW_ITEM_TYPE_VLAN, &vlan_.value, &vlan_.mask);
  }
  rule.v4 ? add_ipv4(rule) : add_ipv6(rule);
  if (rule.protocol == FlowMatch::kTcp) add_ports(RTE_FLOW_ITEM_TYPE_TCP, rule, tcp_);
  if (rule.protocol == FlowMatch::kUdp) add_ports(RTE_FLOW_ITEM_TYPE_UDP, rule, udp_);
  add(RTE_FLOW_ITEM_TYPE_END);
}

void RteRule::add(rte_flow_item_type type, const void* value, const void* mask) {
  MR_ASSERT(used_ < items_.size());
  items_[used_++] = {.type = type, .spec = value, .last = nullptr, .mask = mask};
}

void RteRule::add_ipv4(const DeviceRule& rule) {
  constexpr std::size_t kSize = 4;
  auto& value = ipv4_.value.hdr;
  auto& mask = ipv4_.mask.hdr;
  write_prefix(rule.source, kSize, reinterpret_cast<std::uint8_t*>(&value.src_addr),
               reinterpret_cast<std::uint8_t*>(&mask.src_addr));
  write_prefix(rule.destination, kSize, reinterpret_cast<std::uint8_t*>(&value.dst_addr),
               reinterpret_cast<std::uint8_t*>(&mask.dst_addr));
  if (rule.protocol) {
    value.next_proto_id = *rule.protocol;
    mask.next_proto_id = 0xff;
  }
  add(RTE_FLOW_ITEM_TYPE_IPV4, &ipv4_.value, &ipv4_.mask);
}

void RteRule::add_ipv6(const DeviceRule& rule) {
  auto& value = ipv6_.value.hdr;
  auto& mask = ipv6_.mask.hdr;
  write_prefix(rule.source, sizeof(value.src_addr), value.src_addr, mask.src_addr);
  write_prefix(rule.destination, sizeof(value.dst_addr), value.dst_addr, mask.dst_addr);
  if (rule.protocol) {
    value.proto = *rule.protocol;
    mask.proto = 0xff;
  }
  add(RTE_FLOW_ITEM_TYPE_IPV6, &ipv6_.value, &ipv6_.mask);
}

template <typename Header>
void RteRule::add_ports(rte_flow_item_type type, const DeviceRule& rule, Masked<Header>& header) {
  header.value.hdr.src_port = rte_cpu_to_be_16(rule.source_port.value);
  header.mask.hdr.src_port = rte_cpu_to_be_16(rule.source_port.mask);
  header.value.hdr.dst_port = rte_cpu_to_be_16(rule.destination_port.value);
  header.mask.hdr.dst_port = rte_cpu_to_be_16(rule.destination_port.mask);
  add(type, &header.value, &header.mask);
}

}  // namespace millrace::nic
