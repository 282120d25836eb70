// What has become of each offload of a device, in words for the log and the admin page.
#pragma once

#include <vector>

#include "nic/port.h"

namespace millrace::nic {

/// What the driver says that the device does.
struct OfferedOffloads {
  bool rx_ip_checksum = false;
  bool rx_l4_checksum = false;
  TxOffloads tx = {};
  bool rss = false;  ///< over TCP
};

/// One entry for each offload there is, by what `info` uses. `by_cpu`: the driver computes what it offers itself (TAP).
[[nodiscard]] std::vector<OffloadUse> offload_uses(const PortInfo& info, const OfferedOffloads& offered, bool by_cpu);

}  // namespace millrace::nic
