// Local ports of connections that we open (RFC 6056, algorithm 3): sequential from a start that a keyed hash of the destination
// gives, so that ports are reused late and cannot be guessed from another destination.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/tcp/flow.h"

namespace millrace::tcp {

class PortChooser {
 public:
  /// Chooses in [first, last]; `start` is random.
  PortChooser(std::uint16_t first, std::uint16_t last, const KeyedHash& hash, std::uint64_t start)
      : hash_(hash), first_(first), range_(last - first + 1u), next_(start) {}

  /// Sets flow.local_port to a port for which is_free(flow) holds; false when there is none left towards this destination.
  template <typename IsFree>
  [[nodiscard]] bool choose(FlowKey& flow, IsFree&& is_free) {
    flow.local_port = 0;
    const std::uint64_t offset = hash_flow(hash_, flow, HashPurpose::kPort);
    for (std::uint32_t tries = 0; tries < range_; ++tries) {
      flow.local_port = static_cast<std::uint16_t>(first_ + (offset + next_++) % range_);
      if (is_free(flow)) return true;
    }
    return false;
  }

 private:
  KeyedHash hash_;
  std::uint32_t first_;
  std::uint32_t range_;
  std::uint64_t next_;
};

}  // namespace millrace::tcp
