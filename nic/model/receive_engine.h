// What a network card finds out about the checksums of a frame that arrives, in software: the model of its receive engine.
#pragma once

#include <cstdint>
#include <span>

#include "nic/packet.h"

namespace millrace::nic {

/// The receive bits of Offload: whether the IPv4 header's and the TCP or UDP checksum are right. Ethernet, with or without a VLAN
/// tag; no bit about what is not there, not whole (fragments), or not in a form that it understands.
[[nodiscard]] std::uint16_t receive_checksum_bits(std::span<const std::uint8_t> frame);

}  // namespace millrace::nic
