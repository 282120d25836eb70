// Bodies that are held for longer than a turn: for another try, or until a filter has seen all of them. Nobody's window pays for
// these, so what they pin is bounded by the packet pool's state.
#pragma once

#include <cstddef>

#include "dataplane/stream/chain.h"

namespace millrace::proxy {

/// Whether one more request may hold that much packet memory: always a little, and beyond it less and less as the pool fills.
[[nodiscard]] bool affordable(std::size_t charge_bytes, const nic::PacketPool& packets);

/// Adds references to all of `data` to `to`. What is small for the buffer that it pins is copied: a body that comes byte by byte
/// must not hold a buffer for each. False: no memory; some may have been added.
[[nodiscard]] bool append_to_keep(stream::Chain& to, const stream::Chain& data);

}  // namespace millrace::proxy
