#include "dataplane/proxy/lb/hash_choice.h"

namespace millrace::proxy {

// Envoy counts the attempts of a retry so: along the ring, but in a Maglev table, whose neighbours mean nothing, by another hash.
std::size_t slot_of(const config::HashTable& table, std::uint64_t hash, std::uint32_t skip) {
  const std::size_t size = table.slots.size();
  if (table.hashes.empty()) return (skip == 0 ? hash : hash ^ (std::uint64_t{0} - skip)) % size;
  const auto at = std::ranges::lower_bound(table.hashes, hash) - table.hashes.begin();
  return (static_cast<std::size_t>(at) + skip) % size;
}

HashChoice::HashChoice(const config::HashTable& table, std::uint32_t balance_factor)
    : table_(&table), balance_factor_(balance_factor) {
  if (balance_factor_ == 0) return;
  order_.resize(table.hosts.size());
  std::iota(order_.begin(), order_.end(), 0u);
}

}  // namespace millrace::proxy
