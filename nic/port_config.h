// What a port is made from: plain data that the app fills in from `millrace.v1.Dataplane`. No DPDK type, no behaviour.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/flow_rule.h"

namespace millrace::nic {

/// A TAP interface that the port creates and that disappears with it.
struct TapConfig {
  std::string interface;            ///< of the kernel's end, at most 15 bytes
  std::string netns;                ///< named network namespace in which the kernel's end shall be; empty: ours
  std::optional<MacAddress> mac{};  ///< of the gateway's end (never that of the kernel's end); none: chosen by chance
};

/// An existing kernel interface, through AF_XDP sockets.
struct AfXdpConfig {
  std::string interface;
  std::string netns;              ///< the namespace the interface is in; empty: ours
  std::uint32_t start_queue = 0;  ///< the first of the interface's queues
  std::uint16_t queues = 1;       ///< how many, from that one on; at most one for each worker is used
};

/// A NIC bound to vfio-pci, or of a bifurcated kind (mlx5). It must also stand in EalOptions::pci_addresses.
struct PciConfig {
  std::string address;  ///< "0000:3b:00.0"
};

/// Shared memory with another process of this host.
struct MemifConfig {
  enum class Role : std::uint8_t { kServer, kClient };
  std::string socket;  ///< path of the control socket, absolute, at most 107 bytes; the server creates it
  std::uint32_t id = 0;
  Role role = Role::kServer;
};

/// Any other DPDK virtual device, in DPDK's words: "net_null0,size=64".
struct VdevConfig {
  std::string args;
};

using DeviceConfig = std::variant<TapConfig, AfXdpConfig, PciConfig, MemifConfig, VdevConfig>;

struct PortConfig {
  std::string name{};  ///< unique among ports: letters, digits, '-', '_', at most 32; it becomes part of DPDK's device name
  DeviceConfig device{};
  std::optional<std::uint16_t> mtu{};  ///< largest IP packet, bytes; none: what the device has
  std::uint16_t rx_descriptors = 1024;
  std::uint16_t tx_descriptors = 1024;
  std::vector<FlowRule> rules{};  ///< those that hold here, in their order; the port puts into the device what it takes
  std::uint16_t vlan = 0;         ///< the tag of frames that rules are about; 0: none
};

}  // namespace millrace::nic
