#include "dataplane/ip/link.h"

#include "dataplane/base/assert.h"
#include "dataplane/wire/ethernet.h"

namespace millrace::ip {

Link::Link(std::span<const InterfaceConfig> interfaces) {
  ports_.reserve(interfaces.size());
  for (const InterfaceConfig& config : interfaces) {
    const std::size_t header_size = wire::kEthernetHeaderBytes + (config.vlan != 0 ? wire::kVlanTagBytes : 0);
    ports_.push_back({config, config.mtu, static_cast<std::uint8_t>(header_size), true, {}, 0});
    ports_.back().frames.reserve(kQueueFrames);
  }
}

void Link::set_up(std::size_t interface, bool up) {
  Port& port = ports_[interface];
  port.up = up;
  if (up) return;
  for (std::size_t i = port.taken; i < port.frames.size(); ++i) count(wire::DropReason::kSendLinkDown);
  port.frames.clear();
  port.taken = 0;
}

bool Link::transmit(std::uint8_t interface, const MacAddress& destination, std::uint16_t type, nic::Packet packet) {
  Port& port = ports_[interface];
  if (!port.up) [[unlikely]] {
    count(wire::DropReason::kSendLinkDown);
    return false;
  }
  if (port.frames.size() - port.taken == kQueueFrames) {
    count(wire::DropReason::kSendQueueFull);
    return false;
  }
  if (port.frames.size() == kQueueFrames) {  // room only at the front, where the taken ones stood
    port.frames.erase(port.frames.begin(), port.frames.begin() + static_cast<std::ptrdiff_t>(port.taken));
    port.taken = 0;
  }
  const std::span<std::uint8_t> header(packet.prepend(port.header_size), port.header_size);
  if (port.config.vlan == 0) [[likely]] {
    wire::write_ethernet_header(header, destination, port.config.mac, type);
  } else {
    wire::write_tagged_ethernet_header(header, destination, port.config.mac, port.config.vlan, type);
  }
  port.frames.push_back(std::move(packet));
  return true;
}

std::span<nic::Packet> Link::outgoing(std::size_t interface) {
  Port& port = ports_[interface];
  return std::span(port.frames).subspan(port.taken);
}

void Link::outgoing_taken(std::size_t interface, std::size_t count) {
  Port& port = ports_[interface];
  MR_ASSERT(count <= port.frames.size() - port.taken);
  port.taken += count;
  if (port.taken < port.frames.size()) return;
  port.frames.clear();
  port.taken = 0;
}

}  // namespace millrace::ip
