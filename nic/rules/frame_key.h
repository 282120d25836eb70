// From the bytes of a frame to what rules look at. Takes any bytes and never reads past their end; it checks no more than it
// needs: what is malformed beyond that is the stack's to drop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/flow_rule.h"

namespace millrace::nic {

struct FrameKey {
  FlowKey flow = {};
  /// Headers that every device's flow table follows: IPv4 without options or IPv6 without extension headers, not fragmented,
  /// tagged for no priority. A rule in a device may miss other frames, so that software looks at those itself.
  bool plain = false;
  bool fragment = false;  ///< any but a whole datagram
};

/// Nothing for what is not IP, or too short for an IP header. One VLAN tag is looked through, whatever it says: the IP layer
/// takes only the port's own. Of a TCP or UDP packet the ports are told unless it is a fragment other than the first.
[[nodiscard]] std::optional<FrameKey> frame_key(std::span<const std::uint8_t> frame);

}  // namespace millrace::nic
