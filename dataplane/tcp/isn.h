// Initial sequence numbers (RFC 6528): a clock of 4 us ticks plus a keyed hash of the four-tuple. The same tuple sees a rising
// number, so that an old connection's segments are old; another tuple sees nothing of it.
#pragma once

#include "dataplane/base/time.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/seq_num.h"

namespace millrace::tcp {

[[nodiscard]] inline SeqNum initial_sequence_number(const KeyedHash& hash, const FlowKey& flow, Instant now) {
  const auto clock = static_cast<std::uint32_t>(now.to_nanoseconds() / 4'000);
  return SeqNum(clock + static_cast<std::uint32_t>(hash_flow(hash, flow, HashPurpose::kIsn)));
}

/// Where a connection's timestamp clock starts (RFC 7323 7.1): not the uptime.
[[nodiscard]] inline std::uint32_t timestamp_offset(const KeyedHash& hash, const FlowKey& flow) {
  return static_cast<std::uint32_t>(hash_flow(hash, flow, HashPurpose::kTimestamp));
}

}  // namespace millrace::tcp
