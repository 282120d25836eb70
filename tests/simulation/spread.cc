#include "tests/simulation/spread.h"

#include "nic/rules/frame_key.h"

namespace millrace::sim {

std::uint16_t queue_of(const FlowSteering& rule, std::span<const std::uint8_t> frame) {
  const auto key = nic::frame_key(frame);
  if (!key || key->fragment || !key->flow.has_ports || key->flow.protocol != FlowMatch::kTcp) return 0;
  return rule.worker_of({key->flow.source, key->flow.source_port}, {key->flow.destination, key->flow.destination_port});
}

}  // namespace millrace::sim
