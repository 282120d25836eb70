// Tables of consistent hashing: ketama rings (RING_HASH) and Maglev tables. Their contents are Envoy's for the same endpoints,
// weights and keys, so that a key meets the same endpoint behind either. Building one is linear in its size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/model/cluster.h"

namespace millrace::config {

/// The endpoints among `hosts` and the part of the requests that each should get: by weight or, where localities are weighted, by
/// weight within a locality that gets its own part. Those of a locality without a weight are left out.
[[nodiscard]] std::vector<HashTable::Host> host_shares(const Cluster& cluster, std::span<const std::uint32_t> hosts);

struct RingOptions {
  std::uint64_t minimum_size = 1024;
  std::uint64_t maximum_size = 8 * 1024 * 1024;  ///< not less than minimum_size
  bool murmur = false;                           ///< MURMUR_HASH_2 instead of XX_HASH
  bool operator==(const RingOptions&) const = default;
};
/// `keys` of all endpoints, by their index; so below.
[[nodiscard]] HashTable build_ring(std::vector<HashTable::Host> hosts, std::span<const std::string> keys,
                                   const RingOptions& options);

inline constexpr std::uint64_t kDefaultMaglevSize = 65'537;
/// `size` is a prime number.
[[nodiscard]] HashTable build_maglev(std::vector<HashTable::Host> hosts, std::span<const std::string> keys, std::uint64_t size);

[[nodiscard]] bool is_prime(std::uint64_t number);

}  // namespace millrace::config
