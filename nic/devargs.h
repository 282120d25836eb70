// From a PortConfig to DPDK's device arguments: pure, and the place where a port's settings are checked. No device is touched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"
#include "nic/port_config.h"

namespace millrace::nic {

struct Devargs {
  std::string device;  ///< the device's name in DPDK: "net_tap_edge", "0000:3b:00.0"
  std::string text;    ///< name and arguments, as rte_dev_probe() takes them
  std::string netns;   ///< to be entered while the device is made; empty: none
};

/// `queues` is the number of queue pairs that will be used. The error names the port, the setting and what is wrong with it.
[[nodiscard]] Result<Devargs, std::string> devargs_of(const PortConfig& config, std::uint16_t queues);

/// Domain, bus, device, function: "0000:3b:00.0".
[[nodiscard]] bool is_pci_address(std::string_view text);

/// The NUMA node of the device, from /sys, before it is opened; -1 where it is unknown or there is none (TAP, memif).
[[nodiscard]] int numa_node_of(const PortConfig& config, const std::string& sysfs = "/sys");

}  // namespace millrace::nic
