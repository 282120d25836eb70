// Which frames every worker's internet layer has to see, whichever queue they came by: what neighbours, routers and listeners to
// groups say of themselves.
#pragma once

#include <cstdint>
#include <span>

namespace millrace::ip {

/// ARP, neighbour and router discovery, and whatever is for an IPv6 group. Any bytes; never wrong about TCP for one of our
/// addresses.
[[nodiscard]] bool is_link_control(std::span<const std::uint8_t> frame);

}  // namespace millrace::ip
