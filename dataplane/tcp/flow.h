// Who talks to whom: the four-tuple, and the hash table that finds what we keep for it. Chained, intrusive, sized at start,
// hashed with a secret key (nobody can aim at one bucket).
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/tcp/keyed_hash.h"

namespace millrace::tcp {

struct FlowKey {
  IpAddress local_ip;
  IpAddress peer_ip;
  std::uint16_t local_port = 0;
  std::uint16_t peer_port = 0;
  constexpr bool operator==(const FlowKey&) const = default;
};

/// The purposes of the one secret key.
enum class HashPurpose : std::uint64_t { kTable = 1, kIsn = 2, kPort = 3, kTimestamp = 4, kCookie = 5 };

[[nodiscard]] inline std::uint64_t hash_flow(const KeyedHash& hash, const FlowKey& key, HashPurpose purpose) {
  std::uint64_t words[5];
  std::memcpy(words, key.local_ip.bytes().data(), 16);
  std::memcpy(words + 2, key.peer_ip.bytes().data(), 16);
  words[4] = (std::uint64_t{key.local_port} << 16) | key.peer_port;
  return hash(words, static_cast<std::uint64_t>(purpose));
}

/// What the table holds: the kind says which class derives from the entry.
struct FlowEntry {
  enum class Kind : std::uint8_t { kEndpoint, kHalfOpen, kTimeWait };

  FlowEntry(Kind entry_kind, const FlowKey& flow) : key(flow), kind(entry_kind) {}
  FlowEntry(const FlowEntry&) = delete;
  FlowEntry& operator=(const FlowEntry&) = delete;

  FlowEntry* next = nullptr;
  std::uint32_t hash = 0;
  FlowKey key;
  Kind kind;
  bool in_table = false;
};

class FlowTable {
 public:
  /// Room for `expected` entries at an average of one per bucket; more make chains longer, never fail.
  FlowTable(std::size_t expected, const KeyedHash& hash) : hash_(hash), buckets_(std::bit_ceil(expected < 16 ? 16 : expected)) {}

  [[nodiscard]] std::uint32_t hash(const FlowKey& key) const {
    return static_cast<std::uint32_t>(hash_flow(hash_, key, HashPurpose::kTable));
  }
  [[nodiscard]] FlowEntry* find(const FlowKey& key) const {
    const std::uint32_t h = hash(key);
    for (FlowEntry* entry = buckets_[h & (buckets_.size() - 1)]; entry != nullptr; entry = entry->next) {
      if (entry->hash == h && entry->key == key) return entry;
    }
    return nullptr;
  }
  /// The key must not be in the table.
  void insert(FlowEntry& entry) {
    entry.hash = hash(entry.key);
    FlowEntry*& bucket = buckets_[entry.hash & (buckets_.size() - 1)];
    entry.next = bucket;
    bucket = &entry;
    entry.in_table = true;
    ++size_;
  }
  /// No effect when it is not in the table.
  void remove(FlowEntry& entry) {
    if (!entry.in_table) return;
    FlowEntry** link = &buckets_[entry.hash & (buckets_.size() - 1)];
    while (*link != &entry) link = &(*link)->next;
    *link = entry.next;
    entry.in_table = false;
    --size_;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  KeyedHash hash_;
  std::vector<FlowEntry*> buckets_;
  std::size_t size_ = 0;
};

}  // namespace millrace::tcp
