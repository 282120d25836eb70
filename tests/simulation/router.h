// What a router says when a packet does not fit its next link: ICMP fragmentation needed (RFC 1191), ICMPv6 packet too big
// (RFC 4443 3.2). It speaks from the packet's destination address, which every host believes.
#pragma once

#include <optional>

#include "tests/simulation/network.h"

namespace millrace::sim {

/// The answer to `frame`, an Ethernet frame with an IP packet of more than `mtu` bytes; nothing for other frames and for ICMP.
[[nodiscard]] std::optional<Frame> packet_too_big(std::span<const std::uint8_t> frame, std::uint16_t mtu);

}  // namespace millrace::sim
