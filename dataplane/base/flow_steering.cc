#include "dataplane/base/flow_steering.h"

#include <algorithm>
#include <bit>

#include "dataplane/base/assert.h"

namespace millrace {

RssTable RssTable::symmetric(std::uint16_t queues, std::size_t key_bytes, std::size_t entries) {
  MR_ASSERT(queues > 0 && key_bytes >= FlowSteering::kKeyBytes && std::has_single_bit(entries));
  RssTable table;
  for (std::size_t i = 0; i < key_bytes; ++i) table.key.push_back(i % 2 == 0 ? 0x6d : 0x5a);
  for (std::size_t i = 0; i < entries; ++i) table.queues.push_back(static_cast<std::uint16_t>(i % queues));
  return table;
}

// Bit i of the input, if set, contributes the 32 bits of the key that begin at bit i.
FlowSteering::FlowSteering(const RssTable& table, std::span<const FlowRule> rules) : parts_{}, queues_(table.queues) {
  MR_ASSERT(table.key.size() >= kKeyBytes && std::has_single_bit(queues_.size()));
  const auto window = [&](std::size_t bit) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < 5; ++i) bytes = bytes << 8 | table.key[bit / 8 + i];
    return static_cast<std::uint32_t>(bytes >> (8 - bit % 8));
  };
  for (std::size_t half = 0; half < parts_.size(); ++half) {
    for (std::size_t value = 0; value < 16; ++value) {
      for (std::size_t bit = 0; bit < 4; ++bit) {
        if ((value >> (3 - bit) & 1) != 0) parts_[half][value] ^= window(half * 4 + bit);
      }
    }
  }
  for (const FlowRule& rule : rules) {
    if (const auto* steer = std::get_if<FlowRule::Steer>(&rule.action)) steered_.push_back({rule.match, steer->worker});
  }
}

std::optional<std::uint16_t> FlowSteering::steered_worker(const SocketAddress& source, const SocketAddress& destination) const {
  const FlowKey key{.source = source.ip,
                    .destination = destination.ip,
                    .protocol = FlowMatch::kTcp,
                    .has_ports = true,
                    .source_port = source.port,
                    .destination_port = destination.port};
  for (const Steered& steered : steered_) {
    if (steered.match.matches(key)) return steered.worker;
  }
  return std::nullopt;
}

std::uint32_t FlowSteering::hash(const SocketAddress& source, const SocketAddress& destination) const {
  std::uint32_t hash = 0;
  std::size_t half = 0;
  const auto add = [&](std::uint8_t byte) {
    hash ^= parts_[half][byte >> 4] ^ parts_[half + 1][byte & 15];
    half += 2;
  };
  if (source.ip.is_v4()) {
    for (const std::uint8_t byte : source.ip.v4_bytes()) add(byte);
    for (const std::uint8_t byte : destination.ip.v4_bytes()) add(byte);
  } else {
    for (const std::uint8_t byte : source.ip.bytes()) add(byte);
    for (const std::uint8_t byte : destination.ip.bytes()) add(byte);
  }
  for (const std::uint16_t port : {source.port, destination.port}) {
    add(static_cast<std::uint8_t>(port >> 8));
    add(static_cast<std::uint8_t>(port));
  }
  return hash;
}

}  // namespace millrace
