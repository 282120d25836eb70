// Where packets between two addresses go, ours and a peer's (RFC 4861 5.1), so that addresses and routes are looked at for the
// first packet and not for each. Direct-mapped: a pair that another took the place of is just looked up again.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/route_table.h"

namespace millrace::ip {

class DestinationCache {
 public:
  DestinationCache() : entries_(std::make_unique<std::array<Entry, kEntries>>()) {}

  /// The hop for the pair; null when it is not known. `version` (never 0) is that of what the answer depends on: what was
  /// remembered with another is forgotten.
  [[nodiscard]] const RouteTable::Hop* find(const IpAddress& ours, const IpAddress& peer, std::uint32_t version) const {
    const Entry& entry = (*entries_)[slot_of(ours, peer)];
    return entry.version == version && entry.peer == peer && entry.ours == ours ? &entry.hop : nullptr;
  }
  void remember(const IpAddress& ours, const IpAddress& peer, std::uint32_t version, const RouteTable::Hop& hop) {
    (*entries_)[slot_of(ours, peer)] = {ours, peer, hop, version};
  }

 private:
  static constexpr std::size_t kEntries = 1'024;
  struct alignas(64) Entry {
    IpAddress ours;
    IpAddress peer;
    RouteTable::Hop hop;
    std::uint32_t version = 0;
  };
  static_assert(sizeof(Entry) == 64);

  [[nodiscard]] static std::size_t slot_of(const IpAddress& ours, const IpAddress& peer) {
    const auto word = [](const IpAddress& ip, std::size_t at) {
      std::uint64_t bytes;
      std::memcpy(&bytes, ip.bytes().data() + at, sizeof(bytes));
      return bytes;
    };
    const std::uint64_t all =
        word(peer, 8) ^ std::rotl(word(peer, 0), 13) ^ std::rotl(word(ours, 8), 29) ^ std::rotl(word(ours, 0), 41);
    return all * 0x9e37'79b9'7f4a'7c15 >> (64 - std::countr_zero(kEntries));
  }

  std::unique_ptr<std::array<Entry, kEntries>> entries_;
};

}  // namespace millrace::ip
