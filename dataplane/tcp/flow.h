// Who talks to whom: the four-tuple, and what all that we keep for one begins with (flow_table.h finds it).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
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
  // Asked for each segment: of mapped IPv4 addresses only what tells them apart.
  const bool v4 = key.local_ip.is_v4() && key.peer_ip.is_v4();
  std::uint64_t words[5];
  if (v4) {
    std::uint32_t addresses[2];
    std::memcpy(&addresses[0], key.local_ip.v4_bytes().data(), 4);
    std::memcpy(&addresses[1], key.peer_ip.v4_bytes().data(), 4);
    words[0] = std::uint64_t{addresses[0]} << 32 | addresses[1];
  } else {
    std::memcpy(words, key.local_ip.bytes().data(), 16);
    std::memcpy(words + 2, key.peer_ip.bytes().data(), 16);
  }
  const std::size_t ports = v4 ? 1 : 4;
  words[ports] = (std::uint64_t{key.local_port} << 16) | key.peer_port;
  const std::span<const std::uint64_t> all(words, ports + 1);
  return purpose == HashPurpose::kTable ? hash.for_table(all, static_cast<std::uint64_t>(purpose))
                                        : hash(all, static_cast<std::uint64_t>(purpose));
}

/// What the table holds: the kind says which class derives from the entry.
struct FlowEntry {
  enum class Kind : std::uint8_t { kEndpoint, kHalfOpen, kTimeWait };

  FlowEntry(Kind entry_kind, const FlowKey& flow) : key(flow), kind(entry_kind) {}
  FlowEntry(const FlowEntry&) = delete;
  FlowEntry& operator=(const FlowEntry&) = delete;

  /// The connection begins now: with our SYN, a peer's, or the end of its handshake.
  void begin(bool by_us, Instant now) {
    opened = by_us;
    since_deciseconds = static_cast<std::uint32_t>(now.to_nanoseconds() / 100'000'000);
  }
  /// To a tenth of a second.
  [[nodiscard]] Duration age(Instant now) const {
    const auto deciseconds = static_cast<std::uint32_t>(now.to_nanoseconds() / 100'000'000);
    return Duration::milliseconds(std::int64_t{deciseconds - since_deciseconds} * 100);
  }

  std::uint32_t hash = 0;
  FlowKey key;
  std::uint32_t since_deciseconds = 0;  // of the monotonic clock: 13 years fit
  Kind kind;
  bool in_table = false;
  bool opened = false;  // by us; else by the peer
};

}  // namespace millrace::tcp
