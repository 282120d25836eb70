// Reasons for dropping a packet, and an array of counters over them: nothing is dropped without being counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::wire {

enum class DropReason : std::uint8_t {
#define MR_DROP_REASON(name, counter, text) name,
#include "dataplane/wire/drop_reason.def"
#undef MR_DROP_REASON
};

inline constexpr std::size_t kDropReasons = 0
#define MR_DROP_REASON(name, counter, text) +1
#include "dataplane/wire/drop_reason.def"
#undef MR_DROP_REASON
    ;

/// "ipv4_bad_checksum": the last part of a counter's name.
[[nodiscard]] const char* counter_name(DropReason reason);
/// A sentence for people.
[[nodiscard]] const char* to_text(DropReason reason);

/// Indexed by DropReason.
using DropCounters = std::array<std::uint64_t, kDropReasons>;

inline void count(DropCounters& counters, DropReason reason) { ++counters[static_cast<std::size_t>(reason)]; }
[[nodiscard]] inline std::uint64_t counted(const DropCounters& counters, DropReason reason) {
  return counters[static_cast<std::size_t>(reason)];
}

}  // namespace millrace::wire
