// From a DeviceRule to DPDK's pattern and attributes, for the sources of nic/ and their test only: everybody else sees no rte
// type.
#pragma once

#include <array>

#include <rte_flow.h>

#include "nic/rules/flow_compiler.h"

namespace millrace::nic {

/// Holds what its items point to: stays where it was made.
class RteRule {
 public:
  explicit RteRule(const DeviceRule& rule);
  RteRule(const RteRule&) = delete;
  RteRule& operator=(const RteRule&) = delete;

  [[nodiscard]] const rte_flow_attr& attributes() const { return attributes_; }
  /// Ends with RTE_FLOW_ITEM_TYPE_END. Fields that the rule leaves open are masked out.
  [[nodiscard]] const rte_flow_item* items() const { return items_.data(); }

 private:
  /// The value and the mask of one header.
  template <typename Header>
  struct Masked {
    Header value{};
    Header mask{};
  };

  void add(rte_flow_item_type type, const void* value = nullptr, const void* mask = nullptr);
  void add_ipv4(const DeviceRule& rule);
  void add_ipv6(const DeviceRule& rule);
  template <typename Header>
  void add_ports(rte_flow_item_type type, const DeviceRule& rule, Masked<Header>& header);

  rte_flow_attr attributes_{};
  Masked<rte_flow_item_vlan> vlan_;
  Masked<rte_flow_item_ipv4> ipv4_;
  Masked<rte_flow_item_ipv6> ipv6_;
  Masked<rte_flow_item_tcp> tcp_;
  Masked<rte_flow_item_udp> udp_;
  std::array<rte_flow_item, 5> items_{};  // Ethernet, tag, IP, transport, end
  std::size_t used_ = 0;
};

}  // namespace millrace::nic
