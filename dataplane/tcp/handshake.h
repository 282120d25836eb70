// What the two SYNs of a connection agree upon (RFC 9293 3.7.1, 7323, 2018).
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::tcp {

inline constexpr std::uint16_t kDefaultMss = 536;  // when the peer names none (RFC 9293 3.7.1)
inline constexpr std::uint16_t kMinMss = 48;       // as Linux; less is an attack: 40 bytes of header for each few bytes
inline constexpr std::uint32_t kTimestampBytes = 12;

/// What our side brings in.
struct LocalTerms {
  SeqNum iss;
  std::uint16_t mss = 1460;       ///< largest payload that the path's first hop takes, without options
  std::uint16_t least_mss = 536;  ///< what every path takes
  std::uint32_t timestamp_offset = 0;
  std::uint32_t window = 0;       ///< receive buffer, bytes
  std::uint8_t window_scale = 0;  ///< what we offer
  bool ask_for_ecn = false;       ///< of a connection that we open
};

/// The smallest shift with which 16 bits tell `bytes`.
[[nodiscard]] constexpr std::uint8_t window_scale_for(std::size_t bytes) {
  std::uint8_t shift = 0;
  while (shift < wire::kTcpMaxWindowScale && (std::size_t{0xffff} << shift) < bytes) ++shift;
  return shift;
}

/// The state of an agreement; complete once the peer's SYN was seen.
struct Terms {
  LocalTerms local;
  SeqNum irs;
  std::uint16_t peer_mss = kDefaultMss;
  std::uint8_t peer_scale = 0;
  bool scaling = false;
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  bool syn_lost = false;  ///< our SYN had to be sent more than twice
  std::uint32_t ts_recent = 0;

  /// Takes over the peer's SYN or SYN-ACK.
  void accept(const Segment& syn) {
    irs = syn.seq;
    peer_mss = std::max(kMinMss, syn.options.mss.value_or(kDefaultMss));
    scaling = syn.options.window_scale.has_value();
    peer_scale = scaling ? *syn.options.window_scale : std::uint8_t{0};
    timestamps = syn.options.timestamps.has_value();
    ts_recent = syn.options.timestamps.value_or(TcpOptions::Timestamps{}).value;
    sack = syn.options.sack_permitted;
    // RFC 3168 6.1.1: a SYN asks with both bits, a SYN-ACK agrees with ECE alone.
    const std::uint8_t bits = syn.flags & (TcpFlags::kEce | TcpFlags::kCwr);
    ecn = syn.has(TcpFlags::kAck) ? local.ask_for_ecn && bits == TcpFlags::kEce : bits == (TcpFlags::kEce | TcpFlags::kCwr);
  }
  /// Payload of a full segment that we send.
  [[nodiscard]] std::uint32_t send_mss() const {
    return std::max<std::uint32_t>(std::min(peer_mss, local.mss), kMinMss) - (timestamps ? kTimestampBytes : 0);
  }
  [[nodiscard]] std::uint8_t own_scale() const { return scaling ? local.window_scale : std::uint8_t{0}; }
  /// The window of our SYN, never scaled.
  [[nodiscard]] std::uint16_t syn_window() const {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(local.window, 0xffff));
  }
  /// Our timestamp clock ticks in milliseconds.
  [[nodiscard]] std::uint32_t timestamp(Instant now) const {
    return local.timestamp_offset + static_cast<std::uint32_t>(now.to_nanoseconds() / 1'000'000);
  }
};

/// A SYN that opens (answer false), or a SYN-ACK with what the peer's SYN offered.
[[nodiscard]] OutgoingSegment make_syn(const Terms& terms, bool answer, Instant now);

/// The RST that RFC 9293 3.10.7.1 answers to a segment for no connection. `segment` must not be a RST.
[[nodiscard]] OutgoingSegment make_reset_for(const Segment& segment);

}  // namespace millrace::tcp
