// SYN cookies (RFC 4987 3.6): when a listener's backlog is full, what a half-open entry would remember is put into our SYN-ACK
// instead, and read back from the acknowledgement that completes the handshake. A flood then costs an answer each, no memory.
//
//   sequence number   | 3 bits: MSS | 29 bits: keyed hash of flow, peer's ISN, MSS and a clock of 64 s |
//   timestamp         | our clock, its low 6 bits replaced: window scale (15: none), SACK permitted, ECN  |
//
// Without timestamps there is room for the MSS only: the connection then goes without the other options.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/base/time.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/handshake.h"

namespace millrace::tcp {

class SynCookies {
 public:
  /// For so long at most an answer is recognised.
  static constexpr Duration kLifetime = Duration::seconds(128);

  explicit SynCookies(const KeyedHash& hash) : hash_(hash) {}

  /// The SYN-ACK for `syn`, and nothing kept. `local.iss` does not count.
  [[nodiscard]] OutgoingSegment answer(const FlowKey& flow, const LocalTerms& local, const Segment& syn, Instant now) const;

  /// What was agreed upon, if `ack` acknowledges an answer() of the last minute or two; else it is forged or stale.
  [[nodiscard]] std::optional<Terms> open(const FlowKey& flow, const LocalTerms& local, const Segment& ack, Instant now) const;

 private:
  [[nodiscard]] std::uint32_t sign(const FlowKey& flow, SeqNum irs, std::uint32_t mss_index, std::uint64_t period) const;

  KeyedHash hash_;
};

}  // namespace millrace::tcp
