// From the configuration's ports to nic's and ip's: plain conversions.
#pragma once

#include <vector>

#include "config/model/dataplane.h"
#include "dataplane/base/flow_rule.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/config.h"
#include "nic/port.h"
#include "nic/port_config.h"

namespace millrace::app {

/// Without rules.
[[nodiscard]] nic::PortConfig port_config(const config::PortConfig& port);
/// What a packet buffer must hold, headroom included, so that a frame of every port's MTU fits.
[[nodiscard]] std::size_t packet_buffer_bytes(const config::Dataplane& machine);
/// A device reads packet memory by physical addresses, or may do so.
[[nodiscard]] bool needs_physical_memory(const config::Dataplane& machine);
/// Memory of the crypto device's queues, about; 0 without one.
[[nodiscard]] std::size_t crypto_device_bytes(const config::Dataplane& machine);
/// Every rule, whatever ports it holds at.
[[nodiscard]] std::vector<FlowRule> all_rules(const config::Dataplane& machine);
/// PCI addresses of ports and of the crypto device: EAL must know them before it starts.
[[nodiscard]] std::vector<std::string> pci_addresses(const config::Dataplane& machine);
/// What the IP layer needs to know of an open port.
[[nodiscard]] ip::InterfaceConfig interface_config(const config::Dataplane& machine, const config::PortConfig& port,
                                                   const nic::PortInfo& info);
/// What may be chosen about TCP, for each connection.
[[nodiscard]] tcp::TcpConfig tcp_config(const config::TcpSettings& settings);
/// The routes of all ports.
[[nodiscard]] std::vector<ip::RouteConfig> route_configs(const config::Dataplane& machine);

}  // namespace millrace::app
