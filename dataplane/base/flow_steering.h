// Which worker owns a TCP flow: the Toeplitz hash of receive side scaling, and the table that its low bits index. Computed here
// as devices compute it, so that a worker knows where the answer to a connection that it opens will arrive, and so that software
// hands packets on by the same rule where a device cannot. Source: Microsoft's "RSS hashing types"; the test holds its vectors.
// Rules that steer go before the hash: they are part of who owns a flow, wherever they are carried out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/flow_rule.h"

namespace millrace {

/// What a device is told, or tells, about its receive side scaling.
struct RssTable {
  std::vector<std::uint8_t> key;      ///< at least FlowSteering::kKeyBytes; devices with longer keys do not look at the rest
  std::vector<std::uint16_t> queues;  ///< by the low bits of the hash; a power of two of them

  /// A key by which both directions of a flow have one hash (16 bits that repeat), and `queues` queues in turn.
  [[nodiscard]] static RssTable symmetric(std::uint16_t queues, std::size_t key_bytes = 40, std::size_t entries = 128);
  bool operator==(const RssTable&) const = default;
};

/// Immutable; any thread.
class FlowSteering {
 public:
  static constexpr std::size_t kKeyBytes = 40;

  /// Of `rules`, those that steer count, in their order.
  explicit FlowSteering(const RssTable& table, std::span<const FlowRule> rules = {});

  /// Of a packet from `source` to `destination`, both of one family, over TCP.
  [[nodiscard]] std::uint32_t hash(const SocketAddress& source, const SocketAddress& destination) const;
  /// Who receives such packets: the worker of the first rule that matches them, else a queue that the table names.
  [[nodiscard]] std::uint16_t worker_of(const SocketAddress& source, const SocketAddress& destination) const {
    if (!steered_.empty()) [[unlikely]] {
      if (const auto worker = steered_worker(source, destination)) return *worker;
    }
    return queues_[hash(source, destination) & (queues_.size() - 1)];
  }

 private:
  struct Steered {
    FlowMatch match;
    std::uint16_t worker = 0;
  };

  [[nodiscard]] std::optional<std::uint16_t> steered_worker(const SocketAddress& source, const SocketAddress& destination) const;

  static constexpr std::size_t kMostInputBytes = 36;  // two IPv6 addresses, two ports

  std::array<std::array<std::uint32_t, 16>, 2 * kMostInputBytes> parts_;  // of the hash, by half a byte of the input
  std::vector<std::uint16_t> queues_;
  std::vector<Steered> steered_;
};

}  // namespace millrace
