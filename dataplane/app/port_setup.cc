#include "dataplane/app/port_setup.h"

#include <algorithm>

#include "dataplane/base/limits.h"
#include "nic/crypto_device.h"
#include "nic/ethdev_port.h"

namespace millrace::app {
namespace {

static_assert(tcp::StackConfig{}.first_port == limits::kTcpFirstEphemeralPort, "steering rules end below it");

struct ToDevice {
  nic::DeviceConfig operator()(const config::TapDevice& tap) const {
    return nic::TapConfig{.interface = tap.interface, .netns = tap.netns};
  }
  nic::DeviceConfig operator()(const config::AfXdpDevice& xdp) const {
    return nic::AfXdpConfig{.interface = xdp.interface, .netns = xdp.netns, .start_queue = xdp.start_queue, .queues = xdp.queues};
  }
  nic::DeviceConfig operator()(const config::PciDevice& pci) const { return nic::PciConfig{.address = pci.address}; }
  nic::DeviceConfig operator()(const config::MemifDevice& memif) const {
    return nic::MemifConfig{.socket = memif.socket,
                            .id = memif.id,
                            .role = memif.server ? nic::MemifConfig::Role::kServer : nic::MemifConfig::Role::kClient};
  }
  nic::DeviceConfig operator()(const config::VirtualDevice& vdev) const { return nic::VdevConfig{.args = vdev.args}; }
};

}  // namespace

nic::PortConfig port_config(const config::PortConfig& port) {
  return {.name = port.name, .device = std::visit(ToDevice{}, port.device), .mtu = port.mtu, .vlan = port.vlan};
}

std::vector<FlowRule> all_rules(const config::Dataplane& machine) {
  std::vector<FlowRule> rules;
  for (const config::RuleConfig& config : machine.rules) rules.push_back(config.rule);
  return rules;
}

std::size_t packet_buffer_bytes(const config::Dataplane& machine) {
  std::size_t most = limits::kPacketBufferBytes;
  for (const config::PortConfig& port : machine.ports) most = std::max(most, nic::buffer_bytes_for(port_config(port)));
  constexpr std::size_t kCacheLine = 64;
  return (most + kCacheLine - 1) / kCacheLine * kCacheLine;
}

bool needs_physical_memory(const config::Dataplane& machine) {
  if (!nic::pci_address_of(machine.tls.crypto_device.name).empty()) return true;
  return std::ranges::any_of(machine.ports, [](const config::PortConfig& port) {
    return std::holds_alternative<config::PciDevice>(port.device) || std::holds_alternative<config::VirtualDevice>(port.device);
  });
}

std::size_t crypto_device_bytes(const config::Dataplane& machine) {
  if (machine.tls.record_engine != config::TlsSettings::RecordEngine::kCryptoDevice) return 0;
  return nic::CryptoDevice::memory_bytes(machine.worker_count, machine.tls.crypto_device.connections);
}

std::vector<std::string> pci_addresses(const config::Dataplane& machine) {
  std::vector<std::string> addresses;
  for (const config::PortConfig& port : machine.ports) {
    if (const auto* pci = std::get_if<config::PciDevice>(&port.device)) addresses.push_back(pci->address);
  }
  if (std::string address = nic::pci_address_of(machine.tls.crypto_device.name); !address.empty()) {
    addresses.push_back(std::move(address));
  }
  return addresses;
}

ip::InterfaceConfig interface_config(const config::Dataplane& machine, const config::PortConfig& port,
                                     const nic::PortInfo& info) {
  return {.mac = info.mac,
          .mtu = info.mtu,
          .addresses = port.addresses,
          .vlan = port.vlan,
          .reassemble = machine.fragments == config::Dataplane::Fragments::kReassemble,
          .duplicate_probes = 1,  // RFC 4862's default
          .tx = info.tx};
}

tcp::TcpConfig tcp_config(const config::TcpSettings& settings) {
  tcp::TcpConfig out;
  out.congestion = settings.new_reno ? tcp::CongestionKind::kNewReno : tcp::CongestionKind::kCubic;
  out.nagle = settings.nagle;
  out.pacing = settings.pacing;
  out.ask_for_ecn = settings.request_ecn;
  out.user_timeout = settings.user_timeout;
  out.keep_alive_idle = settings.keep_alive_idle;
  out.keep_alive_interval = settings.keep_alive_interval;
  out.keep_alive_probes = settings.keep_alive_probes;
  out.receive_buffer_bytes = out.send_buffer_bytes = settings.max_buffer_bytes;
  return out;
}

std::vector<ip::RouteConfig> route_configs(const config::Dataplane& machine) {
  std::vector<ip::RouteConfig> routes;
  for (const config::PortConfig& port : machine.ports) {
    for (const config::StaticRoute& route : port.routes) routes.push_back({.to = route.to, .via = route.via});
  }
  return routes;
}

}  // namespace millrace::app
