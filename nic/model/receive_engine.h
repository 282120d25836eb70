// What a network card finds out about a frame that arrives, in software: its checksums, and its queue.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/flow_steering.h"
#include "nic/packet.h"
#include "nic/rules/frame_key.h"

namespace millrace::nic {

/// The receive bits of Offload: whether the IPv4 header's and the TCP or UDP checksum are right. Ethernet, with or without a VLAN
/// tag; no bit about what is not there, not whole (fragments), or not in a form that it understands.
[[nodiscard]] std::uint16_t receive_checksum_bits(std::span<const std::uint8_t> frame);

/// As devices choose it: by the hash for TCP that is whole, so that fragments of a datagram meet in one queue; else the first.
[[nodiscard]] std::uint16_t receive_queue(const FlowSteering& rule, const std::optional<FrameKey>& key);

}  // namespace millrace::nic
